//! The command line.

use std::time::Duration;

use anyipc_measure::Result;

const HELP: &str = "\
usage: benches/others/run [--quick] [--reps N] [--only WORDS] [--list]

Compares anyipc with others, and with bare system calls, on two cores of this machine, and prints a
table of ratios.

  --quick       three repetitions of 30 ms instead of five of 120 ms
  --reps N      this many repetitions with the cores at the same distance
  --only WORDS  rows with all of these words in --list; repeat it for more rows
  --list        print all rows, measure none";

/// The command line.
pub(crate) struct Args {
    /// Repetitions of each row while the cores were at the same distance.
    pub(crate) reps: usize,
    /// Time of one measurement.
    pub(crate) time: Duration,
    /// True to print the rows only.
    pub(crate) list: bool,
    /// Rows with all words of one of these; empty for all rows.
    only: Vec<String>,
}

impl Args {
    /// `None` if help was printed.
    pub(crate) fn parse(words: &[String]) -> Result<Option<Self>> {
        let mut args =
            Self { reps: 5, time: Duration::from_millis(120), list: false, only: Vec::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value =
                || words.next().ok_or_else(|| format!("{word} needs a value\n\n{HELP}"));
            match word.as_str() {
                "--quick" => (args.reps, args.time) = (3, Duration::from_millis(30)),
                "--reps" => {
                    args.reps =
                        value()?.parse::<usize>().map_err(|e| format!("--reps: {e}"))?.max(1)
                }
                "--only" => args.only.push(value()?.clone()),
                "--list" => args.list = true,
                "--help" | "-h" => {
                    println!("{HELP}");
                    return Ok(None);
                }
                _ => return Err(format!("unknown: {word}\n\n{HELP}").into()),
            }
        }
        Ok(Some(args))
    }

    /// True if a row with this title is asked for.
    pub(crate) fn wants(&self, title: &str) -> bool {
        let bare = |word: &str| word.trim_matches([',', ':', ';']).to_lowercase();
        let words: Vec<_> = title.split_whitespace().map(bare).collect();
        let has_all =
            |only: &String| only.split_whitespace().all(|word| words.contains(&bare(word)));
        self.only.is_empty() || self.only.iter().any(has_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_whole_words() {
        let args = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            Args::parse(&words).unwrap().unwrap()
        };
        let title = "Boost ring, best depth stream 64 KiB: in place; copy";
        assert!(args(&[]).wants(title));
        assert!(args(&["--only", "boost stream"]).wants(title));
        assert!(args(&["--only", "rtrb", "--only", "64 KiB"]).wants(title));
        assert!(!args(&["--only", "64 B"]).wants(title));
    }
}
