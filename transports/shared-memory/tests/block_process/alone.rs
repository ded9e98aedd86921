//! Tests that need a process of their own: to fork, and to have the environment to themselves.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicU32;
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
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() < watchdog => std::thread::sleep(Duration::from_millis(5)),
            None => {
                // SAFETY: the group is the one made above, and its leader has not been waited for.
                unsafe { libc::kill(-(child.id() as i32), libc::SIGKILL) };
                panic!("{test} hangs: {:?}", child.wait());
            }
        }
    };
    assert!(status.success(), "{test}: {status}");
}

/// A forked child.
pub(crate) struct Forked {
    pid: i32,
    waited: bool,
}

/// Forks; the child runs the body and exits, with 0 if it returns true.
pub(crate) fn fork(body: impl FnOnce() -> bool) -> Forked {
    // SAFETY: the child runs only the body and leaves by `_exit`; glibc's allocator works after a
    // fork.
    match unsafe { libc::fork() } {
        0 => {
            let fine =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(false);
            let _ = std::io::stdout().flush();
            // SAFETY: ends this process without running what belongs to the parent.
            unsafe { libc::_exit(if fine { 0 } else { 9 }) }
        }
        pid => {
            assert!(pid > 0, "fork: {}", std::io::Error::last_os_error());
            Forked { pid, waited: false }
        }
    }
}

impl Forked {
    /// Sends SIGKILL and does not wait.
    pub(crate) fn shoot(&self) {
        self.signal(libc::SIGKILL);
    }

    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: our child, not waited for yet.
        unsafe { libc::kill(self.pid, signal) };
    }

    pub(crate) fn wait(mut self) -> ExitStatus {
        self.waited = true;
        let mut status = 0;
        // SAFETY: our child, not waited for yet.
        let pid = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        assert_eq!(pid, self.pid, "{}", std::io::Error::last_os_error());
        std::os::unix::process::ExitStatusExt::from_raw(status)
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        if !self.waited {
            self.shoot();
        }
    }
}

/// Words that this process and its children share.
pub(crate) fn shared_words(count: usize) -> &'static [AtomicU32] {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
    // SAFETY: a new mapping at an address of the kernel's choice, zeroed and never unmapped; the
    // words are used as atomics only.
    unsafe {
        let start = mmap_anonymous(std::ptr::null_mut(), count * 4, protection, flags).unwrap();
        std::slice::from_raw_parts(start.cast(), count)
    }
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
