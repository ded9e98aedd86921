//! Messages that are held back: leased, or waiting for their time. All functions run under the
//! receivers' lock, unless they say otherwise.
//!
//! The holder of a message's first chunk is authoritative: a message that has one is invisible. It
//! is put there before the message leaves its list, and taken away after the message is in a list
//! again: a death in between leaves the message held, and in its list, from which a repair takes
//! it. So no message is ever in neither. The heap of held messages follows from the holders.
//!
//! What is due comes back when a receiver looks: see `client::lease`.

use anyipc_core::{LeaseId, MAX_ATTEMPTS, Settle};
use anyipc_ring::robust::OwnerId;

use crate::heap::Key;
use crate::layout::{hold, hot, list, lists, record};
use crate::pop::Found;
use crate::store::{Checked, Store, state};

/// The most messages that one call brings back.
const BATCH: usize = 64;
/// The most leases of a dead holder that one call ends.
const ENDED: usize = 1024;
/// How long a dead message is held for the move to its queue, in nanoseconds.
const MOVING: u64 = 10_000_000_000;

impl Store {
    /// Lets messages be held back, from now on. Turns a plain ring into a queue with one list.
    /// Under both locks.
    pub(crate) fn begin_timing(&self) -> Checked<()> {
        if self.is_timed() {
            return Ok(());
        }
        if !self.has_lists() {
            let sorted = self.position(hot::SORTED)?;
            for place in 0..self.distance(sorted, self.position(hot::TAKEN)?)? {
                let index = self.ordered(self.forward(sorted, place))?;
                self.set(self.record(index, record::LINK), self.next(index)? + 1);
            }
            self.set(hot::RETURNED, sorted);
            self.clear_order();
        }
        // Nothing is held. Unless the memory was scribbled on, it says so.
        for first in 0..self.geometry().chunks {
            self.clear(self.hold(first, hold::HOLDER));
        }
        self.heap_rebuild(std::iter::empty())?;
        self.set(hot::LEASED, 0);
        self.set(hot::DELAYED_SENT, self.get(hot::DELAYED_DONE));
        // The store that gives the queue its list.
        self.set_state(state::TIMED);
        self.notice();
        Ok(())
    }

    /// Adds a message that no receiver sees before `due`. The caller has found room for it. Under
    /// the senders' lock.
    pub(crate) fn push_delayed(
        &self,
        due: u64,
        priority: u32,
        flags: u8,
        bytes: &[u8],
    ) -> Checked<()> {
        let first = self.ordered(self.position(hot::TAKEN)?)?;
        self.set_wide(self.hold(first, hold::DUE), due.max(1));
        self.add(hot::DELAYED_SENT, 1);
        let kind = u32::from(flags) | priority << 8 | record::DELAYED;
        self.push_as(priority, kind, bytes)
    }

