//! The rows, their repetitions and their time.

use std::time::Duration;

use anyipc::transport::{COMMON_KEYS, DynTransport, Key};
use anyipc::{Capabilities, ErrorKind, Name, Options, Registry};
use anyipc_measure::baseline::Baseline;
use anyipc_measure::pattern::Pattern;
use anyipc_measure::pattern::pace::Pace;
use anyipc_measure::wait::Wait;

use super::args::{Args, Choice};
use super::carrier::Carrier;
use super::case::{Case, PeerKind};
use crate::failure::Failure;

const SIZES: [usize; 5] = [64, 1 << 10, 8 << 10, 64 << 10, 1 << 20];
const QUICK_SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];
const REPETITIONS: usize = 5;
/// Longer messages, in bytes, need a queue of a capacity for them.
const LARGE: usize = 8 << 10;
/// Messages that such a queue has room for.
const IN_FLIGHT: usize = 4;
/// A row that waits between its round trips gets time for this many, at most [`LONGEST`].
const TRIPS: u32 = 60;
const LONGEST: Duration = Duration::from_secs(10);

/// All rows and the time for them.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of measuring.
    pub(super) cases: Vec<Case>,
    /// Repetitions of each row. Each repetition measures all rows.
    pub(super) repetitions: usize,
    /// Time of one row in one repetition, a quarter of it warm-up.
    slice: Duration,
    /// A repetition that would end later does not begin.
    pub(super) limit: Duration,
}

impl Plan {
    /// # Errors
    /// An unknown transport, or choices that leave no row.
    pub(super) fn new(args: &Args, registry: &Registry) -> Result<Self, Failure> {
        let subjects = subjects(args, registry)?;
        let sizes: &[usize] = if args.quick { &QUICK_SIZES } else { &SIZES };
        let waits: &[Wait] = if args.quick { &[Wait::Adaptive] } else { &Wait::ALL };
        let mut cases = Vec::new();
        for (pattern, pace) in traffic(args)? {
            for &size in or(&args.rows.sizes, sizes) {
                for &wait in or(&args.rows.waits, waits) {
                    for &senders in or(&args.rows.senders, &[1]) {
                        for subject in &subjects {
                            let case = subject.case(pattern, size, wait, pace, args);
                            let case =
                                case.map(|case| Case { senders, ..case }).filter(Case::is_possible);
                            cases.extend(case.filter(|case| !cases.contains(case)));
                        }
                    }
                }
            }
        }
        check_rows(&cases, args)?;
        check_options(&cases, &subjects, args)?;
        let seconds = Duration::from_secs;
        let (total, longest, limit) = if args.quick {
            (seconds(14), Duration::from_millis(150), seconds(22))
        } else {
            (seconds(180), Duration::from_millis(600), Duration::MAX)
        };
        let repetitions = args.method.repetitions.map_or(REPETITIONS, usize::from);
        let share = total / u32::try_from(REPETITIONS * cases.len()).unwrap_or(u32::MAX);
        let slice =
            args.method.slice.unwrap_or_else(|| share.clamp(Duration::from_millis(20), longest));
        let limit = if args.method.repetitions.is_some() || args.method.slice.is_some() {
            Duration::MAX
        } else {
            limit
        };
        Ok(Self { cases, repetitions, slice, limit })
    }

    /// Time of this row in one repetition.
    pub(super) fn slice(&self, case: &Case) -> Duration {
        let trips = match case.pace {
            Pace::AtOnce => Duration::ZERO,
            Pace::Gap(gap) => gap * TRIPS,
            Pace::Rate(rate) => Duration::from_secs_f64(f64::from(TRIPS) / rate),
        };
        self.slice.max(trips.min(LONGEST))
    }

    /// Time of all rows in one repetition.
    pub(super) fn repetition(&self) -> Duration {
        self.cases.iter().map(|case| self.slice(case)).sum()
    }
}

