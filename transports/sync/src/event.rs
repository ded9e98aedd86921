//! An event.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind, 0 for manual reset or 1 for automatic reset |
//! | 8 | 4 | the signal, see `anyipc_ring::event` |
//! | 24 | 32 | the wait set |

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::event::{Reset, is_set, reset, set, try_wait};

use crate::attempt::{Attempt, lock_slice};
use crate::place::{Identity, Kind, Object, Place};

const SIGNAL: usize = 8;

/// An event in shared memory.
#[derive(Debug)]
pub struct Event {
    object: Object,
    reset: Reset,
}

impl Event {
    /// Bytes of an event.
    pub const SIZE: usize = 64;

    /// The first bytes of a fresh event.
    pub fn fresh(reset: Reset) -> [u8; 8] {
        identity(reset).word().to_ne_bytes()
    }

    /// Finds or makes the event at a place.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`.
    pub fn new(place: Place, reset: Reset) -> Result<Self> {
        Ok(Self { object: place.settle(identity(reset), Self::SIZE)?, reset })
    }

    /// Finds the event at a place, whatever its reset.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn find(place: Place) -> Result<Self> {
        let reset = match place.number(Kind::Event) {
            Some(1) => Reset::Auto,
            _ => Reset::Manual,
        };
        Self::new(place, reset)
    }

    /// How it ends being set.
    pub fn how(&self) -> Reset {
        self.reset
    }

    /// Sets the event and wakes: all waiters, or one with automatic reset.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn set(&self) -> Result<()> {
        self.object.check()?;
        set(self.signal(), self.reset, &self.object.waiters, &*self.object.participants);
        Ok(())
    }

    /// Ends being set. True if it was.
    ///
    /// # Errors
    /// `Forked`.
    pub fn reset(&self) -> Result<bool> {
        self.object.check()?;
        Ok(reset(self.signal()))
    }

    /// True if it is set.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn is_set(&self) -> Result<bool> {
        self.object.check()?;
        Ok(is_set(self.signal()))
    }

    /// True if it is set; one with automatic reset then no longer is.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn try_wait(&self) -> Result<bool> {
        self.object.check()?;
        Ok(try_wait(self.signal(), self.reset))
    }

    /// A waiter for the event.
    pub fn waiter(&self) -> EventWaiter<'_> {
        let Object { participants, waiters, .. } = &self.object;
        EventWaiter {
            event: self,
            waiter: SetWaiter::new(participants.places(), waiters.clone()),
            since: None,
        }
    }

    #[inline]
    fn signal(&self) -> &AtomicU32 {
        self.object.line.u32::<SIGNAL>()
    }
}

fn identity(reset: Reset) -> Identity {
    Identity { kind: Kind::Event, number: u32::from(reset == Reset::Auto) }
}

/// A waiter for an event.
#[derive(Debug)]
pub struct EventWaiter<'a> {
    event: &'a Event,
    waiter: SetWaiter,
    /// When it first armed.
    since: Option<Instant>,
}

impl EventWaiter<'_> {
    /// The event.
    pub fn event(&self) -> &Event {
        self.event
    }
}

impl Attempt for EventWaiter<'_> {
    type Got = ();

    fn attempt(&mut self) -> Result<()> {
        if !self.event.try_wait()? {
            return Err(Error::new(Operation::Lock, ErrorKind::WouldBlock));
        }
        self.waiter.disarm(false);
        Ok(())
    }

    fn slice(&self) -> Duration {
        lock_slice(self.since)
    }

    fn memory_name(&self) -> &str {
        self.event.object.memory_name()
    }
}

impl Wait for EventWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.since.get_or_insert_with(Instant::now);
        let signal = self.event.signal();
        self.waiter.arm(waiter, Operation::Lock, || is_set(signal))
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.waiter.disarm(true);
    }
}
