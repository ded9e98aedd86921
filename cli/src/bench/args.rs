use std::path::PathBuf;
use std::time::Duration;

use anyipc_measure::baseline::Baseline;
use anyipc_measure::cores::Pinning;
use anyipc_measure::payload::{Coverage, MOST_SENDERS};
use anyipc_measure::wait::Wait;
use clap::ValueEnum;

use super::values::{
    baseline, coverage, parse_gap, parse_option, parse_pinning, parse_rate, parse_size, parse_time,
    wait,
};

const AFTER: &str = "\
Examples:
  anyipc bench --quick
  anyipc bench --transports shm,local --sizes 64,64KiB --waits spin,adaptive,block
  anyipc bench --compare --verify line          # beside the bare system calls of this machine
  anyipc bench --transports shm --trust same-user --in-place --compare=cache-line,futex
  anyipc bench --patterns round-trip --sizes 64 --gap 20us,100us,1ms,10ms --compare=futex
  anyipc bench --patterns round-trip --sizes 64 --rate 5000
  anyipc bench --patterns stream --sizes 64 --batch 64 --compare=unix
  anyipc bench --patterns queue --sizes 64 --senders 1,4
  anyipc bench --json all.json --csv all.csv --markdown all.md --svg all.svg";

/// Measure every transport between two processes of this machine
///
/// Two processes exchange checked messages over every transport, for each pattern, size and way of
/// waiting. All rows are measured once before any is measured again; the table shows the medians.
/// Only rows that wait in the same way are compared. The table goes to stdout, progress to stderr.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Finish in under 30 seconds: fewer sizes, adaptive waiting, shorter rows
    #[arg(long)]
    pub(super) quick: bool,

    #[command(flatten)]
    pub(super) rows: Rows,

    #[command(flatten)]
    pub(super) method: Method,

    #[command(flatten)]
    pub(super) files: Files,

    /// Run as the second process: orders on stdin, reports on stdout
    #[arg(long, hide = true)]
    pub(super) peer: bool,
}

/// Which rows are measured.
#[derive(Debug, clap::Args)]
pub(super) struct Rows {
    /// Only these transports, such as shm,local; posix-mq is measured only if it is named
    #[arg(long, alias = "transport", value_name = "SCHEME", value_delimiter = ',')]
    pub(super) transports: Vec<String>,

    /// Only these message sizes, such as 64,1KiB,1MiB
    #[arg(
        long,
        alias = "size",
        value_name = "BYTES",
        value_delimiter = ',',
        value_parser = parse_size
    )]
    pub(super) sizes: Vec<usize>,

    /// Only these patterns
    #[arg(long, alias = "pattern", value_name = "PATTERN", value_delimiter = ',')]
    pub(super) patterns: Vec<Choice>,

    /// Only these ways of waiting [default: all; with --quick adaptive]
    #[arg(long, alias = "wait", value_name = "WAIT", value_delimiter = ',', value_parser = wait())]
    pub(super) waits: Vec<Wait>,

    /// Measure bare system calls in the same table, all or these; the ratio is then to the fastest
    /// of them
    #[arg(
        long,
        value_name = "BASELINE",
        value_delimiter = ',',
        num_args = 0..,
        require_equals = true,
        value_parser = baseline(),
        default_missing_values = ["cache-line", "futex", "eventfd", "pipe", "unix", "tcp", "memcpy"]
    )]
    pub(super) compare: Vec<Baseline>,

    /// Round trips with these gaps between them, such as 20us,1ms
    #[arg(
        long,
        value_name = "TIME",
        value_delimiter = ',',
        value_parser = parse_gap,
        conflicts_with = "rate"
    )]
    pub(super) gap: Vec<Duration>,

    /// Round trips at this rate per second, each timed from when it was due: a late one delays the
    /// next ones, and their times show that
    #[arg(long, value_name = "PER_SECOND", value_parser = parse_rate)]
    pub(super) rate: Option<f64>,

    /// Streams send this many messages at once
    #[arg(
        long,
        value_name = "MESSAGES",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=4096),
        conflicts_with = "in_place"
    )]
    pub(super) batch: u16,

    /// Only these numbers of senders, such as 1,4: several send streams over queues to one
    /// receiver, each from a thread and through a handle of its own, all on the first side's core
    #[arg(
        long,
        value_name = "N",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MOST_SENDERS)),
        conflicts_with_all = ["gap", "rate"]
    )]
    pub(super) senders: Vec<u16>,
}

/// How each row is measured.
#[derive(Debug, clap::Args)]
pub(super) struct Method {
    /// Write and read messages in place (send_with, recv_with), not in buffers of the benchmark
    #[arg(long)]
    pub(super) in_place: bool,

    /// What receivers check besides length and sequence
    #[arg(long, value_name = "WHAT", default_value = "full", value_parser = coverage())]
    pub(super) verify: Coverage,

    /// Whether receivers get a private copy, for the transports that know this option
    #[arg(long, value_name = "TRUST", value_parser = ["copy", "same-user"])]
    pub(super) trust: Option<String>,

    /// An option for the transports that know it, such as capacity=2MiB; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_option)]
    pub(super) option: Vec<(String, String)>,

    /// Repetitions of each row [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(super) repetitions: Option<u16>,

    /// Time for a row in each repetition, a quarter of it warm-up [default: by the number of rows]
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(super) slice: Option<Duration>,

    /// The cores of the two sides, such as 0,1 [default: two that are not threads of one core]
    #[arg(long, value_name = "CORE,CORE", value_parser = parse_pinning)]
    pub(super) pin: Option<Pinning>,

    /// Let the system move both sides between cores
    #[arg(long, conflicts_with = "pin")]
    pub(super) no_pin: bool,
}

/// Where results go besides the terminal.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// With --json: write all figures to this file and still print the table
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// Write the medians to this file, comma-separated
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,

    /// Write the table to this file as Markdown
    #[arg(long, value_name = "FILE")]
    pub(super) markdown: Option<PathBuf>,

    /// Draw time over size to this file
    #[arg(long, value_name = "FILE")]
    pub(super) svg: Option<PathBuf>,
}

/// Patterns on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Choice {
    /// One message there, one back, then the next
    RoundTrip,
    /// One way, as fast as they are taken
    Stream,
    /// Both over queues, for the transports that have them
    Queue,
}
