//! A participant of a queue, its *client*: takes a lock, acts on the store, gives the lock back,
//! and wakes one sleeper that the action gave something to do. It makes a system call only if a
//! peer sleeps.
//!
//! Senders and receivers have a lock each, so that the two sides do not wait for each other. An
//! action that needs both locks takes the senders' lock first.
//!
//! - `lock`: taking and giving back the locks; what to do while a stopped process holds one
//! - `lease`: receiving where messages are held back, and what becomes of leases
//! - `wait`: arming, sleeping, and the reservation of a sender that has waited for long

mod lease;
mod lock;
mod wait;

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Full, LeaseId, Operation, Result};
use anyipc_memory::{Region, boot_nanos};
use anyipc_ring::robust::{LockBackend, OwnerId, unlock};

use crate::layout::{Geometry, chunks_for, hot};
use crate::store::{Checked, Corrupt, Store, state};
use crate::waiters::{KINDS, MESSAGES, ROOM};
use lock::BRIEF;
use wait::Turn;

/// How long `counts` tries for the locks. It can do without them.
const COUNT_TIMEOUT: Duration = Duration::from_millis(20);
/// How long `purge` tries for the locks; no wait repeats it. Only a stopped process holds a lock
/// for longer.
const PURGE_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a word is read again that its writer is about to change.
const LOOKS: u32 = 8;

/// The other participants of a queue: which of them died, and how to wake one that sleeps on a
/// source.
pub(crate) trait PeerWakers: LockBackend {
    /// Wakes the holder of this slot, which sleeps on a source.
    fn wake_source(&mut self, slot: u32);
}

/// A store, and the place of this handle among its participants.
#[derive(Debug)]
pub(crate) struct QueueClient<P> {
    store: Store,
    owner_id: OwnerId,
    pub(crate) peers: P,
    /// The kind that this slot's bit is set for in the store, if it may be.
    armed: Option<usize>,
    /// The value of this slot's wake word at the last arm: what `park` sleeps on.
    parked: u32,
    /// Chunks that the last message without room needed.
    wants: u32,
    turn: Turn,
    /// The lock that was refused last, and its owner. `Some` until that owner is seen to have given
    /// it back: until then the lock is not waited for again.
    stuck: Cell<Option<(usize, OwnerId)>>,
    /// When this client looked for dead holders of leases last, in ticks of the coarse clock.
    looked: Cell<u64>,
    /// Messages without an attempt left, leased to this client: its owner moves them.
    pub(crate) dying: Vec<LeaseId>,
}

/// How many messages a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that a receiver can get now.
    pub(crate) ready: u32,
    pub(crate) leased: u32,
    pub(crate) delayed: u32,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
}

impl Counts {
    fn of(store: &Store) -> Self {
        let ((messages, bytes), (leased, delayed)) = (store.counts(), store.counts_held());
        let ready = messages.saturating_sub(leased).saturating_sub(delayed);
        Self { ready, leased, delayed, bytes }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is in the queue, or dropped and counted, as `full=` says.
    Done,
    NoRoom,
}

impl<P: PeerWakers> QueueClient<P> {
    pub(crate) fn new(store: Store, owner_id: OwnerId, peers: P) -> Self {
        Self {
            store,
            owner_id,
            peers,
            armed: None,
            parked: 0,
            wants: 1,
            turn: Turn::Fresh,
            stuck: Cell::new(None),
            looked: Cell::new(0),
            dying: Vec::new(),
        }
    }

