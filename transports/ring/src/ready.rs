//! The bits by which senders tell one receiver of many channels which of them to look at, and the
//! word that says that it sleeps.
//!
//! ```text
//! receiver                                  sender
//!   take the bits (SeqCst)                    publish
//!   fence(SeqCst)                             fence(SeqCst)
//!   look at their channels                    bit set? → nothing else
//!   ...                                       set the bit (SeqCst)
//!   set `waiting`                             fence(SeqCst)
//!   fence(SeqCst)                             `waiting` set? → take it and wake
//!   a bit set? → do not sleep
//! ```
//!
//! Twice each side stores and then loads what the other stores: the fences forbid that both miss
//! the other. So a sender that finds its bit set has published before the receiver looks, and one
//! that does not wake has set its bit before the receiver goes to sleep.

use crate::primitive::{AtomicU32, AtomicU64, Ordering, fence, fence_behind_swap};

/// A sender's step, after a publication. True if the receiver sleeps: wake it.
#[inline]
pub fn mark(word: &AtomicU64, bit: u64, waiting: &AtomicU32) -> bool {
    fence(Ordering::SeqCst);
    // Relaxed: ordered by the fence.
    word.load(Ordering::Relaxed) & bit == 0 && {
        word.fetch_or(bit, Ordering::SeqCst);
        fence_behind_swap();
        waiting.load(Ordering::SeqCst) != 0 && waiting.swap(0, Ordering::SeqCst) != 0
    }
}

/// Takes the set bits of a word, but leaves those of `kept` set. The receiver looks at their
/// channels then.
#[inline]
pub fn take(word: &AtomicU64, kept: u64) -> u64 {
    // Relaxed: of a bit that stays set nothing follows but one more look.
    let mut bits = word.load(Ordering::Relaxed);
    if bits & !kept != 0 {
        bits = word.fetch_and(kept, Ordering::SeqCst);
        fence_behind_swap();
    }
    bits
}

/// The receiver is about to sleep. False if a bit is set: then it does not.
pub fn arm<'a>(waiting: &AtomicU32, words: impl IntoIterator<Item = &'a AtomicU64>) -> bool {
    waiting.store(1, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    // Relaxed: ordered by the fence.
    let is_quiet = words.into_iter().all(|word| word.load(Ordering::Relaxed) == 0);
    if !is_quiet {
        // Relaxed: a sender that still sees it makes one wake-up too many.
        waiting.store(0, Ordering::Relaxed);
    }
    is_quiet
}
