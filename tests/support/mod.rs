//! What the torture tests share: directories of their own, second processes, messages that show any damage.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

pub(crate) mod counters;
pub(crate) mod halves;
pub(crate) mod message;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod schemes;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyipc::{Channel, ErrorKind, Result};

/// A name that nobody else uses.
pub(crate) fn unique(tag: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("torture.{tag}.{}.{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

/// A directory for one test's objects, in memory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(tag: &str) -> Self {
        let path = Path::new("/dev/shm").join(unique(tag));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the objects of this user lie.
pub(crate) fn private_dir(base: &Path) -> PathBuf {
    base.join(format!("anyipc-{}", rustix::process::geteuid().as_raw()))
}

/// The names in the private directory under `base`.
pub(crate) fn files(base: &Path) -> Vec<String> {
    match std::fs::read_dir(private_dir(base)) {
        Ok(entries) => {
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
        }
        Err(_) => Vec::new(),
    }
}

/// The descriptors of this process, as `/proc` names them.
pub(crate) fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut all: Vec<String> = entries
        .map(|e| std::fs::read_link(e.unwrap().path()))
        .map(|target| target.map_or("(closed)".into(), |t| t.to_string_lossy().into_owned()))
        .collect();
    // The directory's own descriptor is gone by now.
    all.retain(|target| !target.starts_with("/proc/"));
    all.sort_unstable();
    all
}

/// How many mappings of channel memory this process has.
pub(crate) fn channel_mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").unwrap().matches("memfd:anyipc").count()
}

/// Bytes of memory this process occupies.
pub(crate) fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * rustix::param::page_size() as u64
}

/// A number from the environment.
pub(crate) fn setting(key: &str, default: u64) -> u64 {
    match std::env::var(key) {
        Ok(text) => {
            text.replace('_', "").parse().unwrap_or_else(|_| panic!("{key}={text} is no number"))
        }
        Err(_) => default,
    }
}

/// The kind of an error that must be there.
#[track_caller]
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Ends the whole process if the test takes longer: hung tests fail, and their processes end with them.
pub(crate) fn watchdog(what: &str, limit: Duration) -> Watchdog {
    let what = what.to_owned();
    let (alive, dead) = channel();
    std::thread::spawn(move || {
        if dead.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            process::say(&format!("{what} hangs: no end after {limit:?}"));
            std::process::abort();
        }
    });
    Watchdog(alive)
}

/// Drop it in time.
pub(crate) struct Watchdog(#[expect(dead_code, reason = "its drop ends the watch")] Sender<()>);

/// Polls until something is so.
#[track_caller]
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so after 10 s: {what}");
        std::thread::yield_now();
    }
}

/// Both ends of a channel within this process, the owner's first.
pub(crate) fn pair(url: &str) -> (anyipc::Endpoint, Channel, Channel) {
    pair_with(url, url)
}

/// As [`pair`], with another address for the opener.
pub(crate) fn pair_with(url: &str, opener: &str) -> (anyipc::Endpoint, Channel, Channel) {
    let owner = anyipc::create(url).unwrap();
    let opener = opener.to_owned();
    let dial = std::thread::spawn(move || anyipc::connect(opener).unwrap());
    let accepted = owner.accept_timeout(Duration::from_secs(20)).unwrap();
    (owner, accepted, dial.join().unwrap())
}
