//! Something that is done once.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind |
//! | 8 | 4 | the state, see `anyipc_ring::once` |
//! | 24 | 32 | the wait set |

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::once::{Begun, begin, can_begin, complete, give_up, is_complete};

use crate::attempt::{Attempt, lock_slice};
use crate::place::{Identity, Kind, Object, Place};

const STATE: usize = 8;

const IDENTITY: Identity = Identity { kind: Kind::Once, number: 0 };

/// Something in shared memory that is done once.
#[derive(Debug)]
pub struct Once {
    object: Object,
}

impl Once {
    /// Bytes of a once.
    pub const SIZE: usize = 64;

    /// The first bytes of a fresh once.
    pub fn fresh() -> [u8; 8] {
        IDENTITY.word().to_ne_bytes()
    }

    /// Finds or makes the once at a place.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`.
    pub fn new(place: Place) -> Result<Self> {
        Ok(Self { object: place.settle(IDENTITY, Self::SIZE)? })
    }

    /// True if it is done.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn is_complete(&self) -> Result<bool> {
        self.object.check()?;
        Ok(is_complete(self.state()))
    }

    /// A waiter. `does`: it does what is to be done, if it is the first or the one before died;
    /// otherwise it waits until it is done.
    pub fn waiter(&self, does: bool) -> OnceWaiter<'_> {
        let Object { participants, waiters, .. } = &self.object;
        let waiter = SetWaiter::new(participants.places(), waiters.clone());
        OnceWaiter { once: self, waiter, does, looks: true, since: None }
    }

    fn state(&self) -> &AtomicU32 {
        self.object.line.u32::<STATE>()
    }
}

/// What the caller is to do. Dropping it gives it up: another one does it.
#[derive(Debug)]
#[must_use = "dropping it gives it up"]
pub struct Duty<'a> {
    once: &'a Once,
    after_death: bool,
    is_done: bool,
}

impl Duty<'_> {
    /// True if another participant had begun, and died or gave up.
    pub fn is_after_death(&self) -> bool {
        self.after_death
    }

    /// It is done.
    pub fn complete(mut self) {
        self.is_done = true;
    }
}

impl Drop for Duty<'_> {
    fn drop(&mut self) {
        let Object { participants, waiters, .. } = &self.once.object;
        if self.once.object.check().is_err() {
            return;
        }
        match self.is_done {
            true => complete(self.once.state(), waiters, &**participants),
            false => give_up(self.once.state(), waiters, &**participants),
        }
    }
}

/// A waiter for a once.
#[derive(Debug)]
pub struct OnceWaiter<'a> {
    once: &'a Once,
    waiter: SetWaiter,
    does: bool,
    /// The next try asks for a death: it is the first, or comes after a sleep.
    looks: bool,
    /// When it first armed.
    since: Option<Instant>,
}

impl<'a> Attempt for OnceWaiter<'a> {
    /// `None`: it is done.
    type Got = Option<Duty<'a>>;

    fn attempt(&mut self) -> Result<Option<Duty<'a>>> {
        let Self { once, does, .. } = *self;
        let object = &once.object;
        object.check()?;
        let looks = std::mem::take(&mut self.looks);
        let begun = if does {
            begin(once.state(), object.own_id, looks, &*object.participants)
        } else if is_complete(once.state()) {
            Begun::Complete
        } else {
            Begun::Others
        };
        let got = match begun {
            Begun::Complete => None,
            Begun::Ours { after_death } => Some(Duty { once, after_death, is_done: false }),
            Begun::Others => return Err(Error::new(Operation::Lock, ErrorKind::WouldBlock)),
            Begun::Corrupt => {
                return Err(Error::new(Operation::Lock, ErrorKind::Corrupt)
                    .because("the state of a once is none that there is"));
            }
        };
        self.waiter.disarm(false);
        Ok(got)
    }

    fn slice(&self) -> Duration {
        lock_slice(self.since)
    }

    fn memory_name(&self) -> &str {
        self.once.object.memory_name()
    }
}

impl Wait for OnceWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.since.get_or_insert_with(Instant::now);
        self.looks = true;
        let (once, does) = (self.once, self.does);
        self.waiter.arm(waiter, Operation::Lock, || {
            is_complete(once.state()) || does && can_begin(once.state(), &*once.object.participants)
        })
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.waiter.disarm(true);
    }
}
