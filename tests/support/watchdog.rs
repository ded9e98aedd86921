//! Hanging tests fail.

use std::process;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Runs the test in a thread of its own and panics if it takes longer than a minute.
pub(crate) fn watched<T: Send + 'static>(
    what: &str,
    test: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, finished) = channel();
    let runner = thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    if let Err(RecvTimeoutError::Timeout) = finished.recv_timeout(Duration::from_secs(60)) {
        panic!("{what} hangs");
    }
    runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Aborts this process if the guard lives longer than `limit`: child processes end with it.
pub(crate) fn watchdog(what: &str, limit: Duration) -> Watchdog {
    let what = what.to_owned();
    let (alive, dead) = channel();
    thread::spawn(move || {
        if dead.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            super::process::say(&format!("{what} hangs: no end after {limit:?}"));
            process::abort();
        }
    });
    Watchdog(alive)
}

/// The guard of [`watchdog`].
pub(crate) struct Watchdog(#[expect(dead_code, reason = "its drop ends the watch")] Sender<()>);

/// Polls until the condition holds, for at most 10 s.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "still not so after 10 s: {what}");
        thread::yield_now();
    }
}