/// Checks that the rows honour every choice.
///
/// # Errors
/// No row honours one of them.
fn check_rows(cases: &[Case], args: &Args) -> Result<(), Failure> {
    let several = args.rows.senders.iter().any(|senders| *senders > 1);
    let why = if several && cases.iter().all(|case| case.senders == 1) {
        "--senders: several send streams over queues only; choose --patterns queue and a transport \
         with queues"
    } else if several && !args.rows.compare.is_empty() && !cases.iter().any(Case::is_baseline) {
        "--senders: baselines have one sender; choose that, too, as in --senders 1,4, or leave \
         --compare out"
    } else if cases.is_empty() {
        "nothing to measure: no row fits all choices"
    } else if args.rows.batch > 1 && !cases.iter().any(Case::takes_batches) {
        "--batch is for streams over channels; choose --patterns stream"
    } else {
        return Ok(());
    };
    Err(Failure::Usage(why.into()))
}

/// Checks that a chosen transport knows each chosen option.
///
/// # Errors
/// None knows it.
fn check_options(cases: &[Case], subjects: &[Subject<'_>], args: &Args) -> Result<(), Failure> {
    let honoured =
        |key: &str| cases.iter().flat_map(|case| &case.options).any(|(known, _)| known == key);
    let trust = args.method.trust.as_ref().map(|_| "trust");
    let mut chosen = args.method.option.iter().map(|(key, _)| key.as_str()).chain(trust);
    let Some(unknown) = chosen.find(|key| !honoured(key)) else { return Ok(()) };
    let keys = || {
        let own = subjects.iter().flat_map(|subject| match subject {
            Subject::Transport(transport, _) => transport.keys(),
            Subject::Baseline(_) => &[],
        });
        own.chain(COMMON_KEYS)
    };
    if let Some(retired) = keys().find(|key| key.is_retired() && key.name == unknown) {
        return Err(Failure::Usage(format!("--option {unknown}: {}", retired.help)));
    }
    // The same as `values::parse_option` accepts.
    let is_choice = |key: &&Key| !key.is_retired() && !["wait", "persist"].contains(&key.name);
    let mut known: Vec<_> = keys().filter(is_choice).map(|key| key.name).collect();
    known.sort_unstable();
    known.dedup();
    let known = known.join(", ");
    Err(Failure::Usage(format!(
        "no chosen transport knows the option {unknown:?}; they know {known}"
    )))
}

fn or<'a, T>(chosen: &'a [T], all: &'a [T]) -> &'a [T] {
    if chosen.is_empty() { all } else { chosen }
}

/// The patterns, each with its paces.
fn traffic(args: &Args) -> Result<Vec<(Pattern, Pace)>, Failure> {
    let paces: Vec<_> = match args.rows.rate {
        Some(rate) => vec![Pace::Rate(rate)],
        None => args.rows.gap.iter().map(|gap| Pace::Gap(*gap)).collect(),
    };
    let all = [Pattern::RoundTrip, Pattern::Stream];
    if paces.is_empty() {
        return Ok(all.map(|pattern| (pattern, Pace::AtOnce)).into());
    }
    if args.rows.patterns == [Choice::Stream] {
        return Err(Failure::Usage(
            "--gap and --rate are for round trips; choose --patterns round-trip".into(),
        ));
    }
    Ok(paces.into_iter().map(|pace| (Pattern::RoundTrip, pace)).collect())
}

/// Measured only if `--transports` names it: the kernel's limits are below the default sizes.
const ON_REQUEST: &str = "posix-mq";

/// True if the transport is measured without being named: not [`ON_REQUEST`], and on this platform.
fn is_usual(transport: &dyn DynTransport) -> bool {
    let opened = Name::new("anyipc.bench.nobody")
        .and_then(|name| transport.open(&name, &Options::default()).map(drop));
    !transport.schemes().contains(&ON_REQUEST)
        && opened.err().is_none_or(|error| error.kind() != ErrorKind::Unsupported)
}

/// A transport or a baseline, as rows are made from it.
enum Subject<'a> {
    Transport(&'a dyn DynTransport, Carrier),
    Baseline(Baseline),
}

/// The chosen transports and baselines.
fn subjects<'a>(args: &Args, registry: &'a Registry) -> Result<Vec<Subject<'a>>, Failure> {
    let able = [(Carrier::Channel, Capabilities::CHANNEL), (Carrier::Queue, Capabilities::QUEUE)];
    let all: Vec<_> = registry
        .transports()
        .flat_map(|t| able.map(|(carrier, needs)| (t, carrier, t.capabilities().contains(needs))))
        .filter_map(|(t, carrier, can)| can.then_some((t, carrier)))
        .collect();
    let named = |t: &dyn DynTransport, name: &str| t.schemes().contains(&name);
    if let Some(unknown) =
        args.rows.transports.iter().find(|name| !all.iter().any(|(t, _)| named(*t, name)))
    {
        let mut known: Vec<_> = all.iter().flat_map(|(t, _)| t.schemes()).copied().collect();
        known.dedup();
        let known = known.join(", ");
        return Err(Failure::Usage(format!(
            "--transports: no {unknown:?} here; choose from {known}"
        )));
    }
    let chosen = |t: &dyn DynTransport, carrier: Carrier| {
        let pattern = args.rows.patterns.is_empty()
            || args
                .rows
                .patterns
                .iter()
                .any(|choice| (*choice == Choice::Queue) == (carrier == Carrier::Queue));
        let default = args.rows.transports.is_empty() && is_usual(t);
        pattern && (default || args.rows.transports.iter().any(|name| named(t, name)))
    };
    let transports = all
        .into_iter()
        .filter(|(t, carrier)| chosen(*t, *carrier))
        .map(|(t, carrier)| Subject::Transport(t, carrier));
    Ok(transports
        .chain(args.rows.compare.iter().map(|baseline| Subject::Baseline(*baseline)))
        .collect())
}

