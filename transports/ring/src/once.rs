//! The word of something that is to be done once: whether it is done, and the owner id of the
//! participant that does it. What waits for it waits in a [wait set](crate::wait_set).
//!
//! ```text
//! NEW ──→ owner id ──→ COMPLETE
//!          │     ↑
//!          │     └── a dead owner is followed, with the news
//!          └──→ BROKEN (it gave up) ──→ owner id, with the news
//! ```
//! All is one word, so a death leaves one of these states and nothing between.
//!
//! Ordering: completing is a release and finding it complete an acquire. Taking it over from the
//! dead is as in [`robust`](crate::robust). All are `SeqCst`, for the wait set.

use crate::primitive::{AtomicU32, Ordering::SeqCst};
use crate::robust::{LockBackend, OwnerId};
use crate::wait_set::{WaitWords, Wakers, wake_all};

/// Nobody has begun.
const NEW: u32 = 0;
/// It is done. No owner id.
const COMPLETE: u32 = 1 << 31;
/// It was begun and given up. No owner id.
const BROKEN: u32 = COMPLETE | 1;

/// What a caller that would do it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// It is done.
    Complete,
    /// The caller does it. `after_death`: one that did it before died, or gave up.
    Ours {
        /// What it was to do may be half done.
        after_death: bool,
    },
    /// Another participant does it.
    Others,
    /// The word is none of these.
    Corrupt,
}

/// True if it is done.
#[inline]
pub fn is_complete(word: &AtomicU32) -> bool {
    word.load(SeqCst) == COMPLETE
}

/// Begins, if it is neither done nor being done. `looks` is whether to ask for the death of the
/// participant that does it, which costs a system call.
pub fn begin(word: &AtomicU32, own_id: OwnerId, looks: bool, backend: &impl LockBackend) -> Begun {
    let now = word.load(SeqCst);
    match (now, OwnerId::from_bits(now)) {
        (COMPLETE, _) => return Begun::Complete,
        (NEW | BROKEN, _) => {}
        (_, None) => return Begun::Corrupt,
        (_, Some(owner)) if looks && backend.is_dead(owner) => {}
        (_, Some(_)) => return Begun::Others,
    }
    match word.compare_exchange(now, own_id.bits(), SeqCst, SeqCst) {
        Ok(_) => Begun::Ours { after_death: now != NEW },
        Err(_) => Begun::Others,
    }
}

/// True if a try of [`begin`] is worth it: nobody does it, or a dead participant.
pub fn can_begin(word: &AtomicU32, backend: &impl LockBackend) -> bool {
    OwnerId::from_bits(word.load(SeqCst)).is_none_or(|owner| backend.is_dead(owner))
}

/// It is done. The caller is the one that did it.
pub fn complete(word: &AtomicU32, waiters: &impl WaitWords, wakers: &impl Wakers) {
    word.swap(COMPLETE, SeqCst);
    wake_all(waiters, wakers);
}

/// It is given up. The caller is the one that did it.
pub fn give_up(word: &AtomicU32, waiters: &impl WaitWords, wakers: &impl Wakers) {
    word.swap(BROKEN, SeqCst);
    wake_all(waiters, wakers);
}

/// Participants that do it, die and give up, in every order.
#[cfg(all(test, loom))]
mod loom_tests {
    use std::time::Duration;

    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::modelled::{Waiters, explore};
    use crate::primitive::Ordering::Relaxed;

    struct Backend;

    impl LockBackend for Backend {
        fn is_dead(&self, owner_id: OwnerId) -> bool {
            owner_id.slot() == 7
        }
        fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {}
        fn wake(&self, _word: &AtomicU32) {}
    }

    struct Shared {
        word: AtomicU32,
        /// How often it was done.
        done: AtomicU32,
        waiters: Waiters,
    }

    impl Shared {
        /// Does it, if need be; gives up so often. Returns what it was told of deaths.
        fn call(&self, slot: u32, mut gives_up: u32) -> Vec<bool> {
            let mut told = Vec::new();
            loop {
                let begun = self.waiters.wait(|| {
                    match begin(&self.word, OwnerId::new(slot, 1), true, &Backend) {
                        Begun::Others => None,
                        begun => Some(begun),
                    }
                });
                let Begun::Ours { after_death } = begun else {
                    assert_eq!(begun, Begun::Complete);
                    assert_eq!(self.done.load(Relaxed), 1, "what was done is not seen");
                    return told;
                };
                told.push(after_death);
                if gives_up > 0 {
                    gives_up -= 1;
                    give_up(&self.word, &self.waiters, &self.waiters);
                    continue;
                }
                // Not atomic: one does it at a time.
                self.done.store(self.done.load(Relaxed) + 1, Relaxed);
                complete(&self.word, &self.waiters, &self.waiters);
            }
        }
    }

    fn run(start: u32, gives_up: u32) {
        explore(move || {
            let shared = Arc::new(Shared {
                word: AtomicU32::new(start),
                done: AtomicU32::new(0),
                waiters: Waiters::default(),
            });
            let other = Arc::clone(&shared);
            let there = thread::spawn(move || other.call(1, gives_up));
            let mut told = shared.call(0, 0);
            told.extend(there.join().unwrap());
            // Each attempt but the very first one was told of the one before.
            let firsts = told.iter().filter(|after_death| !**after_death).count();
            assert_eq!(firsts, usize::from(start == NEW), "{told:?}");
            assert!(told.len() <= 1 + gives_up as usize, "{told:?}");
        });
    }

    #[test]
    fn once_is_done_once() {
        run(NEW, 0);
    }

    #[test]
    fn once_is_done_by_another_if_one_gives_up() {
        run(NEW, 1);
    }

    #[test]
    fn once_is_taken_over_from_the_dead() {
        run(OwnerId::new(7, 1).bits(), 0);
    }
}
