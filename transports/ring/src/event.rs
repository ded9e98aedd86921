//! The word of an event: 0, or anything else if it is set. What waits for it waits in a
//! [wait set](crate::wait_set).
//!
//! *Deaths.* The signal is the word, not the wake-up: a waiter that dies after it was woken and
//! before it took the signal leaves the word as it is, and the others find that at the end of a
//! slice.
//!
//! Ordering: setting is a release and seeing it an acquire: a waiter sees what was written before
//! the event was set. Both are `SeqCst`, for the wait set.

use crate::primitive::{AtomicU32, Ordering::SeqCst};
use crate::wait_set::{WaitWords, Wakers, wake_all, wake_one};

/// How an event ends being set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reset {
    /// By a call. Until then every wait ends at once.
    Manual,
    /// By the wait that sees it: one waiter gets each signal.
    Auto,
}

/// Sets the event and wakes: all waiters, or one if it takes the signal. An event that is set
/// already wakes again: the process that set it may have died before it woke any.
#[inline]
pub fn set(signal: &AtomicU32, reset: Reset, waiters: &impl WaitWords, wakers: &impl Wakers) {
    signal.swap(1, SeqCst);
    match reset {
        Reset::Manual => wake_all(waiters, wakers),
        Reset::Auto => {
            wake_one(waiters, wakers);
        }
    }
}

/// Ends being set. True if it was.
#[inline]
pub fn reset(signal: &AtomicU32) -> bool {
    signal.swap(0, SeqCst) != 0
}

/// True if it is set.
#[inline]
pub fn is_set(signal: &AtomicU32) -> bool {
    signal.load(SeqCst) != 0
}

/// True if it is set; one with automatic reset then no longer is.
#[inline]
pub fn try_wait(signal: &AtomicU32, how: Reset) -> bool {
    // Waiters that spin do not take the word's cache line from each other.
    is_set(signal) && (how == Reset::Manual || reset(signal))
}

/// Waiters and processes that set the event, in every order. A lost wake-up is a deadlock.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::modelled::{Waiters, explore};

    #[derive(Default)]
    struct Shared {
        signal: AtomicU32,
        waiters: Waiters,
    }

    impl Shared {
        fn wait(&self, how: Reset) {
            self.waiters.wait(|| try_wait(&self.signal, how).then_some(()));
        }
        fn poll(&self, slot: u32, how: Reset) {
            self.waiters.poll(slot, || try_wait(&self.signal, how).then_some(()));
        }
        fn set(&self, how: Reset) {
            set(&self.signal, how, &self.waiters, &self.waiters);
        }
    }

    /// Runs it in a thread.
    fn run(shared: &Arc<Shared>, work: fn(&Shared)) -> thread::JoinHandle<()> {
        let shared = Arc::clone(shared);
        thread::spawn(move || work(&shared))
    }

    #[test]
    fn event_wakes_all() {
        explore(|| {
            let shared = Arc::new(Shared::default());
            let waiters = [
                run(&shared, |shared| shared.wait(Reset::Manual)),
                run(&shared, |shared| shared.poll(3, Reset::Manual)),
            ];
            shared.set(Reset::Manual);
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
            assert!(is_set(&shared.signal));
        });
    }

    #[test]
    fn event_is_taken_once_for_each_set() {
        explore(|| {
            let shared = Arc::new(Shared::default());
            let waiter = run(&shared, |shared| shared.wait(Reset::Auto));
            shared.set(Reset::Auto);
            waiter.join().unwrap();
            assert!(!is_set(&shared.signal));
        });
    }

    /// Both wait for both signals, and neither is woken in vain.
    #[test]
    fn event_goes_round() {
        explore(|| {
            let shared = Arc::new(Shared::default());
            let waiter = run(&shared, |shared| {
                shared.wait(Reset::Auto);
                shared.set(Reset::Auto);
            });
            shared.set(Reset::Auto);
            shared.poll(3, Reset::Auto);
            // It may have taken its own signal, and the waiter's is still to come.
            shared.set(Reset::Auto);
            waiter.join().unwrap();
        });
    }
}
