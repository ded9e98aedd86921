//! Permits that participants hold, and that the dead give back.
//!
//! What each participant has stands in the [cell](crate::cells) of its slot, and nowhere else: what
//! is left is the total without their sum. So a death needs no repair, and giving back is one
//! atomic subtraction.
//!
//! Taking is a claim that others see, and a compare-and-swap of the *turn*, which says that nobody
//! took since the sum was made:
//! ```text
//! turn → seen
//! sum of the cells + wanted ≤ total?  otherwise there is too little
//! cell + wanted
//! turn: seen → seen + 1?              otherwise cell - wanted, again
//! ```
//! Two that take the last permit both claim it, and the turn decides. A claim can only make others
//! see too little, for as long as it takes; a claimant that withdraws one and leaves wakes them.
//! One that dies or is stopped in between has, or had, the permits that it claimed.
//!
//! *Order.* A waiter that has waited for long notes itself and what it wants as the *first*: others
//! leave so much. The note has an owner, so it ends with a death. If there was enough for it during
//! a whole slice of another waiter, it is stopped, and is passed.

use crate::cells::{self, Cells};
use crate::mutex::Effort;
use crate::primitive::{AtomicU32, AtomicU64, Ordering::SeqCst, fence_behind_swap};
use crate::robust::{LockBackend, OwnerId};

/// The most permits of a semaphore: far below what the sum of overlapping claims can reach.
pub const MAX_PERMITS: u32 = (1 << 24) - 1;

/// How often a call claims permits before it says that there are none.
const MAX_CLAIMS: u32 = 1000;

/// The words of a semaphore, which all start as zero, and its waiters.
pub trait SemaphoreWords {
    /// The cells of permits.
    type Held: Cells;
    /// What each participant has.
    fn held(&self) -> &Self::Held;
    /// All permits that exist.
    fn total(&self) -> &AtomicU32;
    /// Advanced by each that takes.
    fn turn(&self) -> &AtomicU64;
    /// The owner id of the waiter that is first, and what it wants; 0 if none has waited for long.
    fn first(&self) -> &AtomicU64;
    /// Not 0: a waiter wants more than one.
    fn large(&self) -> &AtomicU32;
    /// Wakes one waiter, if there is one.
    fn wake_one(&self);
    /// Wakes all waiters.
    fn wake_all(&self);
}

/// A waiter's note in `first`.
const fn note(own_id: OwnerId, wanted: u32) -> u64 {
    (own_id.bits() as u64) << 32 | wanted as u64
}

/// How many permits are left. `looks`: those of the dead are.
#[inline]
pub fn available(words: &impl SemaphoreWords, looks: bool, backend: &impl LockBackend) -> u32 {
    let held: u64 = cells::held(words.held(), looks, backend).map(u64::from).sum();
    u64::from(words.total().load(SeqCst)).saturating_sub(held) as u32
}

/// Takes permits. False if there are too few, or they are left to another one. `looks`: those of
/// the dead are taken, too.
#[inline]
pub fn try_acquire(
    words: &impl SemaphoreWords,
    own_id: OwnerId,
    wanted: u32,
    effort: Effort,
    looks: bool,
    backend: &impl LockBackend,
) -> bool {
    match claim(words, own_id, wanted, effort, looks, backend) {
        Claim::Good => true,
        Claim::TooFew => false,
        Claim::Withdrawn => claim_again(words, own_id, wanted, effort, looks, backend),
    }
}

/// After a claim that was withdrawn.
#[cold]
fn claim_again(
    words: &impl SemaphoreWords,
    own_id: OwnerId,
    wanted: u32,
    effort: Effort,
    looks: bool,
    backend: &impl LockBackend,
) -> bool {
    // A turn that advances for ever is no semaphore's.
    for _ in 1..MAX_CLAIMS {
        match claim(words, own_id, wanted, effort, looks, backend) {
            Claim::Good => return true,
            Claim::TooFew => break,
            Claim::Withdrawn => {}
        }
    }
    wake(words, wanted);
    false
}

/// What became of a claim.
enum Claim {
    Good,
    /// There was none: too few permits are left.
    TooFew,
    /// Another participant took in between.
    Withdrawn,
}

#[inline]
fn claim(
    words: &impl SemaphoreWords,
    own_id: OwnerId,
    wanted: u32,
    effort: Effort,
    looks: bool,
    backend: &impl LockBackend,
) -> Claim {
    let seen = words.turn().load(SeqCst);
    let needed = wanted.saturating_add(left_to_first(words, own_id, wanted, effort));
    if available(words, looks, backend) < needed {
        return Claim::TooFew;
    }
    cells::add(words.held(), own_id, wanted);
    if words.turn().compare_exchange(seen, seen.wrapping_add(1), SeqCst, SeqCst).is_ok() {
        return Claim::Good;
    }
    cells::remove(words.held(), own_id, wanted);
    Claim::Withdrawn
}

