//! Forked children, and words that they share with their parent. Only where there are forks.

use std::io::Write;
use std::process::ExitStatus;
use std::sync::atomic::AtomicU32;

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
