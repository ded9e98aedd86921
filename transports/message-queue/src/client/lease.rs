//! Receiving from a queue in which messages are held back: what is due comes back first, and the
//! leases of dead holders end.
//!
//! No process waits for the time of a held message on behalf of the others: each receiver looks
//! when it tries, and sleeps until the earliest end at most. A dead holder is noticed by the next
//! try of any receiver that comes [`DEAD_AFTER`] ticks after its last look, with or without
//! messages in the queue; a sleeping one tries every 100 ms.

use std::time::Duration;

use anyipc_core::{Error, ErrorKind, LeaseId, Leased, Operation, Result, Settle};
use anyipc_memory::{boot_nanos, coarse_ticks, wake};
use anyipc_ring::robust::unlock;

use super::lock::BRIEF;
use super::{PURGE_TIMEOUT, PeerWakers, QueueClient, corrupt, stopped};
use crate::hold::later;
use crate::layout::hot;
use crate::store::{Checked, Corrupt, Store, state};
use crate::waiters::{MESSAGES, ROOM};

/// Ticks of the coarse clock, about a millisecond each, between two looks for dead holders.
const DEAD_AFTER: u64 = 20;
/// A receiver that sleeps looks again after this time, in nanoseconds: what is due later need not
/// be told.
const SLICE: u64 = 100_000_000;

/// A message that was received or leased.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) priority: u32,
    pub(crate) flags: u8,
    /// Its lease; `None` if it left the queue.
    pub(crate) lease: Option<Leased>,
}

