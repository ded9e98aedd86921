//! Questions that only the real system can settle. Each runs in a process of its own.

mod blocks;
mod channels;
mod files;
mod locks;
mod waits;

use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Registry};
use serde::Serialize;

use crate::arguments::Arguments;
use crate::facts::files_of_the_private_directory;
use crate::helper::{Helper, Orders, Silence, say};
use crate::outcome::Outcome;
use crate::panics;

/// A question.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    run: fn(&Setting) -> Found,
    /// The transport that it is about.
    scheme: &'static str,
}

/// What a probe is told.
#[derive(Debug)]
struct Setting {
    scheme: &'static str,
    kills: u32,
}

/// The answer. An error is a failure, or a skipped probe if it says `Unsupported`.
type Found = Result<Outcome, Box<dyn Error>>;

const fn probe(
    name: &'static str,
    question: &'static str,
    run: fn(&Setting) -> Found,
    scheme: &'static str,
) -> Probe {
    Probe { name, question, run, scheme }
}

/// Every question.
pub(crate) const ALL: &[Probe] = &[
    probe(
        "remove-mapped",
        "Can a block be removed by force, and its name used again, while a process has it mapped",
        blocks::removed_while_mapped,
        "shm",
    ),
    probe(
        "last-holder",
        "When the last holder of a block was killed, is its name free at once",
        blocks::name_after_the_last_death,
        "shm",
    ),
    probe(
        "survivor",
        "Does a block stay whole for the other holders when one of them was killed",
        blocks::survivor_keeps_the_block,
        "shm",
    ),
    probe(
        "forked-memory",
        "Does a forked child lack the memory of its parent's blocks",
        blocks::forked_child,
        "shm",
    ),
    probe(
        "many-files",
        "Does anything hold new files open (an antivirus filter), so that they cannot be removed",
        files::made_and_removed,
        "shm",
    ),
    probe(
        "nameless-files",
        "Can a file be made without a name and get one by a hard link when it is complete",
        files::nameless,
        "",
    ),
    probe(
        "fixed-size",
        "Can memory that was handed to a peer, and mapped, not be cut",
        files::size_of_handed_over_memory,
        "",
    ),
    probe(
        "long-directory",
        "Do channels work in a private directory with a path longer than a socket's address",
        channels::long_directory,
        "",
    ),
    probe("locks", "Do locks of files exclude other processes", locks::between_processes, ""),
    probe("locks-here", "Do they exclude other handles of one process", locks::between_handles, ""),
    probe(
        "locks-death",
        "When their holder was killed, are locks free at once",
        locks::after_death,
        "",
    ),
    probe("looking", "Is looking for holders never mistaken for holding", locks::looking, ""),
    probe("sleep", "How does a thread sleep until another process wakes it", waits::way, ""),
    probe("timer", "Does a set of descriptors wake at the time it was told", waits::timer, ""),
    probe("left-shm", "Is nothing left of a channel with a killed peer", channels::left, "shm"),
    probe("left-mq", "Is nothing left of a channel with a killed peer", channels::left, "mq"),
    probe("kill-shm", KILL, channels::killed_sender, "shm"),
    probe("kill-mq", KILL, channels::killed_sender, "mq"),
    probe("kill-posix-mq", KILL, channels::killed_sender, "posix-mq"),
    probe("kill-local", KILL, channels::killed_sender, "local"),
    probe("kill-tcp", KILL, channels::killed_sender, "tcp"),
    probe("kill-pipe", KILL, channels::killed_sender, "pipe"),
    probe("owner-shm", OWNER, channels::killed_owner, "shm"),
    probe("owner-mq", OWNER, channels::killed_owner, "mq"),
    probe("owner-local", OWNER, channels::killed_owner, "local"),
    probe("owner-pipe", OWNER, channels::killed_owner, "pipe"),
    probe("peer-shm", PEER, channels::peer_identity, "shm"),
    probe("peer-mq", PEER, channels::peer_identity, "mq"),
    probe("peer-local", PEER, channels::peer_identity, "local"),
    probe("peer-pipe", PEER, channels::peer_identity, "pipe"),
    probe("wake-shm", WAKE, waits::round_trips, "shm"),
    probe("wake-mq", WAKE, waits::round_trips, "mq"),
    probe("wake-posix-mq", WAKE, waits::round_trips, "posix-mq"),
    probe("wake-local", WAKE, waits::round_trips, "local"),
    probe("wake-tcp", WAKE, waits::round_trips, "tcp"),
    probe("wake-pipe", WAKE, waits::round_trips, "pipe"),
    probe("connect-shm", CONNECT, waits::connections, "shm"),
    probe("connect-mq", CONNECT, waits::connections, "mq"),
    probe("connect-local", CONNECT, waits::connections, "local"),
    probe("connect-tcp", CONNECT, waits::connections, "tcp"),
    probe("connect-pipe", CONNECT, waits::connections, "pipe"),
];

const KILL: &str = "Is a killed sender reported within a second, after all that it sent";
const OWNER: &str = "When an owner was killed, can another process be the owner at once";
const PEER: &str = "Is the peer's process known";
const WAKE: &str = "Is a sleeping receiver in another process woken by each message";
const CONNECT: &str = "Is a sleeping owner woken by each connector, and the connector by it";

/// A question with its answer.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    pub(crate) name: &'static str,
    pub(crate) question: &'static str,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// Asks, for as long as the limit says.
