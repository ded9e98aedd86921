//! A mutual exclusion lock with a value.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind, bytes of the value |
//! | 8 | 4 | the lock word, see `anyipc_ring::mutex` |
//! | 12 | 4 | the state of what the lock protects: `CONSISTENT`, … |
//! | 16 | 4 | not 0: a waiter starves |
//! | 24 | 32 | the wait set |
//! | 64 | | the value |

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_ring::mutex::{Effort, try_lock, unlock};
use anyipc_ring::robust::Taken;

use crate::attempt::{Attempt, word_slice};
use crate::lock_word::{WordWaiter, poisoned};
use crate::place::{Identity, Kind, Object, Place};

const VALUE: usize = 64;

/// No owner has died that was not made good.
const CONSISTENT: u32 = 0;
/// An owner died, and its follower has not yet said that all is well.
const INCONSISTENT: u32 = 1;
/// That follower released the lock without saying so.
const POISONED: u32 = 2;

/// A mutex in shared memory.
#[derive(Debug)]
pub struct Mutex {
    object: Object,
}

impl Mutex {
    /// The name of the memory that it lies in, for errors.
    pub fn memory_name(&self) -> &str {
        self.object.memory_name()
    }

    /// Bytes of a mutex with a value of this many bytes.
    pub const fn size(len: usize) -> usize {
        VALUE + len.next_multiple_of(8)
    }

    /// The first bytes of a fresh mutex; its value stands at the given offset.
    pub fn fresh(len: usize) -> ([u8; 8], usize) {
        (identity(len).word().to_ne_bytes(), VALUE)
    }

    /// Finds or makes the mutex at a place.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`.
    pub fn new(place: Place, len: usize) -> Result<Self> {
        Ok(Self { object: place.settle(identity(len), Self::size(len))? })
    }

    /// Tries to lock. `None`: another participant has it. `looks`: a dead owner is followed, for
    /// the price of a system call.
    ///
    /// # Errors
    /// `Poisoned`, `Forked`.
    #[inline(always)]
    pub fn try_lock(&self, effort: Effort, looks: bool) -> Result<Option<Taken>> {
        self.object.check()?;
        // Both before the lock, behind which everything is read anew.
        let (word, state) = (self.object.word(), self.object.state());
        let Object { own_id, participants, .. } = &self.object;
        let taken = try_lock(word, *own_id, effort, looks, &**participants);
        match taken {
            Some(Taken::Free) if state.load(Relaxed) == CONSISTENT => {}
            None => {}
            Some(taken) => return self.taken_inconsistent(taken),
        }
        Ok(taken)
    }

    #[cold]
    fn taken_inconsistent(&self, taken: Taken) -> Result<Option<Taken>> {
        if self.object.state().load(Relaxed) == POISONED {
            self.release();
            return Err(poisoned());
        }
        if taken == Taken::OwnerDied {
            self.object.state().store(INCONSISTENT, Relaxed);
        }
        // Free and inconsistent: another process wrote over it.
        Ok(Some(Taken::OwnerDied))
    }

    /// Copies the value in, if there is one, and unlocks. The caller holds the lock. If it followed
    /// a dead owner, the mutex is poisoned unless [`make_consistent`](Self::make_consistent) was
    /// called.
    #[inline(always)]
    pub fn unlock(&self, value: Option<&[u8]>) {
        if self.object.check().is_err() {
            return;
        }
        if let Some(value) = value {
            self.object.write(VALUE, value);
        }
        if self.object.state().load(Relaxed) != CONSISTENT {
            self.poison();
        }
        self.release();
    }

    #[cold]
    fn poison(&self) {
        self.object.state().store(POISONED, Relaxed);
    }

    #[inline(always)]
    fn release(&self) {
        unlock(self.object.word(), self.object.starving(), || self.object.wake_next());
    }

    /// Copies the value in, if there is one, and says that what the lock protects is consistent.
    /// The caller holds the lock.
    pub fn make_consistent(&self, value: Option<&[u8]>) {
        if self.object.check().is_ok() {
            if let Some(value) = value {
                self.object.write(VALUE, value);
            }
            self.object.state().store(CONSISTENT, Relaxed);
        }
    }

    /// Ends the poisoning.
    ///
    /// # Errors
    /// `Forked`.
    pub fn clear_poison(&self) -> Result<()> {
        self.object.check()?;
        let _ = self.object.state().compare_exchange(POISONED, CONSISTENT, Relaxed, Relaxed);
        Ok(())
    }

    /// Copies the value out, of the length with which the mutex was found. The caller has just
    /// taken the lock.
    #[inline(always)]
    pub fn load(&self, value: &mut [u8]) {
        self.object.read(VALUE, value);
    }

    /// A waiter for the lock.
    pub fn waiter(&self) -> MutexWaiter<'_> {
        MutexWaiter { mutex: self, word: WordWaiter::new(&self.object) }
    }
}

fn identity(len: usize) -> Identity {
    Identity { kind: Kind::Mutex, number: u32::try_from(len).unwrap_or(u32::MAX) }
}

/// A waiter for a mutex.
#[derive(Debug)]
pub struct MutexWaiter<'a> {
    mutex: &'a Mutex,
    word: WordWaiter<'a>,
}

impl Attempt for MutexWaiter<'_> {
    type Got = Taken;

    fn attempt(&mut self) -> Result<Taken> {
        let taken = self.mutex.try_lock(self.word.effort, self.word.looks())?;
        if taken.is_some() {
            self.word.note_taken();
        }
        taken.ok_or(Error::new(Operation::Lock, ErrorKind::WouldBlock))
    }

    fn slice(&self) -> Duration {
        word_slice(self.word.since)
    }

    fn memory_name(&self) -> &str {
        self.mutex.object.memory_name()
    }
}

impl Wait for MutexWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.word.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.word.arm(waiter)
    }

    fn park(&mut self, timeout: Duration) {
        self.word.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.word.waiter.disarm(true);
    }
}
