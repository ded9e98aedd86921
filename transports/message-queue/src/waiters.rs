//! Who sleeps, and who is to be woken. Every function here is called under the lock of those who make what is waited
//! for: so whoever made something sees who had looked before, and nobody needs a fence.
//!
//! A slot that waits has its bit set. Whoever gives it something to do takes the bit away, counts the slot's wake
//! word up, and wakes it after the lock is given back. A bit of the dead costs others one wake-up, which their next
//! look makes good.

use std::sync::atomic::{AtomicU32, Ordering::Release};

use anyipc_ring::robust::OwnerId;

use crate::layout::{bits, hot, slot};
use crate::store::{Store, state};

/// What a slot waits for: a message.
pub(crate) const MESSAGES: usize = 0;
/// What a slot waits for: room.
pub(crate) const ROOM: usize = 1;
pub(crate) const KINDS: [usize; 2] = [MESSAGES, ROOM];

/// How many words the bits of the slots take.
pub(crate) fn words(store: &Store) -> u32 {
    store.geometry().slots.div_ceil(64)
}

/// A slot to wake once the lock is given back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sleeper {
    pub(crate) slot: u32,
    /// It sleeps on a bell, not on its wake word.
    pub(crate) task: bool,
}

impl Store {
    /// The word that a slot's holder sleeps on.
    pub(crate) fn wake_word(&self, number: u32) -> &AtomicU32 {
        self.region().u32(self.geometry().slot(number, slot::WAKE))
    }

    /// Whether a waiting slot has what it wants, or never will. `reserved_for` is the sender whose message goes next.
    #[inline]
    pub(crate) fn has(
        &self,
        kind: usize,
        number: u32,
        wants: u32,
        reserved_for: Option<OwnerId>,
    ) -> bool {
        match kind {
            MESSAGES => !self.is_empty() || self.has_state(state::SENDER_LEFT),
            _ if self.has_state(state::RECEIVER_LEFT) => true,
            _ => {
                reserved_for.is_none_or(|reserved_for| reserved_for.slot() == number)
                    && self.free() >= wants
            }
        }
    }

    /// Notes that a slot is about to sleep. Returns the value of its wake word to sleep on.
    pub(crate) fn await_wake(&self, kind: usize, number: u32, task: bool, wants: u32) -> u32 {
        let slot = |field| self.geometry().slot(number, field);
        self.set(slot(slot::TASK), u32::from(task));
        self.set(slot(slot::WANTS), wants);
        let (at, bit) = bit_of(kind, number);
        let word = self.get_wide(at);
        if word & bit == 0 {
            self.set_wide(at, word | bit);
            self.set(hot::WAITING[kind], self.get(hot::WAITING[kind]).wrapping_add(1));
        }
        self.get(slot(slot::WAKE))
    }

    /// Takes a slot's bit away. True if it was there: nobody has woken the slot.
    pub(crate) fn cancel_wait(&self, kind: usize, number: u32) -> bool {
        let (at, bit) = bit_of(kind, number);
        let word = self.get_wide(at);
        let waits = word & bit != 0;
        if waits {
            self.set_wide(at, word & !bit);
            self.set(hot::WAITING[kind], self.get(hot::WAITING[kind]).saturating_sub(1));
        }
        waits
    }

    /// Takes all bits of a slot away. Under both locks.
    pub(crate) fn cancel_waits(&self, number: u32) {
        for kind in KINDS {
            self.cancel_wait(kind, number);
        }
    }

    /// Whether a slot waits for this.
    #[inline]
    pub(crate) fn has_waiters(&self, kind: usize) -> bool {
        self.get(hot::WAITING[kind]) != 0
    }

    /// The next slot that waits for this and has it now.
    #[cold]
    pub(crate) fn next_sleeper(&self, kind: usize) -> Option<Sleeper> {
        let field = |number, field| self.get(self.geometry().slot(number, field));
        let reserved_for = self.reserved_for();
        let words = words(self);
        // Behind the one that was woken last, all around, and up to it again.
        let last = self.get(hot::WOKEN[kind]) % (words * 64);
        let behind = u64::MAX.checked_shl(last % 64 + 1).unwrap_or(0);
        for step in 0..=words {
            let word = (last / 64 + step) % words;
            let mut waiting = self.get_wide(bits(kind, word));
            if step == 0 {
                waiting &= behind;
            } else if step == words {
                waiting &= !behind;
            }
            while waiting != 0 {
                let number = word * 64 + waiting.trailing_zeros();
                waiting &= waiting - 1;
                let wants = field(number, slot::WANTS);
                if number < self.geometry().slots && self.has(kind, number, wants, reserved_for) {
                    self.cancel_wait(kind, number);
                    self.set(hot::WOKEN[kind], number);
                    self.wake_word(number).fetch_add(1, Release);
                    return Some(Sleeper { slot: number, task: field(number, slot::TASK) != 0 });
                }
            }
        }
        None
    }
}

fn bit_of(kind: usize, number: u32) -> (usize, u64) {
    (bits(kind, number / 64), 1 << (number % 64))
}