impl Subject<'_> {
    /// The row, if the subject can have it.
    fn case(
        &self,
        pattern: Pattern,
        size: usize,
        wait: Wait,
        pace: Pace,
        args: &Args,
    ) -> Option<Case> {
        let queue = args.rows.patterns.contains(&Choice::Queue);
        let wanted = |carrier: Carrier| {
            let choice =
                if pattern == Pattern::RoundTrip { Choice::RoundTrip } else { Choice::Stream };
            args.rows.patterns.is_empty()
                || match carrier {
                    Carrier::Queue => queue,
                    Carrier::Channel => args.rows.patterns.contains(&choice),
                    Carrier::Baseline(_) => queue || args.rows.patterns.contains(&choice),
                }
        };
        let (transport, carrier, peer, options) = match self {
            Self::Transport(transport, carrier) => {
                let across = transport.capabilities().contains(Capabilities::CROSS_PROCESS);
                let peer = if across { PeerKind::Process } else { PeerKind::Thread };
                let scheme = transport.schemes().first().copied().unwrap_or_default();
                (scheme, *carrier, peer, options(*transport, *carrier, size, wait, args))
            }
            Self::Baseline(baseline) if !baseline.waits(wait) => return None,
            Self::Baseline(baseline) => {
                let alone = *baseline == Baseline::Memcpy;
                // One thread has no other side to wait for.
                if alone && pace != Pace::AtOnce {
                    return None;
                }
                let peer = if alone { PeerKind::Nobody } else { PeerKind::Process };
                (baseline.name(), Carrier::Baseline(*baseline), peer, Vec::new())
            }
        };
        let case =
            Case { transport, carrier, peer, pattern, size, senders: 1, wait, pace, options };
        wanted(carrier).then_some(case)
    }
}