    /// The memory, for looks at single words without a lock.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The number of messages and their bytes, at some moment of the call. Takes the locks only if
    /// messages are held back, a lock is held, its owner died, or the counts are half-changed. If a
    /// stopped process holds one, the message that it was about to send or to receive is counted or
    /// not, and what became due is counted as before.
    pub(crate) fn counts(&self, operation: Operation) -> Result<Counts> {
        let store = &self.store;
        let count = || Counts::of(store);
        let is_still =
            || self.is_free(MESSAGES) && self.is_free(ROOM) && !store.has_state(state::DAMAGED);
        if is_still() {
            let tally = store.tally();
            let counts = count();
            if counts.leased == 0 && counts.delayed == 0 && store.tally() == tally && is_still() {
                return Ok(counts);
            }
        }
        // Before the locks, unless it is the first time: it asks the kernel.
        let known = store.is_timed().then(|| self.dead_holders());
        if self.is_stuck(None) || self.enter_both(COUNT_TIMEOUT).is_none() {
            // Two equal reads: nothing changed in between.
            let mut seen = count();
            for _ in 0..LOOKS {
                match count() {
                    again if again == seen => break,
                    again => seen = again,
                }
            }
            return Ok(seen);
        }
        let repaired = if store.has_state(state::DAMAGED) { store.repair() } else { Ok(()) };
        let counts = repaired.and_then(|()| {
            let (mut leased, mut delayed) = (0, 0);
            if store.is_timed() {
                let dead = known.unwrap_or_else(|| self.dead_holders());
                (leased, delayed) = store.count_due(boot_nanos(), &dead)?;
            }
            let counts = count();
            Ok(Counts {
                ready: counts.ready + leased + delayed,
                leased: counts.leased.saturating_sub(leased),
                delayed: counts.delayed.saturating_sub(delayed),
                ..counts
            })
        });
        self.leave_both();
        counts.map_err(|Corrupt| corrupt(operation))
    }

    /// The dead handles that had leases.
    fn dead_holders(&self) -> Vec<OwnerId> {
        let mut holders = self.store.holders();
        holders.retain(|holder| self.peers.is_dead(*holder));
        holders
    }

    /// True if a message can be received now, or damage can be reported. False also while a stopped
    /// process holds the receivers' lock.
    pub(crate) fn is_ready(&self) -> bool {
        let store = &self.store;
        let is_there =
            || !store.is_empty() || store.is_stale() || store.is_timed() && self.has_due();
        if !is_there() || self.is_free(ROOM) {
            return is_there();
        }
        let entered = self.enter(ROOM, BRIEF).is_some();
        let ready = entered && is_there();
        if entered {
            unlock(store.lock(ROOM), &self.peers);
        }
        ready
    }

    /// Clears the waiting bits of a slot that was taken over: its last holder may have died while
    /// it waited. If the locks cannot be had, the bits stay, and cost the peers one wake-up each.
    pub(crate) fn clear_slot(&self) {
        if self.enter_both(BRIEF).is_some() {
            self.store.cancel_waits(self.owner_id.slot());
            self.leave_both();
        }
    }

    /// Sends one message. The caller has checked priority and length.
    #[inline(always)]
    pub(crate) fn send(&mut self, priority: u32, flags: u8, bytes: &[u8]) -> Result<()> {
        self.send_at::<false>(0, priority, flags, bytes)
    }

    /// Sends one message; a delayed one is seen by no receiver before `due`.
    #[inline(always)]
    fn send_at<const DELAYED: bool>(
        &mut self,
        due: u64,
        priority: u32,
        flags: u8,
        bytes: &[u8],
    ) -> Result<()> {
        let (len, need) = (bytes.len(), chunks_for(bytes.len()));
        if self.store.geometry().full == Full::Block
            && (self.store.has_reservation() || !self.has_room(len))
        {
            self.wants = need;
            // The third look: once the queue is at rest, everything given back before is visible.
            if self.must_yield() || !self.has_room(len) && self.is_at_rest() && !self.has_room(len)
            {
                return Err(self.refuse());
            }
        }
        let mut sent = self.with(MESSAGES, |store| {
            let room = store.has_room(need)?;
            if room {
                store.push_at::<DELAYED>(due, priority, flags, bytes)?;
            }
            Ok(if room { Sent::Done } else { Sent::NoRoom })
        });
        if sent == Some(Ok(Sent::NoRoom)) {
            sent = self.send_to_full::<DELAYED>(due, priority, flags, bytes);
        }
        if self.armed.is_some() {
            self.cancel_wait();
        }
        match sent {
            Some(Ok(Sent::Done)) => {
                if !matches!(self.turn, Turn::Fresh) {
                    self.end_turn();
                }
                Ok(())
            }
            Some(Ok(Sent::NoRoom)) if self.store.geometry().full == Full::Error => {
                Err(Error::new(Operation::Send, ErrorKind::Full))
            }
            Some(Err(Corrupt)) => Err(corrupt(Operation::Send)),
            Some(Ok(Sent::NoRoom)) | None => Err(self.refuse()),
        }
    }

