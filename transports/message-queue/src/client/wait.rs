//! Waiting for a message or for room, and the turn of a sender that has waited for long.

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result};
use anyipc_memory::sleep;
use anyipc_ring::robust::{await_release, owner};

use super::{PeerWakers, QueueClient, corrupt};
use crate::store::Corrupt;
use crate::waiters::ROOM;

/// How soon a waiter with a source tries again while a stopped process holds the lock. A thread
/// that can park sleeps on the lock.
const RETRY: Duration = Duration::from_millis(2);
/// How long a sender waits before it reserves the next room.
const RESERVES_AFTER: Duration = Duration::from_millis(20);
/// A sender sleeps until 1/8 of the queue is free, so that it is not woken for each message.
const FREE_SHARE: u32 = 8;

/// How long the current message has been without room.
#[derive(Debug, Clone, Copy)]
pub(super) enum Turn {
    /// It was not refused yet.
    Fresh,
    /// It was refused first at this time.
    Since(Instant),
    /// So long that this client has reserved the next room.
    Reserved,
}

impl<P: PeerWakers> QueueClient<P> {
    /// `WouldBlock`; the first refusal of a message starts its turn.
    pub(super) fn refuse(&mut self) -> Error {
        if let Turn::Fresh = self.turn {
            self.turn = Turn::Since(Instant::now());
        }
        Error::new(Operation::Send, ErrorKind::WouldBlock)
    }

    /// True if the next room is reserved for another sender. Cancels the reservation of a dead one.
    #[cold]
    pub(super) fn must_yield(&self) -> bool {
        match self.store.reserved_for() {
            None => false,
            Some(sender) if sender == self.owner_id => false,
            Some(sender) if self.peers.is_dead(sender) => {
                self.store.cancel_reservation(sender);
                false
            }
            Some(_) => true,
        }
    }

    /// Reserves the next room, or renews the reservation, if the message has waited for long. The
    /// only sender of a channel need not.
    fn reserves(&mut self) -> bool {
        let late = match self.turn {
            Turn::Fresh => false,
            Turn::Since(start) => start.elapsed() >= RESERVES_AFTER,
            Turn::Reserved => true,
        };
        let reserved = late
            && self.store.geometry().slots > 2
            && !self.must_yield()
            && self.store.reserve(self.owner_id);
        if reserved {
            self.turn = Turn::Reserved;
        }
        reserved
    }

    /// Ends the turn of a message that is in or given up: cancels its reservation, and wakes a
    /// sender that yielded to it.
    #[cold]
    pub(super) fn end_turn(&mut self) {
        if let Turn::Reserved = std::mem::replace(&mut self.turn, Turn::Fresh) {
            self.store.cancel_reservation(self.owner_id);
            let _ = self.with(ROOM, |_| Ok(()));
        }
    }

    /// Registers for a message, or for room for the message that was refused last. `on_source`: the
    /// waiter sleeps on its source, otherwise it calls [`park`](Self::park).
    pub(crate) fn arm(
        &mut self,
        kind: usize,
        on_source: bool,
        operation: Operation,
    ) -> Result<Armed> {
        self.cancel_wait();
        if self.is_stuck(None) || self.armed.is_some() {
            return Ok(self.until_released(on_source));
        }
        let slot = self.owner_id.slot();
        let reserved = kind == ROOM && self.reserves();
        let wants = match kind {
            ROOM if reserved => self.wants,
            ROOM => self.wants.max(self.store.geometry().chunks / FREE_SHARE),
            _ => 0,
        };
        let needs = self.wants;
        let armed = self.with(kind, |store| {
            if store.has(kind, slot, needs, store.reserved_for()) {
                return Ok(None);
            }
            Ok(Some(store.await_wake(kind, slot, on_source, wants)))
        });
        match armed {
            None => Ok(self.until_released(on_source)),
            Some(Err(Corrupt)) => Err(corrupt(operation)),
            Some(Ok(None)) => Ok(Armed::Ready),
            Some(Ok(Some(value))) => {
                (self.armed, self.parked) = (Some(kind), value);
                Ok(if on_source { Armed::Source(Interest::Readable) } else { Armed::Park })
            }
        }
    }

    /// How to wait for a lock that a stopped process holds.
    #[cold]
    fn until_released(&self, on_source: bool) -> Armed {
        if on_source || self.stuck.get().is_none() { Armed::After(RETRY) } else { Armed::Park }
    }

    /// Blocks a thread that [`parks`](anyipc_memory::parks).
    pub(crate) fn park(&self, timeout: Duration) {
        match self.stuck.take() {
            Some((kind, by)) => {
                let word = self.store.lock(kind);
                await_release(word, by, &self.peers, timeout);
                // Still held: the next try does not wait for it, otherwise it may.
                self.stuck.set(owner(word).filter(|owner| *owner == by).map(|by| (kind, by)));
            }
            None => sleep(self.store.wake_word(self.owner_id.slot()), self.parked, timeout),
        }
    }

    /// Ends the wait, and the reservation with it.
    #[cold]
    pub(crate) fn disarm(&mut self) {
        self.end_turn();
        self.cancel_wait();
    }

    /// Clears this slot's bit. Passes on a wake-up that came too late for this client, or was for
    /// more than it took. Leaves `armed` if the lock cannot be had.
    #[cold]
    pub(super) fn cancel_wait(&mut self) {
        let Some(kind) = self.armed else { return };
        let slot = self.owner_id.slot();
        let done = self.with(kind, |store| {
            store.cancel_wait(kind, slot);
            Ok(())
        });
        if done.is_some() {
            self.armed = None;
        }
    }
}