pub(crate) fn run(probe: &Probe, arguments: &Arguments) -> Answered {
    let limit = arguments.limit;
    let outcome = match Helper::start(["probe", probe.name, &arguments.kills.to_string()]) {
        Ok(mut process) => match process.line(limit) {
            Ok(line) => serde_json::from_str(&line).unwrap_or_else(|_| Outcome::failed(line)),
            Err(Silence::Late) => Outcome::failed(format!("no answer within {limit:?}")),
            Err(Silence::Ended(status)) => Outcome::failed(format!("its process ended: {status}")),
        },
        Err(error) => Outcome::failed(format!("no process could be started: {error}")),
    };
    Answered { name: probe.name, question: probe.question, outcome }
}

/// Asks in this process, and says the answer.
pub(crate) fn play(name: &str, kills: &str) -> Result<(), String> {
    let probe = ALL.iter().find(|probe| probe.name == name).ok_or("no such probe")?;
    let kills = kills.parse().map_err(|_| "not a number")?;
    let setting = Setting { scheme: probe.scheme, kills };
    let outcome = match panics::caught(|| (probe.run)(&setting)) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) if is_unsupported(&*error) => Outcome::skipped(error.to_string()),
        Ok(Err(error)) => Outcome::failed(error.to_string()),
        Err(message) => Outcome::failed(message),
    };
    say(serde_json::to_string(&outcome).map_err(|error| error.to_string())?);
    Ok(())
}

fn is_unsupported(error: &(dyn Error + 'static)) -> bool {
    let ours = error.downcast_ref::<anyipc::Error>();
    let of_the_system = error.downcast_ref::<io::Error>();
    ours.is_some_and(|error| error.kind() == ErrorKind::Unsupported)
        || of_the_system.is_some_and(|error| error.kind() == io::ErrorKind::Unsupported)
}

/// Plays a part in a probe of another process.
pub(crate) fn play_part(part: &str, words: &[&str], orders: &Orders) -> Result<(), String> {
    let played = match (part, words) {
        ("hold", [url]) => blocks::hold(url, orders),
        ("create", [url]) => blocks::create(url, orders),
        ("lock", [file, lock]) => locks::lock(file, lock, orders),
        ("stream", [url]) => channels::stream(url),
        ("own", [url]) => channels::own(url, orders),
        ("meet", [url]) => channels::meet(url, orders),
        ("both", [scheme]) => channels::both_sides(scheme),
        ("echo", [url]) => waits::echo(url),
        ("connect", [url]) => waits::connect(url, orders),
        _ => Err("no such part".into()),
    };
    played.map_err(|error| error.to_string())
}

/// What the whole run left behind in the private directory.
pub(crate) fn leftovers(before: &[String]) -> Answered {
    let outcome = match Leftovers::since(before) {
        Leftovers { found: 0, .. } => Outcome::passed("nothing"),
        left if left.after_sweep == 0 => Outcome::passed(format!(
            "{} files of killed processes, which a sweep removed",
            left.found
        )),
        left => Outcome::failed(left.describe()),
    };
    Answered { name: "leftovers", question: "What did this run leave behind", outcome }
}

/// Files that were not there before.
struct Leftovers {
    found: usize,
    after_sweep: usize,
    swept: String,
}

impl Leftovers {
    /// Counts, sweeps, and counts again.
    fn since(before: &[String]) -> Self {
        let count = || {
            let now = files_of_the_private_directory();
            now.iter().filter(|name| before.binary_search(name).is_err()).count()
        };
        let found = count();
        let swept = match if found > 0 { sweep() } else { Ok(()) } {
            Ok(()) => String::new(),
            Err(error) => format!(" ({error})"),
        };
        Self { found, after_sweep: count(), swept }
    }

    fn describe(&self) -> String {
        let Self { found, after_sweep, swept } = self;
        format!("{found} files left, {after_sweep} after a sweep{swept}")
    }
}

fn sweep() -> anyipc::Result<()> {
    Registry::global().sweep(true).map(drop)
}

/// A name that nothing else uses.
fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("report.{}.{serial}", std::process::id())
}

/// The address of such a name.
fn url(scheme: &str) -> String {
    match scheme {
        "tcp" => "tcp://127.0.0.1:0".to_owned(),
        _ => format!("{scheme}://{}", unique()),
    }
}

/// Tries until it is true, for at most five seconds. The number of tries, and how long it took.
fn retried(
    mut attempt: impl FnMut() -> Result<bool, Box<dyn Error>>,
) -> Result<Tries, Box<dyn Error>> {
    const LIMIT: Duration = Duration::from_secs(5);
    let start = Instant::now();
    let mut tries = 1;
    while !attempt()? {
        if start.elapsed() > LIMIT {
            return Err(format!("not within {LIMIT:?}, after {tries} tries").into());
        }
        tries += 1;
        std::thread::yield_now();
    }
    Ok(Tries { tries, took: start.elapsed() })
}

struct Tries {
    tries: u32,
    took: Duration,
}

/// How often the first try was enough, and what the others took.
fn describe(all: &[Tries]) -> String {
    let at_once = all.iter().filter(|one| one.tries == 1).count();
    let worst = all.iter().map(|one| one.took).max().unwrap_or_default();
    format!("{at_once} of {} at the first try, the latest after {}", all.len(), time(worst))
}

/// The middle, the worst of a hundred, and the worst.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    let longest = times.last().copied().unwrap_or_default();
    format!("median {}, 99 % within {}, longest {}", time(at(50)), time(at(99)), time(longest))
}

fn time(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..10_000 => format!("{micros} µs"),
        micros => format!("{} ms", micros / 1000),
    }
}
