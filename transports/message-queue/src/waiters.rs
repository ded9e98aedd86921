//! The slots that wait for messages or for room, and the choice of the next one to wake. All
//! functions run under the lock of the makers of what the slot waits for. A maker therefore sees
//! the bits of all slots that looked before it acted, and no fence is needed.
//!
//! A waiting slot has its bit set. The maker clears the bit, increments the slot's wake word, and
//! wakes the slot after the unlock. The bit of a dead holder costs one wake-up; the next slice of
//! another sleeper's wait makes up for it.

use std::sync::atomic::{AtomicU32, Ordering::Release};

use anyipc_memory::boot_nanos;
use anyipc_ring::robust::OwnerId;

use crate::layout::{bits, hot, slot};
use crate::store::{Store, state};

/// What a slot waits for: a message.
pub(crate) const MESSAGES: usize = 0;
/// What a slot waits for: room.
pub(crate) const ROOM: usize = 1;
pub(crate) const KINDS: [usize; 2] = [MESSAGES, ROOM];

/// The number of 64-bit words that hold the bits of the slots.
pub(crate) fn words(store: &Store) -> u32 {
    store.geometry().slots.div_ceil(64)
}

/// A slot to wake once the lock is given back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sleeper {
    pub(crate) slot: u32,
    /// Its holder sleeps on a source, not on the wake word.
    pub(crate) on_source: bool,
}

impl Store {
    /// The word that the thread of a slot sleeps on.
    pub(crate) fn wake_word(&self, number: u32) -> &AtomicU32 {
        self.region().u32(self.geometry().slot(number, slot::WAKE))
    }

    /// True if a waiting slot has what it wants, or never will. `reserved_for` is the sender that
    /// has the next room.
    #[inline]
    pub(crate) fn has(
        &self,
        kind: usize,
        number: u32,
        wants: u32,
        reserved_for: Option<OwnerId>,
    ) -> bool {
        match kind {
            MESSAGES => {
                !self.is_empty()
                    || self.has_state(state::SENDER_LEFT)
                    || self.is_timed() && self.is_due(boot_nanos())
            }
            _ if self.has_state(state::RECEIVER_LEFT) => true,
            _ => {
                reserved_for.is_none_or(|reserved_for| reserved_for.slot() == number)
                    && self.free() >= wants
            }
        }
    }

    /// Sets the bit of a slot that is about to sleep. Returns the value of its wake word to sleep
    /// on.
    pub(crate) fn await_wake(&self, kind: usize, number: u32, on_source: bool, wants: u32) -> u32 {
        let slot = |field| self.geometry().slot(number, field);
        self.set(slot(slot::ON_SOURCE), u32::from(on_source));
        self.set(slot(slot::WANTS), wants);
        let (at, bit) = bit_of(kind, number);
        let word = self.get_wide(at);
        if word & bit == 0 {
            self.set_wide(at, word | bit);
            self.set(hot::WAITING[kind], self.get(hot::WAITING[kind]).wrapping_add(1));
        }
        self.get(slot(slot::WAKE))
    }

    /// Clears a slot's bit. True if it was set: the slot was not woken.
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

    /// Clears all bits of a slot. Under both locks.
    pub(crate) fn cancel_waits(&self, number: u32) {
        for kind in KINDS {
            self.cancel_wait(kind, number);
        }
    }

    /// True if a slot waits for this.
    #[inline]
    pub(crate) fn has_waiters(&self, kind: usize) -> bool {
        self.get(hot::WAITING[kind]) != 0
    }

    /// The next slot, in rotation, that waits for this and has it now.
    #[cold]
    pub(crate) fn next_sleeper(&self, kind: usize) -> Option<Sleeper> {
        let reserved_for = self.reserved_for();
        let has = |number, wants| self.has(kind, number, wants, reserved_for);
        self.sleeper(kind, has)
    }

    /// The next slot, in rotation, that waits for this, whether it has it or not.
    pub(crate) fn any_sleeper(&self, kind: usize) -> Option<Sleeper> {
        self.sleeper(kind, |_, _| true)
    }

    fn sleeper(&self, kind: usize, has: impl Fn(u32, u32) -> bool) -> Option<Sleeper> {
        let field = |number, field| self.get(self.geometry().slot(number, field));
        let words = words(self);
        // From the slot behind the one that was woken last, around, and up to that one.
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
                if number < self.geometry().slots && has(number, wants) {
                    self.cancel_wait(kind, number);
                    self.set(hot::WOKEN[kind], number);
                    self.wake_word(number).fetch_add(1, Release);
                    return Some(Sleeper {
                        slot: number,
                        on_source: field(number, slot::ON_SOURCE) != 0,
                    });
                }
            }
        }
        None
    }
}

fn bit_of(kind: usize, number: u32) -> (usize, u64) {
    (bits(kind, number / 64), 1 << (number % 64))
}
