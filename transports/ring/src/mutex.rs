//! The lock word of a mutex: as a [robust lock](crate::robust), for critical sections of any
//! length. It is made of tries and announcements, so that threads and tasks can wait for it; they
//! wait in a [wait set](crate::wait_set) beside it.
//!
//! The word is 0 if it is free, otherwise its owner's id, perhaps with `WAITERS`: releasing it
//! then wakes one waiter. A taker that has waited sets the bit, for it cannot know whether others
//! wait.
//!
//! *Fairness.* The lock may be taken past its waiters, which spares a busy process a switch for
//! each turn. A waiter that has waited for long sets `starving`; the next release leaves `WAITERS`
//! alone in the word: free, but only for those that have waited. The flag has no owner: if nobody
//! waits, the release takes it back, and if the waiter that it woke died, the next one that has
//! slept for a slice takes the lock.
//!
//! Ordering: as in [`robust`](crate::robust): its `owner` reads this word, too. Announcing a
//! wait and releasing the lock are `SeqCst`: one of both sees the other.

use crate::primitive::{AtomicU32, Ordering};
use crate::robust::{LockBackend, OwnerId, Taken};

/// Releasing the lock wakes a waiter.
const WAITERS: u32 = 1 << 31;

/// How a locker tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// It has not waited yet, and will: it leaves the lock to those that starve.
    Fresh,
    /// It does not wait.
    Once,
    /// It has waited: others may wait as well.
    Waited,
}

/// Takes the lock. `None` if it is held, or left to those that have waited. `looks` is whether to
/// ask for the owner's death, which costs a system call.
#[inline(always)]
pub fn try_lock(
    word: &AtomicU32,
    own_id: OwnerId,
    effort: Effort,
    looks: bool,
    backend: &impl LockBackend,
) -> Option<Taken> {
    let own = if effort == Effort::Waited { own_id.bits() | WAITERS } else { own_id.bits() };
    match word.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(Taken::Free),
        Err(now) => try_taken(word, now, own, effort, looks, backend),
    }
}

/// `now`: what the word was. It is tried once more: a word that has changed was alive.
#[cold]
fn try_taken(
    word: &AtomicU32,
    now: u32,
    own: u32,
    effort: Effort,
    looks: bool,
    backend: &impl LockBackend,
) -> Option<Taken> {
    let taken = match OwnerId::from_bits(now & !WAITERS) {
        None if effort == Effort::Fresh => return None,
        None => Taken::Free,
        Some(owner) if looks && backend.is_dead(owner) => Taken::OwnerDied,
        Some(_) => return None,
    };
    word.compare_exchange(now, own | now & WAITERS, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
        .then_some(taken)
}

/// True if nobody has the lock, nor is it left to others than a locker with this effort.
#[inline]
pub fn is_free(word: &AtomicU32, effort: Effort) -> bool {
    match word.load(Ordering::SeqCst) {
        0 => true,
        WAITERS => effort != Effort::Fresh,
        _ => false,
    }
}

/// Sees to it that the owner wakes a waiter when it releases the lock. False if the lock is free:
/// the caller tries again instead of sleeping. It has announced itself in the wait set before.
pub fn await_release(word: &AtomicU32, effort: Effort) -> bool {
    let mut now = word.load(Ordering::SeqCst);
    loop {
        match now {
            0 => return false,
            // Left to those that have waited.
            WAITERS => return effort == Effort::Fresh,
            _ if now & WAITERS != 0 => return true,
            _ => {}
        }
        match word.compare_exchange(now, now | WAITERS, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return true,
            Err(changed) => now = changed,
        }
    }
}

/// Releases the lock, which the caller holds. `wake_next` wakes a waiter; false if there is none.
#[inline(always)]
pub fn unlock(word: &AtomicU32, starving: &AtomicU32, wake_next: impl Fn() -> bool) {
    // A flag that is seen late costs one more turn.
    if starving.load(Ordering::Relaxed) != 0 {
        leave_to_starving(word, starving, wake_next);
    } else if word.swap(0, Ordering::SeqCst) & WAITERS != 0 {
        wake_next();
    }
}

#[cold]
fn leave_to_starving(word: &AtomicU32, starving: &AtomicU32, wake_next: impl Fn() -> bool) {
    starving.store(0, Ordering::Relaxed);
    word.swap(WAITERS, Ordering::SeqCst);
    // The flag was old: nobody waits. Those that came since and found the lock left to others look
    // again.
    if !wake_next()
        && word.compare_exchange(WAITERS, 0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    {
        wake_next();
    }
}
