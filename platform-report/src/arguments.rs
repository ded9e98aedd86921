use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Reports what this machine does with anyipc: facts of the system, the conformance suite of every
transport, answers to the questions that only the real system can settle, and a table. Takes some
minutes. The report goes to stdout and names neither the user nor the home directory; progress goes
to stderr. Exit code 1 if something failed, 2 if an option is wrong.

Usage: platform-report [OPTIONS]

  --json           one JSON document in place of the text
  --only WORD      only the suites and the probes with this word in the name; may be repeated
  --kills N        processes that are killed per transport and per probe of deaths (20)
  --limit SECONDS  longest time for one check or one probe (120)
  --list           the names of the suites and the probes
  --help           this text

Examples:
  cargo run -p anyipc-conformance --bin platform-report >report.txt
  cargo run -p anyipc-conformance --bin platform-report -- --only shm --only locks
  ANYIPC_DIR=/Volumes/STICK cargo run -p anyipc-conformance --bin platform-report   # its FAT";

/// What this process is to do.
#[derive(Debug)]
pub(crate) enum Task {
    Help,
    List,
    Report(Arguments),
    /// Play a part for the process that started it.
    Role(Vec<String>),
}

/// The options of a report.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) json: bool,
    /// Everything, if it is empty.
    pub(crate) only: Vec<String>,
    pub(crate) kills: u32,
    pub(crate) limit: Duration,
}

impl Arguments {
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word.as_str()))
    }
}

pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut arguments =
        Arguments { json: false, only: Vec::new(), kills: 20, limit: Duration::from_secs(120) };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--role" => return Ok(Task::Role(words.collect())),
            "--json" => arguments.json = true,
            "--only" => arguments.only.push(words.next().ok_or("--only needs a word")?),
            "--kills" => arguments.kills = number(&word, words.next())?,
            "--limit" => arguments.limit = Duration::from_secs(number(&word, words.next())?),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(Task::Report(arguments))
}

/// A number from 1.
fn number<N: FromStr + PartialOrd + From<u8>>(
    option: &str,
    word: Option<String>,
) -> Result<N, String> {
    word.and_then(|word| word.parse().ok())
        .filter(|number| *number >= N::from(1))
        .ok_or_else(|| format!("{option} needs a number from 1"))
}
