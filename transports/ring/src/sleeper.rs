#![expect(clippy::unwrap_used, reason = "these are tests")]

use crate::primitive::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Sleeps on a word as a futex does, between the threads of a test.
#[derive(Debug, Default)]
pub(crate) struct Sleeper {
    lock: Mutex<()>,
    woken: Condvar,
}

impl Sleeper {
    /// Sleeps while `word` is `expected`: until a wake, a difference or the timeout.
    pub(crate) fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        let guard = self.lock.lock().unwrap();
        if word.load(Ordering::Relaxed) == expected {
            drop(self.woken.wait_timeout(guard, timeout).unwrap());
        }
    }

    /// Wakes one sleeper. The word has changed before.
    pub(crate) fn wake(&self, _word: &AtomicU32) {
        drop(self.lock.lock().unwrap());
        self.woken.notify_one();
    }
}
