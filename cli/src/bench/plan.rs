//! What is measured, how often and how long.

use std::fmt;
use std::time::Duration;

use anyipc::transport::{COMMON_KEYS, DynTransport};
use anyipc::{Capabilities, Registry};
use serde::Serialize;

use super::args::Args;
use super::pattern::Pattern;
use crate::failure::Failure;

const SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];
const PATTERNS: [Pattern; 2] = [Pattern::RoundTrip, Pattern::Stream];

/// Who is on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum PeerKind {
    /// A second process.
    Process,
    /// A second thread: the transport reaches no other process.
    Thread,
}

impl PeerKind {
    /// As in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Thread => "thread",
        }
    }
}

/// One row: a transport, a pattern, a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Case {
    /// The transport's scheme.
    pub(super) transport: &'static str,
    /// Who is on the other side.
    pub(super) peer: PeerKind,
    /// The pattern of traffic.
    pub(super) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(super) size: usize,
    /// The address's options.
    pub(super) options: Vec<(String, String)>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {} bytes", self.transport, self.pattern.name(), self.size)
    }
}

/// All rows and the time for them.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of the table.
    pub(super) cases: Vec<Case>,
    /// Every row is measured this often, all rows once before any again.
    pub(super) repetitions: usize,
    /// Time of one row in one repetition, a quarter of it warm-up.
    pub(super) slice: Duration,
    /// No repetition begins that would end after this.
    pub(super) limit: Duration,
}

impl Plan {
    /// # Errors
    /// An unknown transport.
    pub(super) fn new(args: &Args, registry: &Registry) -> Result<Self, Failure> {
        let transports = select(args, registry)?;
        let pick = |chosen: &[usize]| if chosen.is_empty() { SIZES.to_vec() } else { chosen.to_vec() };
        let patterns = if args.pattern.is_empty() { PATTERNS.to_vec() } else { args.pattern.clone() };
        let mut cases = Vec::new();
        for pattern in patterns {
            for size in pick(&args.size) {
                for transport in &transports {
                    let case = case(*transport, pattern, size, args);
                    if !cases.contains(&case) {
                        cases.push(case);
                    }
                }
            }
        }
        let seconds = Duration::from_secs;
        let (repetitions, total, longest, limit) = if args.quick {
            (5, seconds(14), Duration::from_millis(150), seconds(22))
        } else {
            (9, seconds(90), Duration::from_millis(600), seconds(600))
        };
        let share = total / u32::try_from(repetitions * cases.len().max(1)).unwrap_or(u32::MAX);
        let slice = share.clamp(Duration::from_millis(20), longest);
        Ok(Self { cases, repetitions, slice, limit })
    }
}

fn select<'a>(args: &Args, registry: &'a Registry) -> Result<Vec<&'a dyn DynTransport>, Failure> {
    let able: Vec<_> =
        registry.transports().filter(|t| t.capabilities().contains(Capabilities::CHANNEL)).collect();
    let schemes = || able.iter().flat_map(|t| t.schemes()).copied();
    if let Some(unknown) = args.transport.iter().find(|chosen| !schemes().any(|s| s == chosen.as_str())) {
        let known: Vec<_> = schemes().collect();
        let known = known.join(", ");
        return Err(Failure::Usage(format!("--transport: no {unknown:?} here; choose from {known}")));
    }
    let chosen =
        |t: &&dyn DynTransport| t.schemes().iter().any(|s| args.transport.iter().any(|chosen| chosen == s));
    Ok(able.into_iter().filter(|t| args.transport.is_empty() || chosen(t)).collect())
}

fn case(transport: &dyn DynTransport, pattern: Pattern, size: usize, args: &Args) -> Case {
    let across = transport.capabilities().contains(Capabilities::CROSS_PROCESS);
    let knows = |key: &str| transport.keys().iter().chain(COMMON_KEYS).any(|k| k.name == key);
    let options = [("wait".to_owned(), args.wait.name().to_owned())]
        .into_iter()
        .chain(args.option.iter().filter(|(key, _)| knows(key)).cloned())
        .chain((size > 16 << 20).then(|| ("max_message".to_owned(), size.to_string())));
    Case {
        transport: transport.schemes().first().copied().unwrap_or_default(),
        peer: if across { PeerKind::Process } else { PeerKind::Thread },
        pattern,
        size,
        options: options.collect(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
        /// As the whole command line has it.
        #[arg(long)]
        json: bool,
    }

    #[test]
    fn json_takes_a_file_or_none() {
        let line = |words: &[&str]| Line::try_parse_from([&["bench"], words].concat());
        let both = line(&["--json", "out.json", "--quick"]).unwrap();
        assert!(both.json && both.args.file.is_some());
        assert!(line(&["--json"]).unwrap().args.file.is_none());
        assert!(line(&["out.json"]).is_err());
    }

    fn plan(line: &[&str]) -> Result<Plan, Failure> {
        let line = Line::try_parse_from([&["bench"], line].concat()).unwrap();
        Plan::new(&line.args, &Registry::new())
    }

    #[test]
    fn everything_by_default() {
        let plan = plan(&["--quick"]).unwrap();
        let channels =
            Registry::new().transports().filter(|t| t.capabilities().contains(Capabilities::CHANNEL)).count();
        assert_eq!(plan.cases.len(), channels * 8);
        assert!(plan.slice * (plan.cases.len() * plan.repetitions) as u32 <= Duration::from_secs(15));
        let in_process = plan.cases.iter().find(|c| c.transport == "inproc").unwrap();
        assert_eq!(in_process.peer, PeerKind::Thread);
        assert_eq!(in_process.options, [("wait".into(), "adaptive".into())]);
    }

    #[test]
    fn filters_narrow() {
        let plan = plan(&["--transport", "inproc", "--size", "64,64,1KiB", "--pattern", "stream"]).unwrap();
        let sizes: Vec<_> = plan.cases.iter().map(|c| c.size).collect();
        assert_eq!(sizes, [64, 1024]);
        assert!(plan.cases.iter().all(|c| c.pattern == Pattern::Stream));
    }

    #[test]
    fn options_go_to_those_who_know_them() {
        let plan = plan(&["--size", "32MiB", "--option", "timeout=1s", "--option", "nobody=1"]).unwrap();
        for case in &plan.cases {
            let keys: Vec<_> = case.options.iter().map(|(k, _)| k.as_str()).collect();
            assert_eq!(keys, ["wait", "timeout", "max_message"]);
        }
    }

    #[test]
    fn an_unknown_transport_names_the_choices() {
        let error = plan(&["--transport", "carrier-pigeon"]).unwrap_err().to_string();
        assert!(error.contains("inproc"), "{error}");
    }
}
