//! Values on the command line.

use std::time::Duration;

use anyipc_measure::baseline::Baseline;
use anyipc_measure::cores::Pinning;
use anyipc_measure::payload::{Coverage, MIN_SIZE};
use anyipc_measure::wait::Wait;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::values::{bytes, span};

const LONGEST: usize = 256 << 20;
const SHORTEST_TIME: Duration = Duration::from_micros(1);
const LONGEST_TIME: Duration = Duration::from_secs(10);
const LONGEST_GAP: Duration = Duration::from_secs(1);

pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let size = bytes(&text.replace(' ', ""))
        .map_err(|_| "not a number of bytes such as 64, 1KiB or 1MiB")?;
    match usize::try_from(size) {
        Ok(size) if (MIN_SIZE..=LONGEST).contains(&size) => Ok(size),
        _ => Err(format!("choose {MIN_SIZE} (room for sequence and check word) to 256MiB")),
    }
}

pub(super) fn parse_time(text: &str) -> Result<Duration, String> {
    let time = span(&text.replace(' ', "")).map_err(|_| "not a time such as 20us, 1ms or 1s")?;
    match time {
        time if (SHORTEST_TIME..=LONGEST_TIME).contains(&time) => Ok(time),
        _ => Err("choose 1us to 10s".into()),
    }
}

pub(super) fn parse_gap(text: &str) -> Result<Duration, String> {
    let gap = parse_time(text)?;
    if gap > LONGEST_GAP { Err("choose 1us to 1s".into()) } else { Ok(gap) }
}

pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (1.0..=1e8).contains(&rate) => Ok(rate),
        Ok(_) => Err("choose 1 to 100000000".into()),
        Err(_) => Err("not a number per second such as 5000".into()),
    }
}

pub(super) fn parse_pinning(text: &str) -> Result<Pinning, String> {
    let cores = text.split_once(',').and_then(|(driver, peer)| {
        Some(Pinning { driver: driver.trim().parse().ok()?, peer: peer.trim().parse().ok()? })
    });
    cores.ok_or_else(|| "not two cores such as 0,1".into())
}

pub(super) fn parse_option(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE, such as capacity=2MiB")?;
    match key {
        "wait" => Err("use --waits, which are the same for every row that is compared".into()),
        "trust" => Err("use --trust".into()),
        "persist" => Err("the queues of a benchmark do not stay: leave persist= out".into()),
        "full" if value != "block" => {
            Err("a benchmark counts each message, so its senders wait for room: full=block".into())
        }
        _ => Ok((key.into(), value.into())),
    }
}

/// A value, its name on the command line, and its help.
type Choice<T> = (T, &'static str, &'static str);

const COVERAGES: &[Choice<Coverage>] = &[
    (Coverage::Full, "full", "Every byte"),
    (Coverage::Line, "line", "A word of every cache line"),
];

const WAITS: &[Choice<Wait>] = &[
    (Wait::Spin, "spin", "Never sleep"),
    (Wait::Adaptive, "adaptive", "Spin while answers come quickly, then sleep"),
    (Wait::Block, "block", "Sleep at once"),
];

const BASELINES: &[Choice<Baseline>] = &[
    (
        Baseline::CacheLine,
        "cache-line",
        "Shared memory, both sides spinning on the message's own first word",
    ),
    (Baseline::Futex, "futex", "The same, sleeping on a futex"),
    (Baseline::Eventfd, "eventfd", "The same, sleeping on an eventfd"),
    (Baseline::Pipe, "pipe", "Two pipes, a length before each message"),
    (Baseline::Unix, "unix", "A Unix stream socket, a length before each message"),
    (Baseline::Tcp, "tcp", "TCP over loopback without delay, a length before each message"),
    (
        Baseline::Memcpy,
        "memcpy",
        "One thread that writes, copies and reads: the bandwidth of a core",
    ),
];

pub(super) fn coverage() -> impl TypedValueParser<Value = Coverage> {
    one_of(COVERAGES)
}

pub(super) fn wait() -> impl TypedValueParser<Value = Wait> {
    one_of(WAITS)
}

pub(super) fn baseline() -> impl TypedValueParser<Value = Baseline> {
    one_of(BASELINES)
}

fn one_of<T: Copy + Send + Sync + 'static>(
    choices: &'static [Choice<T>],
) -> impl TypedValueParser<Value = T> {
    let known = choices.iter().map(|(_, name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(known).try_map(move |name| {
        let chosen = choices.iter().find(|(_, known, _)| *known == name);
        chosen.map(|(value, ..)| *value).ok_or("not one of the choices")
    })
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
        for bad in [
            "",
            "15",
            "1GB",
            "-1",
            "KiB",
            "257MiB",
            "99999999999999999999",
            "18446744073709551615KiB",
        ] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_units_and_bounds() {
        assert_eq!(parse_time("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(parse_time("1ms"), Ok(Duration::from_millis(1)));
        for bad in ["", "5", "999ns", "11s", "-1us", "1h", "18446744073709551615s"] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
        assert!(parse_gap("1s").is_ok() && parse_gap("2s").is_err());
    }

    #[test]
    fn rates_and_cores() {
        assert_eq!(parse_rate("5000"), Ok(5000.0));
        for bad in ["", "0.5", "-1", "NaN", "inf", "1e9", "fast"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_pinning("3,5"), Ok(Pinning { driver: 3, peer: 5 }));
        for bad in ["", "3", "3,", "a,b", "1,2,3", "-1,0"] {
            assert!(parse_pinning(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_are_pairs() {
        assert_eq!(parse_option("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(parse_option("a").is_err());
        assert!(parse_option("wait=spin").is_err());
        assert!(parse_option("trust=copy").is_err());
        assert!(parse_option("persist=true").is_err());
        assert!(parse_option("full=drop-new").is_err());
        assert!(parse_option("full=block").is_ok());
    }
}
