//! Waiters of a condition in shared memory: threads that sleep on a word, and pollers, which sleep
//! on a descriptor of their own (tasks, and threads where none sleeps on a shared word).
//!
//! A wait set is a *sequence*, on which threads sleep, a word of flags that tells whether anything
//! may wait, and a bit for each participant slot that polls.
//!
//! # No wake-up is lost
//! ```text
//! waiter                                 waker
//!   sequence → seen                        change the condition, by a read-modify-write
//!   set the bit (pollers), set the flag    flag set? → clear it
//!   fence, look again → nothing              threads: sequence + 1, wake sleepers
//!   sleep while sequence is seen             pollers: take bits, ring each
//! ```
//! All of these are `SeqCst`: either the waiter's look sees the change, or the waker sees the flag.
//! A waiter that reads the sequence after it was advanced has set its flag after the waker cleared
//! it, so after the change, and sees that.
//!
//! # Deaths
//! Nothing here has an owner. A waiter that dies leaves a flag or a bit, which costs one wake-up
//! call. A waker that dies between its change and its call, and a waiter that dies after it was
//! woken, lose a wake-up: each waiter therefore looks again after a slice of time, and then
//! announces itself anew.

use crate::bits::set_bits;
use crate::primitive::{AtomicU32, AtomicU64, Ordering::SeqCst, fence_behind_swap};

/// Threads may sleep on the sequence.
const THREADS: u32 = 1;
/// Slots may have their bits set.
const POLLERS: u32 = 2;

/// Words of bits; each has a bit for 64 slots.
pub const POLLER_WORDS: u32 = if cfg!(all(test, loom)) { 1 } else { 3 };
/// Slots that can poll.
pub const MAX_POLLERS: u32 = POLLER_WORDS * 64;

/// The words of a wait set. All start as zero.
pub trait WaitWords {
    /// Advanced by each call that wakes threads.
    fn sequence(&self) -> &AtomicU32;
    /// Whether anything may wait.
    fn awaited(&self) -> &AtomicU32;
    /// The bits of slots `64 * index` and up; `index` is below [`POLLER_WORDS`].
    fn pollers(&self, index: u32) -> &AtomicU64;
}

/// What waking needs of the system.
pub trait Wakers {
    /// Wakes threads that sleep on the word, at most so many. Returns how many.
    fn wake(&self, word: &AtomicU32, most: u32) -> u32;
    /// Wakes the holder of a slot, which sleeps on its descriptor. False if it is dead.
    fn ring(&self, slot: u32) -> bool;
}

/// Announces a thread that is about to sleep while the sequence is the returned value. It looks
/// once more at what it waits for before it sleeps.
pub fn announce_thread(words: &impl WaitWords) -> u32 {
    let seen = words.sequence().load(SeqCst);
    words.awaited().fetch_or(THREADS, SeqCst);
    fence_behind_swap();
    seen
}

/// Announces the holder of a slot, which is about to sleep on its descriptor. It looks once more
/// at what it waits for before it sleeps.
pub fn announce_poller(words: &impl WaitWords, slot: u32) {
    // The bit first: a waker that finds the flag finds the bit.
    words.pollers((slot / 64).min(POLLER_WORDS - 1)).fetch_or(1 << (slot % 64), SeqCst);
    words.awaited().fetch_or(POLLERS, SeqCst);
    fence_behind_swap();
}

/// Withdraws the holder of a slot. False if its bit was taken: it was woken, and if it leaves
/// without what it waited for, it passes the wake-up on by [`wake_one`].
pub fn withdraw_poller(words: &impl WaitWords, slot: u32) -> bool {
    take(words, slot)
}

/// True if anything may wait.
#[inline]
pub fn is_awaited(words: &impl WaitWords) -> bool {
    words.awaited().load(SeqCst) != 0
}

/// Wakes all waiters. The caller changed what they wait for by an atomic read-modify-write before.
#[inline]
pub fn wake_all(words: &impl WaitWords, wakers: &impl Wakers) {
    fence_behind_swap();
    if is_awaited(words) {
        wake_announced(words, wakers);
    }
}

/// As [`wake_all`], but wakes one thread and one poller: enough where one waiter takes what the
/// caller gave. False if it found none.
#[inline]
pub fn wake_one(words: &impl WaitWords, wakers: &impl Wakers) -> bool {
    fence_behind_swap();
    is_awaited(words) && wake_next(words, wakers)
}

#[cold]
fn wake_announced(words: &impl WaitWords, wakers: &impl Wakers) {
    let awaited = words.awaited().swap(0, SeqCst);
    if awaited & THREADS != 0 {
        wake_threads(words, wakers, u32::MAX);
    }
    if awaited & POLLERS != 0 {
        ring_all(words, wakers);
    }
}

/// The flag stays set while it may be true: another waker must not miss the waiters that this call
/// leaves asleep.
#[cold]
fn wake_next(words: &impl WaitWords, wakers: &impl Wakers) -> bool {
    let awaited = words.awaited().load(SeqCst);
    let mut found = false;
    if awaited & THREADS != 0 {
        found = wake_threads(words, wakers, 1) != 0;
        if !found {
            words.awaited().fetch_and(!THREADS, SeqCst);
            // Those that fell asleep since: that was their flag. They announce themselves anew.
            wake_threads(words, wakers, u32::MAX);
        }
    }
    if awaited & POLLERS != 0 && !ring_next(words, wakers) {
        words.awaited().fetch_and(!POLLERS, SeqCst);
        ring_all(words, wakers);
    } else {
        found |= awaited & POLLERS != 0;
    }
    found
}

fn wake_threads(words: &impl WaitWords, wakers: &impl Wakers, most: u32) -> u32 {
    words.sequence().fetch_add(1, SeqCst);
    wakers.wake(words.sequence(), most)
}

fn ring_all(words: &impl WaitWords, wakers: &impl Wakers) {
    for index in 0..POLLER_WORDS {
        set_bits(index, words.pollers(index).swap(0, SeqCst)).for_each(|slot| {
            wakers.ring(slot);
        });
    }
}

/// Wakes the next living poller. False if there is none.
fn ring_next(words: &impl WaitWords, wakers: &impl Wakers) -> bool {
    // In turn: the sequence, advanced with each call, is the place to begin at.
    let first = words.sequence().fetch_add(1, SeqCst) % MAX_POLLERS;
    let behind = u64::MAX << (first % 64);
    // The first word comes again at last, with its other part.
    (0..=POLLER_WORDS).any(|step| {
        let index = (first / 64 + step) % POLLER_WORDS;
        let part = match step {
            0 => behind,
            POLLER_WORDS => !behind,
            _ => u64::MAX,
        };
        set_bits(index, words.pollers(index).load(SeqCst) & part)
            .any(|slot| take(words, slot) && wakers.ring(slot))
    })
}

fn take(words: &impl WaitWords, slot: u32) -> bool {
    let bit = 1 << (slot % 64);
    words.pollers((slot / 64).min(POLLER_WORDS - 1)).fetch_and(!bit, SeqCst) & bit != 0
}