impl<P: PeerWakers> QueueClient<P> {
    /// Leases one message and appends it to the buffer, or `None` if the queue is empty.
    pub(crate) fn lease(
        &mut self,
        time: Duration,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<(u32, Leased)>> {
        if !self.begin_timing(Operation::Receive)? {
            return Ok(None);
        }
        let received = self.receive_timed(Some(time), buffer)?;
        Ok(received.and_then(|received| Some((received.priority, received.lease?))))
    }

    /// Lets messages be held back. False if the queue is empty, and need not be touched.
    fn begin_timing(&mut self, operation: Operation) -> Result<bool> {
        if self.store.is_timed() {
            return Ok(true);
        }
        if operation == Operation::Receive && self.store.is_empty() && !self.store.is_stale() {
            return Ok(false);
        }
        match self.with_both(|store| store.begin_timing()) {
            None => Err(Error::new(operation, ErrorKind::WouldBlock)),
            Some(Err(Corrupt)) => Err(corrupt(operation)),
            Some(Ok(())) => Ok(true),
        }
    }

    /// Receives one message, or leases it for a time, and appends it to the buffer.
    #[cold]
    pub(crate) fn receive_timed(
        &mut self,
        lease: Option<Duration>,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Received>> {
        self.end_leases_of_the_dead();
        let now = boot_nanos();
        if self.store.is_empty() && !self.store.is_due(now) && !self.store.is_stale() {
            return Ok(None);
        }
        let (owner_id, mut back) = (self.owner_id, 0);
        let dying = &mut std::mem::take(&mut self.dying);
        let start = buffer.len();
        let received = self.with(ROOM, |store| {
            back += store.bring_back(now, owner_id, dying)?;
            let mut found = store.highest()?;
            if found.is_none() && store.is_due(now) {
                // It was among the new messages.
                back += store.bring_back(now, owner_id, dying)?;
                found = store.highest()?;
            }
            let Some(found) = found else { return Ok(None) };
            let lease = match lease {
                None => store.pop(&found, buffer).map(|()| None)?,
                Some(time) => {
                    buffer.truncate(start);
                    store.copy_out(&found, buffer)?;
                    let id = store.lease(&found, owner_id, later(now, time))?;
                    Some(Leased { id, attempts: found.attempts + 1 })
                }
            };
            Ok(Some(Received { priority: found.priority, flags: found.flags, lease }))
        });
        self.dying = std::mem::take(dying);
        if self.armed.is_some() {
            self.cancel_wait();
        }
        if back > 0 {
            let _ = self.with(MESSAGES, |_| Ok(()));
        }
        self.tell_due(now);
        match received {
            Some(Ok(received)) => Ok(received),
            Some(Err(Corrupt)) => Err(corrupt(Operation::Receive)),
            None => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
        }
    }

    /// True if a message is due. Looks for dead holders before.
    pub(super) fn has_due(&self) -> bool {
        self.end_leases_of_the_dead();
        self.store.is_due(boot_nanos())
    }

    /// Sends one message that no receiver sees before `delay` is over. The caller has checked
    /// priority and length.
    #[inline(never)]
    pub(crate) fn send_after(
        &mut self,
        delay: Duration,
        priority: u32,
        bytes: &[u8],
    ) -> Result<()> {
        self.begin_timing(Operation::Send)?;
        let due = later(boot_nanos(), delay);
        self.send_at::<true>(due, priority, 0, bytes)
    }

    /// Decides on a leased message.
    pub(crate) fn settle(&mut self, lease: LeaseId, how: Settle) -> Result<()> {
        let now = boot_nanos();
        self.end(now, |store| store.settle(lease, how, now))
    }

    /// Takes a dead message off that was moved, and counts it.
    pub(crate) fn settle_dead(&mut self, lease: LeaseId) -> Result<()> {
        self.end(boot_nanos(), |store| store.settle_dead(lease))
    }

    fn end(&mut self, now: u64, mut act: impl FnMut(&Store) -> Checked<bool>) -> Result<()> {
        let done = self.with_within(ROOM, PURGE_TIMEOUT, |store| {
            if store.is_timed() { act(store) } else { Ok(false) }
        });
        match done {
            None => return Err(stopped(Operation::Queue)),
            Some(Err(Corrupt)) => return Err(corrupt(Operation::Queue)),
            Some(Ok(false)) => {
                return Err(Error::new(Operation::Queue, ErrorKind::NotFound).because(
                    "the lease is over: its time has ended, or it was settled before; the message \
                     was given back",
                ));
            }
            Some(Ok(true)) => {}
        }
        self.tell_due(now);
        Ok(())
    }

    /// The bytes of a leased message, if the lease is not over.
    pub(crate) fn read_leased(&mut self, lease: LeaseId) -> Result<Option<(u32, Vec<u8>)>> {
        let mut bytes = Vec::new();
        let found = self.with(ROOM, |store| {
            let Some(found) = store.leased(lease)? else { return Ok(None) };
            bytes.clear();
            store.copy_out(&found, &mut bytes)?;
            Ok(Some(found))
        });
        match found {
            Some(Ok(found)) => Ok(found.map(|found| (found.priority, bytes))),
            Some(Err(Corrupt)) => Err(corrupt(Operation::Queue)),
            None => Err(Error::new(Operation::Queue, ErrorKind::WouldBlock)),
        }
    }

    /// How long until the earliest held message is due; `None` if there is none.
    pub(crate) fn due(&self) -> Option<Duration> {
        let due = self.store.get_wide(hot::DUE);
        (self.store.is_timed() && due != 0)
            .then(|| Duration::from_nanos(due.saturating_sub(boot_nanos())))
    }

    /// Ends the leases of handles that died. At most every [`DEAD_AFTER`] ticks, as it costs a
    /// system call per holder.
    fn end_leases_of_the_dead(&self) {
        if self.store.get(hot::LEASED) == 0 {
            return;
        }
        let now = coarse_ticks();
        if now.wrapping_sub(self.looked.get()) < DEAD_AFTER {
            return;
        }
        self.looked.set(now);
        for holder in self.store.holders() {
            if self.peers.is_dead(holder) && self.enter(ROOM, BRIEF).is_some() {
                if !self.store.is_stale() && self.store.end_leases_of(holder).is_err() {
                    self.store.set_state(state::DAMAGED);
                }
                unlock(self.store.lock(ROOM), &self.peers);
            }
        }
    }

    /// Wakes sleeping receivers if the earliest end changed and none of them would look in time:
    /// one if it is over, otherwise all, which then sleep until then. Once for each end.
    fn tell_due(&mut self, now: u64) {
        let due = self.store.get_wide(hot::DUE);
        if due == 0 || due == self.store.get_wide(hot::TOLD) || due.saturating_sub(now) >= SLICE {
            return;
        }
        self.store.set_wide(hot::TOLD, due);
        if due <= now {
            let _ = self.with(MESSAGES, |_| Ok(()));
            return;
        }
        for _ in 0..self.store.geometry().slots {
            if self.enter(MESSAGES, BRIEF).is_none() {
                return;
            }
            let sleeper = self.store.any_sleeper(MESSAGES);
            unlock(self.store.lock(MESSAGES), &self.peers);
            match sleeper {
                None => return,
                Some(sleeper) if sleeper.on_source => self.peers.wake_source(sleeper.slot),
                Some(sleeper) => wake(self.store.wake_word(sleeper.slot)),
            }
        }
    }
}