    /// True if a held message is due. Needs no lock.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        (1..=now).contains(&self.get_wide(hot::DUE))
    }

    /// Holds the first new message, which was sent with a delay.
    pub(crate) fn hold_arrival(&self, found: &Found) -> Checked<()> {
        let number = self.next_number();
        self.set_wide(self.hold(found.first, hold::NUMBER), number);
        self.set(self.hold(found.first, hold::HOLDER), hold::DELAYED);
        self.heap_insert(found.first)
    }

    /// Leases the message that [`highest`](Self::highest) found.
    pub(crate) fn lease(&self, found: &Found, holder: OwnerId, due: u64) -> Checked<LeaseId> {
        let first = found.first;
        let next = self.behind(found)?;
        self.set_wide(self.hold(first, hold::DUE), due.max(1));
        let number = self.next_number();
        self.set_wide(self.hold(first, hold::NUMBER), number);
        // A death behind this has used an attempt without a result, as one of the holder would.
        let kind = self.get(self.record(first, record::KIND));
        let attempts = (found.attempts + 1).min(MAX_ATTEMPTS) << record::ATTEMPTS;
        let kind = kind & !(MAX_ATTEMPTS << record::ATTEMPTS) | attempts;
        self.set(self.record(first, record::KIND), kind);
        // The store that leases the message.
        self.set(self.hold(first, hold::HOLDER), holder.bits());
        self.unlist(found, next);
        self.add(hot::LEASED, 1);
        self.heap_insert(first)?;
        Ok(LeaseId { place: first, number })
    }

    /// Decides on a leased message. False if the lease is over.
    pub(crate) fn settle(&self, lease: LeaseId, how: Settle, now: u64) -> Checked<bool> {
        let Some(found) = self.leased(lease)? else { return Ok(false) };
        let holder = self.hold(found.first, hold::HOLDER);
        match how {
            Settle::Ack => self.finish(&found)?,
            Settle::Extend(time) => self.postpone(found.first, later(now, time))?,
            Settle::Detach => self.set(holder, hold::DETACHED),
            Settle::Retry(time) => {
                // What has no attempt left need not wait.
                let due = if self.is_spent(&found) { now } else { later(now, time) };
                self.set_wide(self.hold(found.first, hold::DUE), due.max(1));
                self.end_lease(found.first)?;
            }
        }
        Ok(true)
    }

    /// Takes a leased message off that is dead. False if the lease is over.
    pub(crate) fn settle_dead(&self, lease: LeaseId) -> Checked<bool> {
        let Some(found) = self.leased(lease)? else { return Ok(false) };
        self.finish_dead(&found)?;
        Ok(true)
    }

    /// The leased message, if the lease is not over.
    pub(crate) fn leased(&self, lease: LeaseId) -> Checked<Option<Found>> {
        if lease.place >= self.geometry().chunks {
            return Ok(None);
        }
        let holder = self.get(self.hold(lease.place, hold::HOLDER));
        let number = self.get_wide(self.hold(lease.place, hold::NUMBER));
        if !is_lease(holder) || number != lease.number {
            return Ok(None);
        }
        self.message(lease.place).map(Some)
    }

    /// The handles with leases, as the memory is at this moment. Needs no lock: what it returns is
    /// checked again under it.
    pub(crate) fn holders(&self) -> Vec<OwnerId> {
        let mut holders: Vec<OwnerId> = Vec::new();
        for place in 0..self.held() {
            let Ok(first) = self.at_place(place) else { break };
            let holder = OwnerId::from_bits(self.get(self.hold(first, hold::HOLDER)));
            if let Some(holder) = holder
                && !holders.contains(&holder)
            {
                holders.push(holder);
                if holders.len() as u32 > 2 * self.geometry().slots {
                    break;
                }
            }
        }
        holders
    }

    /// Ends the leases of a dead holder: they are due.
    pub(crate) fn end_leases_of(&self, holder: OwnerId) -> Checked<()> {
        let mut ended = Vec::new();
        for place in 0..self.held() {
            let first = self.at_place(place)?;
            if self.get(self.hold(first, hold::HOLDER)) == holder.bits() {
                ended.push(first);
                if ended.len() == ENDED {
                    break;
                }
            }
        }
        for first in ended {
            self.set_wide(self.hold(first, hold::DUE), 1);
            self.end_lease(first)?;
        }
        Ok(())
    }

    /// Puts messages that are due into their lists again: what was leased to the front, the first
    /// leased first; what was sent with a delay to the end. What has no attempt left is dropped and
    /// counted, or, if there is a queue for it, leased to `mover` and added to `dying`. Returns how
    /// many came back.
    pub(crate) fn bring_back(
        &self,
        now: u64,
        mover: OwnerId,
        dying: &mut Vec<LeaseId>,
    ) -> Checked<usize> {
        if !self.is_due(now) {
            return Ok(0);
        }
        // What was sent before a delay is over stands before it.
        self.sort()?;
        let mut back = Vec::new();
        for _ in 0..BATCH {
            let Some(first) = self.earliest(now)? else { break };
            let found = self.message(first)?;
            if !self.is_spent(&found) {
                self.heap_remove(first)?;
                back.push(found);
            } else if self.geometry().dead.is_some() {
                dying.push(self.adopt(&found, mover, now)?);
            } else {
                self.finish_dead(&found)?;
            }
        }
        for found in back.iter().filter(|found| found.attempts == 0) {
            self.append_to_list(found)?;
            self.release(found);
        }
        for found in back.iter().rev().filter(|found| found.attempts > 0) {
            self.prepend_to_list(found);
            self.release(found);
        }
        Ok(back.len())
    }

    /// Takes a held message off that has no attempt left.
    fn finish_dead(&self, found: &Found) -> Checked<()> {
        // Counts first: a death in between counts one too many, never one too few.
        self.set_wide(hot::DEAD, self.get_wide(hot::DEAD).wrapping_add(1));
        self.finish(found)
    }

    /// How many messages are leased, and how many wait for their time. Exact if no lock was held
    /// meanwhile.
    pub(crate) fn counts_held(&self) -> (u32, u32) {
        let delayed = self.get(hot::DELAYED_SENT).wrapping_sub(self.get(hot::DELAYED_DONE));
        let most = self.geometry().chunks;
        (self.get(hot::LEASED).min(most), if delayed > most { 0 } else { delayed })
    }

    /// How many leased and how many delayed messages a receiver would get now: their time is over,
    /// or their holder is one of the dead, and they have an attempt left. Under both locks, in a
    /// queue with times.
    pub(crate) fn count_due(&self, now: u64, dead: &[OwnerId]) -> Checked<(u32, u32)> {
        let (mut leased, mut delayed) = (0, 0);
        // Delayed ones may be among the new messages.
        self.sort()?;
        // Ends, as each place of the heap is below one place.
        let mut places = vec![0];
        while let Some(place) = places.pop() {
            if place >= self.held() {
                continue;
            }
            let first = self.at_place(place)?;
            let holder = self.get(self.hold(first, hold::HOLDER));
            let in_time = self.key(first).0 > now;
            // Those below are due later.
            if !in_time || !dead.is_empty() {
                places.extend([2 * place + 1, 2 * place + 2]);
            }
            let of_the_dead = OwnerId::from_bits(holder).is_some_and(|of| dead.contains(&of));
            if in_time && !of_the_dead || self.is_spent(&self.message(first)?) {
                continue;
            }
            let count = if is_lease(holder) { &mut leased } else { &mut delayed };
            *count += 1;
        }
        Ok((leased, delayed))
    }

    /// True if a message that comes back has no attempt left.
    fn is_spent(&self, found: &Found) -> bool {
        let most = self.geometry().attempts;
        most > 0 && found.attempts >= most
    }

    /// Leases a dead message to the handle that moves it.
    fn adopt(&self, found: &Found, mover: OwnerId, now: u64) -> Checked<LeaseId> {
        let (first, number) = (found.first, self.next_number());
        let holder = self.hold(first, hold::HOLDER);
        self.set_wide(self.hold(first, hold::NUMBER), number);
        if !is_lease(self.get(holder)) {
            self.add(hot::LEASED, 1);
            self.add(hot::DELAYED_DONE, 1);
        }
        self.set(holder, mover.bits());
        self.postpone(first, now.saturating_add(MOVING))?;
        Ok(LeaseId { place: first, number })
    }

    /// Takes a held message off.
    fn finish(&self, found: &Found) -> Checked<()> {
        // All that could be damaged is looked at before the one store that counts.
        let mut last = found.first;
        for _ in 1..found.chunks() {
            last = self.next(last)?;
        }
        let returned = self.to_give_back(found)?;
        self.heap_remove(found.first)?;
        // This store takes the message off.
        self.release(found);
        self.give_back(found, returned)
    }

    /// A lease becomes a wait for the time that was stored before.
    fn end_lease(&self, first: u32) -> Checked<()> {
        self.set(self.hold(first, hold::HOLDER), hold::DELAYED);
        self.sub(hot::LEASED, 1);
        self.sub(hot::DELAYED_DONE, 1);
        self.heap_fix(first)
    }

    fn postpone(&self, first: u32, due: u64) -> Checked<()> {
        self.set_wide(self.hold(first, hold::DUE), due.max(1));
        self.heap_fix(first)
    }

    /// Takes the holder away from a message that is out of the heap. What it is from then on was
    /// stored before.
    fn release(&self, found: &Found) {
        let holder = self.hold(found.first, hold::HOLDER);
        let was_leased = is_lease(self.get(holder));
        self.set(holder, 0);
        if was_leased {
            self.sub(hot::LEASED, 1);
        } else {
            self.add(hot::DELAYED_DONE, 1);
        }
    }

    /// Makes a message the first of its list.
    fn prepend_to_list(&self, found: &Found) {
        let (at, link) = (|field| list(found.priority, field), found.first + 1);
        let next = self.get(at(lists::FIRST));
        self.set(self.record(found.first, record::NEXT_MESSAGE), next);
        if next == 0 {
            self.set(at(lists::LAST), link);
        }
        self.set(at(lists::FIRST), link);
        self.set(hot::NONEMPTY, self.get(hot::NONEMPTY) | 1 << found.priority);
    }

    /// A lease's number, which no lease had before.
    fn next_number(&self) -> u64 {
        let number = self.get_wide(hot::LAST_LEASE).wrapping_add(1);
        self.set_wide(hot::LAST_LEASE, number);
        number
    }

    /// What a held message is sorted by.
    pub(crate) fn key(&self, first: u32) -> Key {
        let word = |field| self.get_wide(self.hold(first, field));
        (word(hold::DUE).max(1), word(hold::NUMBER))
    }

    /// True if the message that begins with this chunk is held.
    pub(crate) fn is_held(&self, first: u32) -> bool {
        self.is_timed() && self.get(self.hold(first, hold::HOLDER)) != 0
    }

    pub(crate) fn add(&self, at: usize, count: u32) {
        self.set(at, self.get(at).wrapping_add(count));
    }

    fn sub(&self, at: usize, count: u32) {
        self.set(at, self.get(at).wrapping_sub(count));
    }

    /// The earliest held message, if it is due.
    fn earliest(&self, now: u64) -> Checked<Option<u32>> {
        if self.held() == 0 {
            return Ok(None);
        }
        let first = self.at_place(0)?;
        Ok((self.key(first).0 <= now).then_some(first))
    }
}

/// True if the holder of a message is one of a lease.
pub(crate) fn is_lease(holder: u32) -> bool {
    holder == hold::DETACHED || OwnerId::from_bits(holder).is_some()
}

/// A time from now, in nanoseconds.
pub(crate) fn later(now: u64, time: std::time::Duration) -> u64 {
    now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}
