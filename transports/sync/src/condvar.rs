//! A condition variable.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind |
//! | 8 | 8 | the count of notifications, see `anyipc_ring::condvar` |
//! | 24 | 32 | the wait set |

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::condvar::{count, notify_all, notify_one};
use anyipc_ring::wait_set::wake_one;

use crate::attempt::{Attempt, lock_slice};
use crate::place::{Identity, Kind, Object, Place};

const COUNT: usize = 8;

const IDENTITY: Identity = Identity { kind: Kind::Condvar, number: 0 };

/// A condition variable in shared memory.
#[derive(Debug)]
pub struct Condvar {
    object: Object,
}

impl Condvar {
    /// Bytes of a condition variable.
    pub const SIZE: usize = 64;

    /// The first bytes of a fresh condition variable.
    pub fn fresh() -> [u8; 8] {
        IDENTITY.word().to_ne_bytes()
    }

    /// Finds or makes the condition variable at a place.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`.
    pub fn new(place: Place) -> Result<Self> {
        Ok(Self { object: place.settle(IDENTITY, Self::SIZE)? })
    }

    /// Notifies a waiter.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn notify_one(&self) -> Result<()> {
        self.object.check()?;
        notify_one(self.count(), &self.object.waiters, &*self.object.participants);
        Ok(())
    }

    /// Notifies all waiters.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn notify_all(&self) -> Result<()> {
        self.object.check()?;
        notify_all(self.count(), &self.object.waiters, &*self.object.participants);
        Ok(())
    }

    /// Wakes another waiter in place of the caller, which was notified and leaves.
    pub fn pass_on(&self) {
        if self.object.check().is_ok() {
            wake_one(&self.object.waiters, &*self.object.participants);
        }
    }

    /// A waiter for the next notification. The caller has the lock still.
    ///
    /// # Errors
    /// `Forked`.
    pub fn waiter(&self) -> Result<CondvarWaiter<'_>> {
        self.object.check()?;
        let Object { participants, waiters, .. } = &self.object;
        Ok(CondvarWaiter {
            condvar: self,
            waiter: SetWaiter::new(participants.places(), waiters.clone()),
            seen: count(self.count()),
            since: None,
        })
    }

    fn count(&self) -> &AtomicU64 {
        self.object.line.u64::<COUNT>()
    }
}

/// A waiter for a notification.
#[derive(Debug)]
pub struct CondvarWaiter<'a> {
    condvar: &'a Condvar,
    waiter: SetWaiter,
    /// The count before the wait.
    seen: u64,
    /// When it first armed.
    since: Option<Instant>,
}

impl Attempt for CondvarWaiter<'_> {
    type Got = ();

    fn attempt(&mut self) -> Result<()> {
        self.condvar.object.check()?;
        if count(self.condvar.count()) == self.seen {
            return Err(Error::new(Operation::Lock, ErrorKind::WouldBlock));
        }
        self.waiter.disarm(false);
        Ok(())
    }

    fn slice(&self) -> Duration {
        lock_slice(self.since)
    }

    fn memory_name(&self) -> &str {
        self.condvar.object.memory_name()
    }
}

impl Wait for CondvarWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.since.get_or_insert_with(Instant::now);
        let (word, seen) = (self.condvar.count(), self.seen);
        self.waiter.arm(waiter, Operation::Lock, || count(word) != seen)
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.waiter.disarm(true);
    }
}
