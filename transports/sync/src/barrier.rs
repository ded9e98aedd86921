//! A barrier.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind, parties |
//! | 8 | 8 | the round, see `anyipc_ring::barrier` |
//! | 24 | 32 | the wait set |
//! | 64 | 8 for each party | the cells of those that have arrived |

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::barrier::{
    Arrival, BarrierWords, Progress, arrive, has_room, is_over, try_end, withdraw,
};

use crate::attempt::{Attempt, lock_slice};
use crate::place::{Identity, Kind, Object, Place};

const ROUND: usize = 8;
const CELLS: usize = 64;

/// A barrier in shared memory.
#[derive(Debug)]
pub struct Barrier {
    object: Object,
    parties: u32,
}

impl Barrier {
    /// The most parties.
    pub const MAX_PARTIES: u32 = 1024;

    /// Bytes of a barrier with so many parties.
    pub const fn size(parties: u32) -> usize {
        CELLS + parties as usize * 8
    }

    /// The first bytes of a fresh barrier.
    ///
    /// # Errors
    /// `InvalidOption` if there are 0 parties, or more than [`MAX_PARTIES`](Self::MAX_PARTIES).
    pub fn fresh(parties: u32) -> Result<[u8; 8]> {
        if !(1..=Self::MAX_PARTIES).contains(&parties) {
            return Err(Error::new(Operation::Create, ErrorKind::InvalidOption).because(format!(
                "a barrier of {parties} parties: it has 1 to {}",
                Self::MAX_PARTIES
            )));
        }
        Ok(identity(parties).word().to_ne_bytes())
    }

    /// Finds or makes the barrier at a place.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`; that of
    /// [`fresh`](Self::fresh).
    pub fn new(place: Place, parties: u32) -> Result<Self> {
        Self::fresh(parties)?;
        Ok(Self { object: place.settle(identity(parties), Self::size(parties))?, parties })
    }

    /// Finds the barrier at a place, whatever its parties.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn find(place: Place) -> Result<Self> {
        let parties = place.number(Kind::Barrier).unwrap_or(1);
        if Self::fresh(parties).is_err() {
            return Err(Error::new(Operation::Open, ErrorKind::Corrupt)
                .because(format!("a barrier of {parties} parties")));
        }
        Self::new(place, parties)
    }

    /// How many participants end a round.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// A waiter, which has not arrived yet.
    pub fn waiter(&self) -> BarrierWaiter<'_> {
        let Object { participants, waiters, .. } = &self.object;
        BarrierWaiter {
            barrier: self,
            waiter: SetWaiter::new(participants.places(), waiters.clone()),
            arrival: None,
            looks: true,
            since: None,
        }
    }
}

impl BarrierWords for Barrier {
    fn parties(&self) -> u32 {
        self.parties
    }
    fn round(&self) -> &AtomicU64 {
        self.object.line.u64::<ROUND>()
    }
    fn cell(&self, index: u32) -> &AtomicU64 {
        self.object.region.u64(CELLS + index as usize * 8)
    }
}

fn identity(parties: u32) -> Identity {
    Identity { kind: Kind::Barrier, number: parties }
}

/// A waiter for the end of a round. Dropping it takes its arrival back.
#[derive(Debug)]
pub struct BarrierWaiter<'a> {
    barrier: &'a Barrier,
    waiter: SetWaiter,
    /// Set while it has arrived in a round that it has not seen end.
    arrival: Option<Arrival>,
    /// The next try to arrive asks for deaths: it is the first, or comes after a sleep.
    looks: bool,
    /// When it first armed.
    since: Option<Instant>,
}

impl BarrierWaiter<'_> {
    /// Takes the arrival back. False if the round was over: the arrival was counted.
    pub fn withdraw(&mut self) -> bool {
        let object = &self.barrier.object;
        let arrival = self.arrival.take().filter(|_| object.check().is_ok());
        arrival.is_none_or(|arrival| {
            withdraw(self.barrier, &arrival, &object.waiters, &*object.participants)
        })
    }
}

impl Attempt for BarrierWaiter<'_> {
    /// True for the participant that ended the round.
    type Got = bool;

    fn attempt(&mut self) -> Result<bool> {
        let barrier = self.barrier;
        let Object { participants, waiters, .. } = &barrier.object;
        barrier.object.check()?;
        let looks = std::mem::take(&mut self.looks);
        if self.arrival.is_none() {
            self.arrival = arrive(barrier, barrier.object.own_id, looks, &**participants);
        }
        let progress = self.arrival.map(|at| try_end(barrier, &at, waiters, &**participants));
        match progress {
            None | Some(Progress::Waits) => Err(Error::new(Operation::Lock, ErrorKind::WouldBlock)),
            Some(Progress::Over { leads }) => {
                self.arrival = None;
                self.waiter.disarm(false);
                Ok(leads)
            }
        }
    }

    fn slice(&self) -> Duration {
        lock_slice(self.since)
    }

    fn memory_name(&self) -> &str {
        self.barrier.object.memory_name()
    }
}

impl Wait for BarrierWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.since.get_or_insert_with(Instant::now);
        self.looks = true;
        let (barrier, arrival) = (self.barrier, self.arrival);
        self.waiter.arm(waiter, Operation::Lock, || match &arrival {
            Some(arrival) => is_over(barrier, arrival),
            None => has_room(barrier, &*barrier.object.participants),
        })
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.waiter.disarm(true);
    }
}

impl Drop for BarrierWaiter<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}
