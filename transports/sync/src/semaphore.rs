//! Permits that participants hold.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind |
//! | 8 | 4 | all permits that exist |
//! | 12 | 4 | not 0: a waiter wants more than one |
//! | 16 | 8 | the turn, see `anyipc_ring::semaphore` |
//! | 24 | 32 | the wait set |
//! | 56 | 8 | the first waiter |
//! | 64 | 1472 | the permits of each participant |

use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::SetWaiter;
use anyipc_ring::mutex::Effort;
use anyipc_ring::robust::OwnerId;
use anyipc_ring::semaphore::{
    MAX_PERMITS, SemaphoreWords, add_permits, available, await_permits, end_wait, first_in_the_way,
    forget, pass_first, release, try_acquire,
};
use anyipc_ring::wait_set::{wake_all, wake_one};

use crate::attempt::{Attempt, lock_slice};
use crate::lock_word::STARVES_AFTER;
use crate::place::{Identity, Kind, Object, Place, too_small};
use crate::slot_cells::SlotCells;

const TOTAL: usize = 8;
const LARGE: usize = 12;
const TURN: usize = 16;
const FIRST: usize = 56;
const HELD: usize = 64;

/// How long another waiter may be first and not take what it wants.
const PASSED_AFTER: Duration = Duration::from_millis(10);

const IDENTITY: Identity = Identity { kind: Kind::Semaphore, number: 0 };

/// A semaphore in shared memory.
#[derive(Debug)]
pub struct Semaphore {
    words: Words,
}

#[derive(Debug)]
struct Words {
    object: Object,
    held: SlotCells,
}

impl Semaphore {
    /// Bytes of a semaphore.
    pub const SIZE: usize = HELD + SlotCells::SIZE;
    /// The most permits.
    pub const MAX_PERMITS: u32 = MAX_PERMITS;

    /// The first bytes of a fresh semaphore.
    ///
    /// # Errors
    /// `InvalidOption` for more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    pub fn fresh(permits: u32) -> Result<[u8; 16]> {
        check_count(Operation::Create, permits)?;
        let mut bytes = [0; 16];
        let (identity, total) = bytes.split_at_mut(TOTAL);
        identity.copy_from_slice(&IDENTITY.word().to_ne_bytes());
        total[..4].copy_from_slice(&permits.to_ne_bytes());
        Ok(bytes)
    }

    /// Finds or makes the semaphore at a place; one that is made has no permits.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`.
    pub fn new(place: Place) -> Result<Self> {
        let object = place.settle(IDENTITY, Self::SIZE)?;
        let held = SlotCells::join(&object, HELD).ok_or_else(too_small)?;
        Ok(Self { words: Words { object, held } })
    }

    /// Tries to take permits. False if there are too few. `looks`: those of the dead are taken,
    /// too, for the price of a system call for each participant that holds some.
    ///
    /// # Errors
    /// `InvalidOption` for more than [`MAX_PERMITS`](Self::MAX_PERMITS); `Forked`.
    #[inline(always)]
    pub fn try_acquire(&self, wanted: u32, effort: Effort, looks: bool) -> Result<bool> {
        let words = &self.words;
        words.object.check()?;
        check_count(Operation::Lock, wanted)?;
        let participants = &*words.object.participants;
        Ok(try_acquire(words, words.own_id(), wanted, effort, false, participants)
            || looks && try_acquire(words, words.own_id(), wanted, effort, true, participants))
    }

    /// Gives back permits that were taken.
    #[inline(always)]
    pub fn release(&self, count: u32) {
        if self.words.object.check().is_ok() {
            release(&self.words, self.words.own_id(), count);
        }
    }

    /// Destroys permits that were taken.
    pub fn forget(&self, count: u32) {
        if self.words.object.check().is_ok() {
            forget(&self.words, self.words.own_id(), count);
        }
    }

    /// How many permits are left, those of the dead included.
    ///
    /// # Errors
    /// `Forked`.
    pub fn available(&self) -> Result<u32> {
        self.words.object.check()?;
        Ok(available(&self.words, true, &*self.words.object.participants))
    }

    /// Adds permits.
    ///
    /// # Errors
    /// `InvalidOption` for more than [`MAX_PERMITS`](Self::MAX_PERMITS) in all; `Forked`.
    pub fn add_permits(&self, count: u32) -> Result<()> {
        self.words.object.check()?;
        if add_permits(&self.words, count) { Ok(()) } else { Err(too_many(Operation::Lock)) }
    }

    /// A waiter for permits.
    pub fn waiter(&self, wanted: u32) -> SemaphoreWaiter<'_> {
        let Object { participants, waiters, .. } = &self.words.object;
        SemaphoreWaiter {
            words: &self.words,
            semaphore: self,
            waiter: SetWaiter::new(participants.places(), waiters.clone()),
            wanted,
            since: None,
            in_the_way: None,
            has_taken: false,
        }
    }
}