/// The chosen options that the transport knows.
fn options(
    transport: &dyn DynTransport,
    carrier: Carrier,
    size: usize,
    wait: Wait,
    args: &Args,
) -> Vec<(String, String)> {
    let keys = transport.keys().iter().chain(COMMON_KEYS).filter(|key| !key.is_retired());
    let knows = |key: &str| keys.clone().any(|k| k.name == key);
    let trust = args.method.trust.clone().map(|trust| ("trust".to_owned(), trust));
    // The capacity of a queue is fixed, and bounds its messages.
    let chosen = args.method.option.iter().any(|(key, _)| key == "capacity");
    let large = (carrier == Carrier::Queue && size > LARGE && !chosen)
        .then(|| ("capacity".to_owned(), (IN_FLIGHT * size).to_string()));
    // The messages are any bytes, which are no lines.
    let framed = knows("frames") && !args.method.option.iter().any(|(key, _)| key == "frames");
    let frames = framed.then(|| ("frames".to_owned(), "length32le".to_owned()));
    [("wait".to_owned(), wait.name().to_owned())]
        .into_iter()
        .chain(frames)
        .chain(large)
        .chain(args.method.option.iter().cloned().chain(trust).filter(|(key, _)| knows(key)))
        .chain((size > 16 << 20).then(|| ("max_message".to_owned(), size.to_string())))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
        /// A flag of the whole command line.
        #[arg(long)]
        json: bool,
    }

    fn line(words: &[&str]) -> Result<Line, clap::Error> {
        Line::try_parse_from([&["bench"], words].concat())
    }

    fn plan(words: &[&str]) -> Result<Plan, Failure> {
        Plan::new(&line(words).unwrap().args, &Registry::new())
    }

    #[test]
    fn json_takes_a_file_or_none() {
        let both = line(&["--json", "out.json", "--quick"]).unwrap();
        assert!(both.json && both.args.files.file.is_some());
        assert!(line(&["--json"]).unwrap().args.files.file.is_none());
    }

    #[test]
    fn comparing_takes_some_or_all() {
        assert!(line(&[]).unwrap().args.rows.compare.is_empty());
        assert_eq!(line(&["--compare", "--json", "a"]).unwrap().args.rows.compare.len(), 7);
        assert_eq!(
            line(&["--compare=tcp,futex"]).unwrap().args.rows.compare,
            [Baseline::Tcp, Baseline::Futex]
        );
        assert!(line(&["--compare=rocket"]).is_err());
    }

    #[test]
    fn everything_by_default() {
        let plan = plan(&["--quick"]).unwrap();
        let registry = Registry::new();
        let usual = || registry.transports().filter(|t| is_usual(*t));
        let count = |able| usual().filter(|t| t.capabilities().contains(able)).count();
        assert_eq!(
            plan.cases.len(),
            (count(Capabilities::CHANNEL) + count(Capabilities::QUEUE)) * 8
        );
        assert!(plan.repetition() * plan.repetitions as u32 <= Duration::from_secs(15));
        let in_process = plan.cases.iter().find(|c| c.transport == "inproc").unwrap();
        assert_eq!(in_process.peer, PeerKind::Thread);
        assert_eq!(in_process.options, [("wait".into(), "adaptive".into())]);
    }

    #[test]
    fn filters_narrow() {
        let plan =
            plan(&["--transports", "inproc", "--sizes", "64,64,1KiB", "--patterns", "stream"])
                .unwrap();
        let sizes: Vec<_> = plan.cases.iter().map(|c| (c.size, c.wait)).collect();
        let waits = |size| Wait::ALL.map(|wait| (size, wait));
        assert_eq!(sizes, [waits(64), waits(1024)].concat());
        assert!(plan.cases.iter().all(|c| c.pattern == Pattern::Stream));
    }

    #[test]
    fn options_go_to_the_transports_that_know_them() {
        let words = ["--sizes", "32MiB", "--option", "timeout=1s"];
        for case in &plan(&words).unwrap().cases {
            let keys: Vec<_> = case.options.iter().map(|(k, _)| k.as_str()).collect();
            match case.carrier {
                Carrier::Queue => assert_eq!(keys, ["wait", "capacity", "timeout", "max_message"]),
                // The messages are no lines.
                _ if case.transport == "plain" => {
                    assert_eq!(keys, ["wait", "frames", "timeout", "max_message"]);
                }
                _ => assert_eq!(keys, ["wait", "timeout", "max_message"]),
            }
        }
        let plan = plan(&["--option", "scope=user"]).unwrap();
        for (transport, knows) in [("inproc", false), ("shm", true)] {
            let of = plan.cases.iter().filter(|case| case.transport == transport);
            assert!(
                of.map(|case| case.options.iter().any(|(k, _)| k == "scope")).all(|t| t == knows)
            );
        }
    }

    #[test]
    fn choices_that_no_row_honours_are_refused() {
        let why = |words: &[&str]| super::tests::plan(words).unwrap_err().to_string();
        assert!(why(&["--option", "unknown=1", "--transports", "shm"]).contains("capacity"));
        assert!(why(&["--option", "scope=user", "--transports", "inproc"]).contains("\"scope\""));
        assert!(why(&["--batch", "8", "--patterns", "round-trip"]).contains("--patterns stream"));
    }

    #[test]
    fn gaps_and_rates_are_of_round_trips() {
        let words =
            ["--gap", "20us,10ms", "--sizes", "64", "--transports", "inproc", "--waits", "block"];
        let plan = plan(&words).unwrap();
        let paces: Vec<_> = plan.cases.iter().map(|c| (c.pattern, c.pace)).collect();
        let gap = |micros| (Pattern::RoundTrip, Pace::Gap(Duration::from_micros(micros)));
        assert_eq!(paces, [gap(20), gap(10_000)]);
        assert!(plan.slice(&plan.cases[1]) >= Duration::from_millis(600));
        assert!(line(&["--gap", "1ms", "--rate", "5"]).is_err());
        let error =
            super::tests::plan(&["--rate", "5", "--patterns", "stream"]).unwrap_err().to_string();
        assert!(error.contains("round-trip"), "{error}");
    }

    #[test]
    fn several_senders_stream_over_queues() {
        let plan =
            plan(&["--senders", "1,4", "--sizes", "64", "--waits", "block", "--compare=futex"])
                .unwrap();
        for case in &plan.cases {
            assert!(
                case.senders == 1
                    || case.carrier == Carrier::Queue && case.pattern == Pattern::Stream
            );
        }
        let several: Vec<_> =
            plan.cases.iter().filter(|case| case.senders == 4).map(Case::label).collect();
        assert_eq!(several, ["mq queue, 4 senders"]);
        assert_eq!(plan.cases.iter().filter(|case| case.is_baseline()).count(), 2);
        assert!(line(&["--senders", "0"]).is_err() && line(&["--senders", "65"]).is_err());
        assert!(line(&["--senders", "4", "--rate", "5"]).is_err());
        let why = |words: &[&str]| super::tests::plan(words).unwrap_err().to_string();
        assert!(why(&["--senders", "4", "--transports", "inproc"]).contains("--patterns queue"));
        assert!(why(&["--senders", "4", "--compare"]).contains("--senders 1,4"));
    }

    #[test]
    fn baselines_stand_beside_those_that_wait_alike() {
        let plan =
            plan(&["--compare", "--transports", "inproc", "--sizes", "64", "--patterns", "stream"])
                .unwrap();
        let named = |wait| {
            let of = plan.cases.iter().filter(move |case| case.wait == wait);
            of.map(|case| case.transport).collect::<Vec<_>>()
        };
        assert_eq!(
            named(Wait::Spin),
            ["inproc", "bare cache line", "bare pipe", "bare unix", "bare tcp", "memcpy"]
        );
        assert_eq!(named(Wait::Block).len(), 7);
        assert!(!named(Wait::Adaptive).contains(&"bare cache line"));
    }

    #[test]
    fn an_unknown_transport_names_the_choices() {
        let error = plan(&["--transports", "carrier-pigeon"]).unwrap_err().to_string();
        assert!(error.contains("inproc"), "{error}");
        let error =
            plan(&["--transports", "inproc", "--patterns", "queue"]).unwrap_err().to_string();
        assert!(error.contains("nothing"), "{error}");
    }
}