/// What is left to the waiter that is first: 0 for itself, and for those that do not wait.
#[inline]
fn left_to_first(words: &impl SemaphoreWords, own_id: OwnerId, wanted: u32, effort: Effort) -> u32 {
    let first = words.first().load(SeqCst);
    if effort == Effort::Once || first == note(own_id, wanted) { 0 } else { first as u32 }
}

/// A waiter announces itself in its wait set, then calls this, which looks again: true if it tries
/// instead of sleeping. `starves`: it has waited for long.
pub fn await_permits(
    words: &impl SemaphoreWords,
    own_id: OwnerId,
    wanted: u32,
    starves: bool,
    backend: &impl LockBackend,
) -> bool {
    if wanted > 1 {
        words.large().swap(1, SeqCst);
    }
    // A want that cannot be met yet must not keep others from what there is.
    if starves && wanted <= words.total().load(SeqCst) {
        let own = note(own_id, wanted);
        let _ = words.first().compare_exchange(0, own, SeqCst, SeqCst);
    }
    // The system calls cost little beside a sleep.
    let left = left_to_first(words, own_id, wanted, Effort::Waited);
    available(words, true, backend) >= wanted.saturating_add(left)
}

/// The note of the first waiter, if that is another one and does not take what it wants, though it
/// could.
pub fn first_in_the_way(
    words: &impl SemaphoreWords,
    own_id: OwnerId,
    wanted: u32,
    backend: &impl LockBackend,
) -> Option<u64> {
    let first = words.first().load(SeqCst);
    if first == 0 || first == note(own_id, wanted) {
        return None;
    }
    if OwnerId::from_bits((first >> 32) as u32).is_none_or(|owner| backend.is_dead(owner)) {
        pass_first(words, first);
        return None;
    }
    (available(words, false, backend) >= first as u32).then_some(first)
}

/// Passes the first waiter that was in the way, by its note, for a whole slice.
pub fn pass_first(words: &impl SemaphoreWords, first: u64) {
    if words.first().compare_exchange(first, 0, SeqCst, SeqCst).is_ok() {
        words.wake_all();
    }
}

/// Ends a wait. If the waiter was first, it is so no longer; if it has not taken what it wants,
/// what woke it is another's.
pub fn end_wait(words: &impl SemaphoreWords, own_id: OwnerId, wanted: u32, has_taken: bool) {
    let own = note(own_id, wanted);
    if words.first().load(SeqCst) == own {
        pass_first(words, own);
    } else if !has_taken {
        words.wake_one();
    }
}

/// Gives permits back.
#[inline]
pub fn release(words: &impl SemaphoreWords, own_id: OwnerId, count: u32) {
    cells::remove(words.held(), own_id, count);
    wake(words, count);
}

/// Adds permits to those that exist. False if that makes more than [`MAX_PERMITS`].
pub fn add_permits(words: &impl SemaphoreWords, count: u32) -> bool {
    let mut now = words.total().load(SeqCst);
    loop {
        let Some(sum) = now.checked_add(count).filter(|sum| *sum <= MAX_PERMITS) else {
            return false;
        };
        match words.total().compare_exchange(now, sum, SeqCst, SeqCst) {
            Ok(_) => break,
            Err(changed) => now = changed,
        }
    }
    wake(words, count);
    true
}

/// Destroys permits that the participant holds.
pub fn forget(words: &impl SemaphoreWords, own_id: OwnerId, count: u32) {
    // First the total: a death in between must not leave more than there are.
    let mut now = words.total().load(SeqCst);
    while let Err(changed) =
        words.total().compare_exchange(now, now.saturating_sub(count), SeqCst, SeqCst)
    {
        now = changed;
    }
    cells::remove(words.held(), own_id, count);
}

/// Wakes waiters that this many more permits may serve.
#[inline]
fn wake(words: &impl SemaphoreWords, count: u32) {
    fence_behind_swap();
    // A waiter for many sets this anew, and one that is not served by what it finds leaves it to
    // others.
    let is_large = words.large().load(SeqCst) != 0 && words.large().swap(0, SeqCst) != 0;
    if is_large || count > 8 || words.first().load(SeqCst) != 0 {
        words.wake_all();
    } else {
        (0..count).for_each(|_| words.wake_one());
    }
}
