//! A lock for one writer or many readers that survives all of them.
//!
//! The writer's word is that of a [mutex], so its fairness and its takeover are the mutex's. Each
//! reader counts itself in the [cell](crate::cells) of its slot.
//!
//! ```text
//! reader                                   writer
//!   cell + 1                                 take the word
//!   fence, word free? → inside               fence, all cells 0 or dead? → inside
//!   otherwise cell - 1, and wait             otherwise wait for the readers to leave
//! ```
//! Either the reader's look sees the word taken, or the writer's look sees the cell. While a writer
//! has the word no reader comes in, so those inside leave in the end.
//!
//! A reader that has waited takes the word for a moment, counts itself, and releases the word: it
//! gets its turn among the writers, and its release wakes the next waiter.
//!
//! *State.* A writer inside notes `INCONSISTENT` until it has finished. So a word of the dead with
//! this state is a writer's that died inside; without it, it was a reader in passing, or a writer
//! that still waited for readers, and nobody is told. The state stays until a writer has repaired
//! what the lock protects; until then each reader is told as well.
//!
//! Ordering: as in [`mutex`]. A reader leaves by a release, which the writer's look
//! at the cells acquires.

use crate::cells::{self, Cells};
use crate::mutex::{self, Effort};
use crate::primitive::{AtomicU32, Ordering::Relaxed, fence_behind_swap};
use crate::robust::{LockBackend, OwnerId, Taken};

/// What the lock protects is as the last writer wanted it.
const CONSISTENT: u32 = 0;
/// A writer is inside, or died there.
const INCONSISTENT: u32 = 1;
/// The writer that was told of such a death did not make it consistent.
const POISONED: u32 = 2;

/// The words of the lock, which all start as zero, and its waiters.
pub trait RwWords {
    /// The cells of readers.
    type Readers: Cells;
    /// How often each participant reads.
    fn readers(&self) -> &Self::Readers;
    /// The writer's word.
    fn word(&self) -> &AtomicU32;
    /// Not 0: a waiter starves.
    fn starving(&self) -> &AtomicU32;
    /// The state of what the lock protects.
    fn state(&self) -> &AtomicU32;
    /// Wakes the writer that waits for readers to leave, if there is one.
    fn wake_writer(&self);
    /// Wakes a waiter for the word. False if there is none.
    fn wake_next(&self) -> bool;
}

/// What a locker is told of what the lock protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It is locked. `OwnerDied`: a writer died inside, and it was not repaired since.
    Locked(Taken),
    /// It is poisoned, and the caller has not locked it.
    Poisoned,
}

/// Enters as a reader. `None` if a writer has the word, or it is left to those that have waited.
#[inline]
pub fn try_read(words: &impl RwWords, own_id: OwnerId, effort: Effort) -> Option<Told> {
    cells::add(words.readers(), own_id, 1);
    fence_behind_swap();
    if mutex::is_free(words.word(), effort) {
        return Some(stay(words, own_id));
    }
    leave(words, own_id);
    None
}

/// Takes the word, for a reader in passing or for a writer. False if another participant has it.
/// `looks`: of the dead, too.
#[inline]
pub fn try_take(
    words: &impl RwWords,
    own_id: OwnerId,
    effort: Effort,
    looks: bool,
    backend: &impl LockBackend,
) -> bool {
    mutex::try_lock(words.word(), own_id, effort, looks, backend).is_some()
}

/// Enters as a reader by way of the word, which the caller has and gives back.
pub fn pass_to_read(words: &impl RwWords, own_id: OwnerId) -> Told {
    cells::add(words.readers(), own_id, 1);
    release(words);
    stay(words, own_id)
}

/// For a reader that has counted itself while no writer was inside.
#[inline]
fn stay(words: &impl RwWords, own_id: OwnerId) -> Told {
    let told = judge(words);
    if told == Told::Poisoned {
        leave(words, own_id);
    }
    told
}

/// Ends a reader's lock.
#[inline]
pub fn leave(words: &impl RwWords, own_id: OwnerId) {
    if cells::remove(words.readers(), own_id, 1) == 0 {
        words.wake_writer();
    }
}

/// True if a reader is inside. The caller has the word. `looks`: at the deaths of those that are.
#[inline]
pub fn has_readers(words: &impl RwWords, looks: bool, backend: &impl LockBackend) -> bool {
    // Behind the compare-and-swap by which the caller took the word.
    fence_behind_swap();
    cells::held(words.readers(), looks, backend).next().is_some()
}

/// Enters as a writer. The caller has the word and found no reader. If it is poisoned the word is
/// given back.
#[inline]
pub fn begin_write(words: &impl RwWords) -> Told {
    // Relaxed, as all accesses of the state: the word orders them.
    let told = judge(words);
    match told {
        Told::Locked(_) => words.state().store(INCONSISTENT, Relaxed),
        Told::Poisoned => release(words),
    }
    told
}

/// Ends a writer's lock. False poisons it: the writer was told of a death and repaired nothing.
#[inline]
pub fn end_write(words: &impl RwWords, is_consistent: bool) {
    words.state().store(if is_consistent { CONSISTENT } else { POISONED }, Relaxed);
    release(words);
}

/// Gives the word back without having been inside.
#[inline]
pub fn release(words: &impl RwWords) {
    mutex::unlock(words.word(), words.starving(), || words.wake_next());
}

/// Ends the poisoning.
pub fn clear_poison(words: &impl RwWords) {
    let _ = words.state().compare_exchange(POISONED, CONSISTENT, Relaxed, Relaxed);
}

#[inline]
fn judge(words: &impl RwWords) -> Told {
    match words.state().load(Relaxed) {
        CONSISTENT => Told::Locked(Taken::Free),
        POISONED => Told::Poisoned,
        _ => Told::Locked(Taken::OwnerDied),
    }
}