impl Words {
    #[inline]
    fn own_id(&self) -> OwnerId {
        self.object.own_id
    }
}

impl SemaphoreWords for Words {
    type Held = SlotCells;

    #[inline]
    fn held(&self) -> &SlotCells {
        &self.held
    }
    #[inline]
    fn total(&self) -> &AtomicU32 {
        self.object.line.u32::<TOTAL>()
    }
    #[inline]
    fn turn(&self) -> &AtomicU64 {
        self.object.line.u64::<TURN>()
    }
    #[inline]
    fn first(&self) -> &AtomicU64 {
        self.object.line.u64::<FIRST>()
    }
    #[inline]
    fn large(&self) -> &AtomicU32 {
        self.object.line.u32::<LARGE>()
    }
    #[inline]
    fn wake_one(&self) {
        wake_one(&self.object.waiters, &*self.object.participants);
    }
    #[inline]
    fn wake_all(&self) {
        wake_all(&self.object.waiters, &*self.object.participants);
    }
}

#[inline]
fn check_count(operation: Operation, count: u32) -> Result<()> {
    if count <= MAX_PERMITS { Ok(()) } else { Err(too_many(operation)) }
}

#[cold]
fn too_many(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::InvalidOption)
        .because(format!("a semaphore has {MAX_PERMITS} permits at most"))
}

/// A waiter for permits.
#[derive(Debug)]
pub struct SemaphoreWaiter<'a> {
    semaphore: &'a Semaphore,
    words: &'a Words,
    waiter: SetWaiter,
    wanted: u32,
    /// When it first armed.
    since: Option<Instant>,
    /// Another first waiter that could take what it wants, and since when that is so.
    in_the_way: Option<(u64, Instant)>,
    has_taken: bool,
}

impl SemaphoreWaiter<'_> {
    /// Another first waiter is passed if it stands in the way for a whole slice.
    fn look_at_first(&mut self) {
        let words = self.words;
        let participants = &*words.object.participants;
        let found = first_in_the_way(words, words.own_id(), self.wanted, participants);
        self.in_the_way = found.and_then(|first| match self.in_the_way {
            Some((same, since)) if same == first => {
                if since.elapsed() < PASSED_AFTER {
                    return Some((first, since));
                }
                pass_first(words, first);
                None
            }
            _ => Some((first, Instant::now())),
        });
    }
}

impl Attempt for SemaphoreWaiter<'_> {
    type Got = ();

    fn attempt(&mut self) -> Result<()> {
        if self.since.is_some() {
            self.words.object.check()?;
            self.look_at_first();
        }
        if !self.semaphore.try_acquire(self.wanted, Effort::Waited, self.since.is_some())? {
            return Err(Error::new(Operation::Lock, ErrorKind::WouldBlock));
        }
        self.has_taken = true;
        self.waiter.disarm(false);
        Ok(())
    }

    fn slice(&self) -> Duration {
        lock_slice(self.since)
    }

    fn memory_name(&self) -> &str {
        self.words.object.memory_name()
    }
}

impl Wait for SemaphoreWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let (words, wanted) = (self.words, self.wanted);
        let starves = self.since.get_or_insert_with(Instant::now).elapsed() > STARVES_AFTER;
        self.waiter.arm(waiter, Operation::Lock, || {
            await_permits(words, words.own_id(), wanted, starves, &*words.object.participants)
        })
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.waiter.disarm(true);
    }
}

impl Drop for SemaphoreWaiter<'_> {
    /// It may be first, or a thread that was woken.
    fn drop(&mut self) {
        if self.since.is_some() && self.words.object.check().is_ok() {
            end_wait(self.words, self.words.own_id(), self.wanted, self.has_taken);
        }
    }
}
