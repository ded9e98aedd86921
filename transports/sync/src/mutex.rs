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

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::mutex::{Effort, await_release, try_lock, unlock};
use anyipc_ring::robust::{LockBackend, Taken, owner};
use anyipc_ring::wait_set::wake_one;

use crate::attempt::{Attempt, lock_slice};
use crate::place::{Identity, Kind, Object, Place};

const WORD: usize = 8;
const STATE: usize = 12;
const STARVING: usize = 16;
const VALUE: usize = 64;

/// Up to so many bytes a value is copied word by word, in the caller's code.
const SHORT: usize = 64;

/// No owner has died that was not made good.
const CONSISTENT: u32 = 0;
/// An owner died, and its follower has not yet said that all is well.
const INCONSISTENT: u32 = 1;
/// That follower released the lock without saying so.
const POISONED: u32 = 2;

/// How long a waiter lets others pass.
const STARVES_AFTER: Duration = Duration::from_micros(500);
/// A mutex in shared memory.
#[derive(Debug)]
pub struct Mutex {
    object: Object,
    len: usize,
}

impl Mutex {
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
        Ok(Self { object: place.settle(identity(len), Self::size(len))?, len })
    }

    /// Tries to lock. `None`: another participant has it. `looks`: a dead owner is followed, for
    /// the price of a system call.
    ///
    /// # Errors
    /// `Poisoned`, `Forked`.
    #[inline]
    pub fn try_lock(&self, effort: Effort, looks: bool) -> Result<Option<Taken>> {
        self.object.check()?;
        // Both before the lock, behind which everything is read anew.
        let (word, state) = (self.word(), self.state());
        let Object { own_id, participants, .. } = &self.object;
        let taken = try_lock(word, *own_id, effort, looks, &**participants);
        match taken {
            Some(Taken::Free) if state.load(Relaxed) == CONSISTENT => {}
            None => {}
            Some(taken) => return self.taken_inconsistent(taken).map(Some),
        }
        Ok(taken)
    }

    #[cold]
    fn taken_inconsistent(&self, taken: Taken) -> Result<Taken> {
        if self.state().load(Relaxed) == POISONED {
            self.release();
            return Err(Error::new(Operation::Lock, ErrorKind::Poisoned).because(
                "an owner died, and what the lock protects was not made consistent; \
                 clear_poison says that it is",
            ));
        }
        if taken == Taken::OwnerDied {
            self.state().store(INCONSISTENT, Relaxed);
        }
        // Free and inconsistent: another process wrote over it.
        Ok(Taken::OwnerDied)
    }

    /// Unlocks. The caller holds the lock. If it followed a dead owner, the mutex is poisoned
    /// unless [`make_consistent`](Self::make_consistent) was called.
    #[inline]
    pub fn unlock(&self) {
        if self.object.check().is_err() {
            return;
        }
        let state = self.state();
        if state.load(Relaxed) != CONSISTENT {
            state.store(POISONED, Relaxed);
        }
        self.release();
    }

    #[inline]
    fn release(&self) {
        if unlock(self.word(), self.starving()) {
            wake_one(&self.object.waiters, &*self.object.participants);
        }
    }

    /// Says that what the lock protects is consistent. The caller holds the lock.
    pub fn make_consistent(&self) {
        if self.object.check().is_ok() {
            self.state().store(CONSISTENT, Relaxed);
        }
    }

    /// Ends the poisoning.
    ///
    /// # Errors
    /// `Forked`.
    pub fn clear_poison(&self) -> Result<()> {
        self.object.check()?;
        let _ = self.state().compare_exchange(POISONED, CONSISTENT, Relaxed, Relaxed);
        Ok(())
    }

    /// Copies the value out. The caller has just taken the lock.
    #[inline]
    pub fn load(&self, value: &mut [u8]) {
        let region = &self.object.region;
        if value.len() > SHORT {
            region.load(VALUE, value);
            return;
        }
        for (index, part) in value.chunks_mut(8).enumerate() {
            let word = region.u64(VALUE + index * 8).load(Relaxed).to_ne_bytes();
            part.copy_from_slice(&word[..part.len()]);
        }
    }

    /// Copies the value in. The caller holds the lock.
    #[inline]
    pub fn store(&self, value: &[u8]) {
        if value.len() == self.len && self.object.check().is_ok() {
            self.object.region.store(VALUE, value);
        }
    }

    /// A waiter for the lock.
    pub fn waiter(&self) -> MutexWaiter<'_> {
        let Object { participants, waiters, .. } = &self.object;
        MutexWaiter {
            mutex: self,
            waiter: SetWaiter::new(participants.places(), waiters.clone()),
            effort: Effort::Fresh,
            seen: 0,
            since: None,
        }
    }

    fn word(&self) -> &AtomicU32 {
        self.object.region.u32(WORD)
    }
    fn state(&self) -> &AtomicU32 {
        self.object.region.u32(STATE)
    }
    fn starving(&self) -> &AtomicU32 {
        self.object.region.u32(STARVING)
    }
}

fn identity(len: usize) -> Identity {
    Identity { kind: Kind::Mutex, number: u32::try_from(len).unwrap_or(u32::MAX) }
}

/// A waiter for a mutex.
#[derive(Debug)]
pub struct MutexWaiter<'a> {
    mutex: &'a Mutex,
    waiter: SetWaiter,
    effort: Effort,
    /// The word at the last arm: an owner that is still there after a sleep may be dead.
    seen: u32,
    /// When it first armed.
    since: Option<Instant>,
}

impl Attempt for MutexWaiter<'_> {
    type Got = Taken;

    fn attempt(&mut self) -> Result<Taken> {
        let looks = self.seen != 0 && self.mutex.word().load(Relaxed) == self.seen;
        let taken = self.mutex.try_lock(self.effort, looks)?;
        if taken.is_some() {
            self.waiter.disarm(false);
        }
        taken.ok_or(Error::new(Operation::Lock, ErrorKind::WouldBlock))
    }

    fn slice(&self) -> Duration {
        lock_slice(self.since)
    }
}

impl Wait for MutexWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let (mutex, effort) = (self.mutex, self.effort);
        if self.since.get_or_insert_with(Instant::now).elapsed() > STARVES_AFTER {
            mutex.object.check()?;
            mutex.starving().store(1, Relaxed);
        }
        // From the next try on.
        self.effort = Effort::Waited;
        let seen = &mut self.seen;
        self.waiter.arm(waiter, Operation::Lock, || {
            if !await_release(mutex.word(), effort) {
                return true;
            }
            // The system call costs little beside a sleep.
            *seen = mutex.word().load(Relaxed);
            owner(mutex.word()).is_some_and(|owner| mutex.object.participants.is_dead(owner))
        })
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.waiter.disarm(true);
    }
}
