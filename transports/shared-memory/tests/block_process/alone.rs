//! Tests that need a process of their own: to fork, and to have the environment to themselves.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::Place;

const ALONE: &str = "ANYIPC_TEST_ALONE";

/// Runs the body in a new process with one thread and a directory of its own: the calling test
/// again.
pub(crate) fn alone(test: &str, watchdog: Duration, body: impl FnOnce(&Place)) {
    if std::env::var_os(ALONE).is_some() {
        let place = Place::of_environment();
        body(&place);
        return std::mem::forget(place);
    }
    let place = Place::new();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(ALONE, "1").env("ANYIPC_DIR", place.base()).stdin(Stdio::null());
    // Its own group, so that the watchdog reaches its children too.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() < watchdog => std::thread::sleep(Duration::from_millis(5)),
            None => {
                kill_all(&mut child);
                panic!("{test} hangs: {:?}", child.wait());
            }
        }
    };
    assert!(status.success(), "{test}: {status}");
}

#[cfg(unix)]
fn kill_all(child: &mut Child) {
    // SAFETY: the group is the one made above, and its leader has not been waited for.
    unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
}

/// Its children end with their input.
#[cfg(windows)]
fn kill_all(child: &mut Child) {
    let _ = child.kill();
}

/// A small random number generator (xorshift), good enough to choose instants.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    /// Passes a random time below the given one.
    pub(crate) fn pause(&mut self, most: Duration) {
        let end = Instant::now() + Duration::from_nanos(self.below(most.as_nanos() as u64));
        while Instant::now() < end {
            std::thread::yield_now();
        }
    }
}