    /// Under both locks the answer is final: no participant, alive or dead, is about to give room
    /// back.
    #[cold]
    fn send_to_full<const DELAYED: bool>(
        &mut self,
        due: u64,
        priority: u32,
        flags: u8,
        bytes: &[u8],
    ) -> Option<Checked<Sent>> {
        let need = chunks_for(bytes.len());
        self.with_both(|store| {
            let full = store.geometry().full;
            if store.has_room(need)? || full == Full::DropOld && store.make_room(need, priority)? {
                store.push_at::<DELAYED>(due, priority, flags, bytes)?;
            } else if matches!(full, Full::Block | Full::Error) {
                return Ok(Sent::NoRoom);
            } else {
                store.count_drop();
            }
            Ok(Sent::Done)
        })
    }

    /// True if no receiver is about to give room back, and none died doing so. Without lists the
    /// store that takes a message off gives its room back, otherwise later stores under the
    /// receivers' lock do.
    #[cold]
    fn is_at_rest(&self) -> bool {
        let free = |look| {
            (0..1 << look).for_each(|_| std::hint::spin_loop());
            self.is_free(ROOM)
        };
        (!self.store.has_lists() || (0..LOOKS).any(free)) && !self.store.has_state(state::DAMAGED)
    }

    /// Notes how many chunks the next message needs; false if they are not free.
    pub(crate) fn has_room(&mut self, len: usize) -> bool {
        self.wants = chunks_for(len);
        let known = self.store.free_behind(hot::KNOWN_RETURNED);
        known.is_ok_and(|free| free >= self.wants) || self.store.free() >= self.wants
    }

    /// Receives one message and appends it to the buffer. Returns its priority and its flags, or
    /// `None` if the queue is empty.
    #[inline(always)]
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<Option<(u32, u8)>> {
        if self.store.is_timed() {
            let received = self.receive_timed(None, buffer)?;
            return Ok(received.map(|received| (received.priority, received.flags)));
        }
        if self.store.is_empty() && !self.store.is_stale() {
            return Ok(None);
        }
        let received = self.with(ROOM, |store| {
            let Some(found) = store.highest()? else { return Ok(None) };
            store.pop(&found, buffer)?;
            Ok(Some((found.priority, found.flags)))
        });
        if self.armed.is_some() {
            self.cancel_wait();
        }
        match received {
            Some(Ok(received)) => Ok(received),
            Some(Err(Corrupt)) => Err(corrupt(Operation::Receive)),
            None => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
        }
    }

    /// Removes all messages, also those that cannot be read any more. Returns how many.
    pub(crate) fn purge(&mut self) -> Result<u64> {
        self.enter_both(PURGE_TIMEOUT).ok_or_else(|| stopped(Operation::Queue))?;
        let purged = self.store.purge();
        KINDS.iter().for_each(|kind| self.exit(*kind, purged.is_ok()));
        purged.map_err(|Corrupt| corrupt(Operation::Queue))
    }

    /// Sets a bit of the store's state for good, and wakes the sleepers that it concerns.
    pub(crate) fn leave(&mut self, bit: u32) {
        self.store.set_state(bit);
        let _ = self.with_both(|_| Ok(()));
    }
}

#[cold]
fn corrupt(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Corrupt).because(
        "its memory holds what no queue holds; a purge empties it and makes it usable again",
    )
}

#[cold]
fn stopped(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Busy)
        .because("a process that was stopped, but is alive, holds the queue's lock")
}

/// Repairs a queue that has no participants at the moment.
pub(crate) fn reset_unshared(region: &Region, geometry: Geometry) -> Checked<()> {
    let store = Store::new(region.clone(), geometry);
    for number in 0..geometry.slots {
        store.cancel_waits(number);
    }
    KINDS.iter().for_each(|kind| store.lock(*kind).store(0, Relaxed));
    store.repair()
}
