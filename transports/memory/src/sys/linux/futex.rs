use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::thread::futex::{Flags, Timespec, wait, wake};

/// True if a thread can sleep on a word that processes share: here always.
pub const fn parks() -> bool {
    true
}

/// Sleeps while `word` is `expected`: until a wake, a signal, a difference or the timeout. The
/// caller checks its condition again in each case. Works across processes.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout: Duration) {
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // No `PRIVATE` flag: the word may lie in another process's mapping of the same memory.
    let _ = wait(word, Flags::empty(), expected, Some(&timeout));
}

/// Wakes at most `most` sleepers on `word`, in whichever process. Returns how many.
pub(crate) fn futex_wake(word: &AtomicU32, most: u32) -> u32 {
    // The kernel takes the number for a signed one.
    let woken = wake(word, Flags::empty(), most.min(i32::MAX as u32));
    woken.map_or(0, |woken| u32::try_from(woken).unwrap_or(u32::MAX))
}
