//! The count of a condition variable: how often it was notified. A waiter reads it while it has the
//! lock, and waits in a [wait set](crate::wait_set) until it is another one.
//!
//! *Deaths.* A notification is the count, not the wake-up. If the waiter that was woken dies, or
//! the process that notifies dies before it has woken any, all others find another count at the end
//! of a slice, and return: too many rather than none. No process has anything in it.

use crate::primitive::{AtomicU64, Ordering::SeqCst};
use crate::wait_set::{WaitWords, Wakers, wake_all, wake_one};

/// The count now. A waiter reads it before it releases the lock.
#[inline]
pub fn count(word: &AtomicU64) -> u64 {
    word.load(SeqCst)
}

/// Notifies a waiter.
#[inline]
pub fn notify_one(word: &AtomicU64, waiters: &impl WaitWords, wakers: &impl Wakers) {
    word.fetch_add(1, SeqCst);
    wake_one(waiters, wakers);
}

/// Notifies all waiters.
#[inline]
pub fn notify_all(word: &AtomicU64, waiters: &impl WaitWords, wakers: &impl Wakers) {
    word.fetch_add(1, SeqCst);
    wake_all(waiters, wakers);
}

/// A waiter that looks at what it waits for under a lock, and processes that change that.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;
    use crate::modelled::{Waiters, explore};

    #[derive(Default)]
    struct Shared {
        things: Mutex<u32>,
        count: AtomicU64,
        waiters: Waiters,
    }

    impl Shared {
        /// Takes a thing.
        fn take(&self, sleep: impl Fn(&Waiters, &mut dyn FnMut() -> Option<()>)) {
            loop {
                let mut things = self.things.lock().unwrap();
                if *things > 0 {
                    *things -= 1;
                    return;
                }
                let seen = count(&self.count);
                drop(things);
                sleep(&self.waiters, &mut || (count(&self.count) != seen).then_some(()));
            }
        }
    }

    fn run(notify: fn(&AtomicU64, &Waiters, &Waiters), gives: &'static [u32]) {
        explore(move || {
            let shared = Arc::new(Shared::default());
            let (thread, poller) = (Arc::clone(&shared), Arc::clone(&shared));
            let takers = [
                thread::spawn(move || thread.take(|waiters, attempt| waiters.wait(attempt))),
                thread::spawn(move || poller.take(|waiters, attempt| waiters.poll(3, attempt))),
            ];
            for give in gives {
                *shared.things.lock().unwrap() += give;
                notify(&shared.count, &shared.waiters, &shared.waiters);
            }
            takers.into_iter().for_each(|taker| taker.join().unwrap());
        });
    }

    #[test]
    fn condvar_wakes_all() {
        run(notify_all, &[2]);
    }

    #[test]
    fn condvar_wakes_one_for_each() {
        run(notify_one, &[1, 1]);
    }
}
