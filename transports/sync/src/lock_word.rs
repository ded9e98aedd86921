//! What mutex and rwlock have in common: a lock word with its state, the wait for that word, and
//! copies of a value.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::mutex::{Effort, await_release};
use anyipc_ring::robust::{LockBackend, owner};
use anyipc_ring::wait_set::wake_one;

use crate::place::Object;

const WORD: usize = 8;
const STATE: usize = 12;
const STARVING: usize = 16;

/// Up to so many bytes a value is copied word by word, in the caller's code.
const SHORT: usize = 64;

/// How long a waiter lets others pass.
pub(crate) const STARVES_AFTER: Duration = Duration::from_micros(500);

impl Object {
    /// The lock word.
    #[inline]
    pub(crate) fn word(&self) -> &AtomicU32 {
        self.line.u32::<WORD>()
    }

    /// The state of what the lock protects.
    #[inline]
    pub(crate) fn state(&self) -> &AtomicU32 {
        self.line.u32::<STATE>()
    }

    /// Not 0: a waiter starves.
    #[inline]
    pub(crate) fn starving(&self) -> &AtomicU32 {
        self.line.u32::<STARVING>()
    }

    /// Copies a value out, from an offset that is a multiple of 8. The memory is mapped.
    #[inline(always)]
    pub(crate) fn read(&self, at: usize, value: &mut [u8]) {
        if value.len() > SHORT {
            self.region.load(at, value);
            return;
        }
        for (index, part) in value.chunks_mut(8).enumerate() {
            let word = self.region.u64(at + index * 8).load(Relaxed).to_ne_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// Copies a value in, to an offset that is a multiple of 8. The memory is mapped.
    #[inline(always)]
    pub(crate) fn write(&self, at: usize, value: &[u8]) {
        if value.len() > SHORT || !value.len().is_multiple_of(8) {
            self.region.store(at, value);
            return;
        }
        for (index, part) in value.chunks_exact(8).enumerate() {
            if let Ok(word) = part.try_into() {
                self.region.u64(at + index * 8).store(u64::from_ne_bytes(word), Relaxed);
            }
        }
    }

    /// Wakes a waiter for the lock word. False if there is none.
    #[inline]
    pub(crate) fn wake_next(&self) -> bool {
        wake_one(&self.waiters, &*self.participants)
    }
}

pub(crate) fn poisoned() -> Error {
    Error::new(Operation::Lock, ErrorKind::Poisoned).because(
        "an owner died, and what the lock protects was not made consistent; clear_poison says \
         that it is",
    )
}

/// A waiter for a lock word.
#[derive(Debug)]
pub(crate) struct WordWaiter<'a> {
    object: &'a Object,
    pub(crate) waiter: SetWaiter,
    pub(crate) effort: Effort,
    /// The word at the last arm: an owner that is still there after a sleep may be dead.
    seen: u32,
    /// When it first armed.
    pub(crate) since: Option<Instant>,
    /// It has armed and not taken the word: a wake-up may be its own.
    waits: bool,
}

impl<'a> WordWaiter<'a> {
    pub(crate) fn new(object: &'a Object) -> Self {
        Self {
            object,
            waiter: SetWaiter::new(object.participants.places(), object.waiters.clone()),
            effort: Effort::Fresh,
            seen: 0,
            since: None,
            waits: false,
        }
    }

    /// True if the next try looks whether the owner has died.
    pub(crate) fn looks(&self) -> bool {
        self.seen != 0 && self.object.word().load(Relaxed) == self.seen
    }

    /// The word is taken.
    pub(crate) fn note_taken(&mut self) {
        self.waits = false;
        self.waiter.disarm(false);
    }

    pub(crate) fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let (object, effort) = (self.object, self.effort);
        if self.since.get_or_insert_with(Instant::now).elapsed() > STARVES_AFTER {
            object.check()?;
            object.starving().store(1, Relaxed);
        }
        // From the next try on.
        self.effort = Effort::Waited;
        self.waits = true;
        let seen = &mut self.seen;
        self.waiter.arm(waiter, Operation::Lock, || {
            if !await_release(object.word(), effort) {
                return true;
            }
            // The system call costs little beside a sleep.
            *seen = object.word().load(Relaxed);
            owner(object.word()).is_some_and(|owner| object.participants.is_dead(owner))
        })
    }
}

impl Drop for WordWaiter<'_> {
    /// A thread does not know whether it was woken: the next release, or this call, wakes another.
    fn drop(&mut self) {
        if self.waits
            && self.object.check().is_ok()
            && !await_release(self.object.word(), Effort::Waited)
        {
            self.object.wake_next();
        }
    }
}
