use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

use super::pattern::Pattern;
use super::payload::MIN_SIZE;

/// Measure every transport between two processes of this machine
///
/// A second process is started and both exchange checked messages over each transport, size and pattern.
/// One table goes to stdout, progress to stderr.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Finish in under 30 seconds
    #[arg(long)]
    pub(super) quick: bool,

    /// Only these transports, such as shm
    #[arg(long, value_name = "SCHEME", value_delimiter = ',')]
    pub(super) transport: Vec<String>,

    /// Only these message sizes, such as 64,1KiB,1MiB
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = parse_size)]
    pub(super) size: Vec<usize>,

    /// Only these patterns
    #[arg(long, value_delimiter = ',')]
    pub(super) pattern: Vec<Pattern>,

    /// How both sides of every row wait
    #[arg(long, default_value = "adaptive")]
    pub(super) wait: Wait,

    /// An option for the transports that know it, such as capacity=2MiB; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_option)]
    pub(super) option: Vec<(String, String)>,

    /// Let the system move both sides between cores
    #[arg(long)]
    pub(super) no_pin: bool,

    /// With --json: write all figures to this file and still print the table
    #[arg(value_name = "FILE", requires = "json")]
    pub(super) file: Option<PathBuf>,

    /// Be the second process: orders on stdin, reports on stdout
    #[arg(long, hide = true)]
    pub(super) peer: bool,
}

/// How a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wait {
    /// Spin while answers come quickly, then sleep
    Adaptive,
    /// Never sleep
    Spin,
    /// Sleep at once
    Block,
}

impl Wait {
    /// As in an address.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::Spin => "spin",
            Self::Block => "block",
        }
    }
}

const UNITS: [(&str, usize); 4] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("B", 1), ("", 1)];
const LONGEST: usize = 256 << 20;

fn parse_size(text: &str) -> Result<usize, String> {
    let read = |(unit, factor): (&str, usize)| {
        text.strip_suffix(unit)?.trim_end().parse::<usize>().ok()?.checked_mul(factor)
    };
    match UNITS.into_iter().find_map(read) {
        Some(size) if (MIN_SIZE..=LONGEST).contains(&size) => Ok(size),
        Some(_) => Err(format!("choose {MIN_SIZE} (room for sequence and checksum) to 256MiB")),
        None => Err("not a number of bytes such as 64, 1KiB or 1MiB".into()),
    }
}

fn parse_option(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE, such as capacity=2MiB")?;
    if key == "wait" {
        return Err("use --wait, which is the same for every row".into());
    }
    Ok((key.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(parse_size("64"), Ok(64));
        assert_eq!(parse_size("64B"), Ok(64));
        assert_eq!(parse_size("1KiB"), Ok(1024));
        assert_eq!(parse_size("1 MiB"), Ok(1 << 20));
        for bad in ["", "15", "1GB", "-1", "KiB", "257MiB", "99999999999999999999", "18446744073709551615KiB"]
        {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_are_pairs() {
        assert_eq!(parse_option("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_option("a").is_err());
        assert!(parse_option("wait=spin").is_err());
    }
}
