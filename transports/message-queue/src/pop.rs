//! Taking messages off. All functions run under the receivers' lock. Each finds damage before its
//! one store that takes a message off.

use anyipc_core::MAX_ATTEMPTS;

use crate::layout::{CHUNK, chunks_for, hot, list, lists, record, sent_of};
use crate::store::{AHEAD, Checked, Corrupt, Store};

/// A message that is the first of its priority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) priority: u32,
    pub(crate) flags: u8,
    pub(crate) first: u32,
    pub(crate) len: usize,
    /// How often it was leased.
    pub(crate) attempts: u32,
    /// It was sent with a delay.
    pub(crate) delayed: bool,
}

impl Found {
    #[inline]
    pub(crate) fn chunks(&self) -> u32 {
        chunks_for(self.len)
    }
}

impl Store {
    /// The message to receive next.
    #[inline(always)]
    pub(crate) fn highest(&self) -> Checked<Option<Found>> {
        if self.has_lists() { self.highest_listed() } else { self.arrival() }
    }

    #[inline(always)]
    fn highest_listed(&self) -> Checked<Option<Found>> {
        let highest = || self.nonempty().checked_ilog2();
        let mut priority = highest();
        if priority.is_none_or(|priority| self.has_arrivals_above(priority)) {
            self.sort()?;
            priority = highest();
        }
        priority.map(|priority| self.member(priority, self.head(priority))).transpose()
    }

    /// The message to drop first, of those not above `priority`.
    pub(crate) fn lowest(&self, priority: u32) -> Checked<Option<Found>> {
        if !self.has_lists() {
            return self.arrival();
        }
        self.sort()?;
        match self.nonempty() & (u32::MAX >> (31 - priority.min(31))) {
            0 => Ok(None),
            bits => self.member(bits.trailing_zeros(), self.head(bits.trailing_zeros())).map(Some),
        }
    }

    /// True if a message above this priority came since the last sorting.
    fn has_arrivals_above(&self, priority: u32) -> bool {
        (priority + 1..self.geometry().priorities)
            .any(|above| self.get(sent_of(above)) != self.get(list(above, lists::KNOWN)))
    }

    /// The message of a list that a link leads to.
    pub(crate) fn member(&self, priority: u32, link: u32) -> Checked<Found> {
        let found = self.message(self.index(link)?)?;
        if found.priority == priority { Ok(found) } else { Err(Corrupt) }
    }

    /// The oldest message that was not sorted in yet.
    #[inline(always)]
    fn arrival(&self) -> Checked<Option<Found>> {
        let sorted = self.position(hot::SORTED)?;
        let mut known = self.position(hot::KNOWN_TAKEN)?;
        if known == sorted {
            known = self.position(hot::TAKEN)?;
            if known == sorted {
                return Ok(None);
            }
            self.set(hot::KNOWN_TAKEN, known);
        }
        let found = self.message(self.ordered(sorted)?)?;
        if found.chunks() > self.distance(sorted, known)? {
            return Err(Corrupt);
        }
        Ok(Some(found))
    }

    /// The message that begins with a chunk.
    #[inline(always)]
    pub(crate) fn message(&self, first: u32) -> Checked<Found> {
        let len = self.get(self.record(first, record::LEN)) as usize;
        let kind = self.get(self.record(first, record::KIND));
        let found = Found {
            priority: kind >> 8 & 0xff,
            flags: kind as u8,
            first,
            len,
            attempts: kind >> record::ATTEMPTS & MAX_ATTEMPTS,
            delayed: kind & record::DELAYED != 0,
        };
        let fits = len <= self.geometry().longest && found.priority < self.geometry().priorities;
        if fits { Ok(found) } else { Err(Corrupt) }
    }

    /// Moves all new messages into the lists of their priorities.
    #[inline(never)]
    pub(crate) fn sort(&self) -> Checked<()> {
        // The counts are read first: each message that they count is found below.
        for priority in 1..self.geometry().priorities {
            let (sent, known) = (self.get(sent_of(priority)), list(priority, lists::KNOWN));
            if self.get(known) != sent {
                self.set(known, sent);
            }
        }
        // Bounded, as concurrent senders may add messages.
        for _ in 0..self.geometry().chunks {
            let Some(found) = self.arrival()? else { break };
            // A death behind this leaves the message in its list, or held, and also as the first
            // new one; a repair allows for that.
            if found.delayed && self.is_timed() {
                self.hold_arrival(&found)?;
            } else {
                self.append_to_list(&found)?;
            }
            self.set(hot::SORTED, self.forward(self.position(hot::SORTED)?, found.chunks()));
        }
        Ok(())
    }

    /// Makes a message the last of its list.
    #[inline]
    pub(crate) fn append_to_list(&self, found: &Found) -> Checked<()> {
        let (at, link) = (|field| list(found.priority, field), found.first + 1);
        self.set(self.record(found.first, record::NEXT_MESSAGE), 0);
        if self.get(at(lists::FIRST)) == 0 {
            self.set(at(lists::FIRST), link);
        } else {
            let last = self.index(self.get(at(lists::LAST)))?;
            self.set(self.record(last, record::NEXT_MESSAGE), link);
        }
        self.set(at(lists::LAST), link);
        self.set(hot::NONEMPTY, self.get(hot::NONEMPTY) | 1 << found.priority);
        Ok(())
    }

    /// Receives a message: appends it to the buffer, then takes it off.
    #[inline(always)]
    pub(crate) fn pop(&self, found: &Found, buffer: &mut Vec<u8>) -> Checked<()> {
        let start = buffer.len();
        buffer.reserve(found.len);
        let done = self.copy_out(found, buffer).and_then(|last| self.take_off(found, last));
        if done.is_err() {
            buffer.truncate(start);
        }
        done
    }

    /// Copies a message out. Returns its last chunk.
    #[inline(always)]
    pub(crate) fn copy_out(&self, found: &Found, buffer: &mut Vec<u8>) -> Checked<u32> {
        // Adjacent chunks are read with one copy.
        let (mut last, mut at, mut rest) = (found.first, self.chunk(found.first), found.len);
        for _ in 1..found.chunks() {
            let next = self.next(last)?;
            if next != last + 1 {
                let piece = rest.min(self.chunk(last) + CHUNK - at);
                self.append(at, piece, buffer)?;
                (at, rest) = (self.chunk(next), rest - piece);
            }
            last = next;
        }
        self.append(at, rest, buffer)?;
        Ok(last)
    }

    #[inline(always)]
    fn append(&self, at: usize, len: usize, buffer: &mut Vec<u8>) -> Checked<()> {
        if self.region().append(at, len, buffer) { Ok(()) } else { Err(Corrupt) }
    }

    /// Removes a message unread.
    pub(crate) fn discard(&self, found: &Found) -> Checked<()> {
        let mut last = found.first;
        for _ in 1..found.chunks() {
            last = self.next(last)?;
        }
        self.take_off(found, last)
    }

    /// Takes a message off, and gives its chunks back.
    #[inline(always)]
    fn take_off(&self, found: &Found, last: u32) -> Checked<()> {
        if self.has_lists() {
            self.take_off_list(found)?;
            self.fetch_ahead_to_read(hot::RETURNED, last, found.len);
        } else {
            // The store that takes the message off.
            let sorted = self.position(hot::SORTED)?;
            self.set(hot::SORTED, self.forward(sorted, found.chunks()));
            self.count_received(found);
            self.fetch_ahead_to_read(hot::SORTED, last, found.len);
        }
        Ok(())
    }

    /// The same in a queue with lists.
    #[inline(never)]
    fn take_off_list(&self, found: &Found) -> Checked<()> {
        let (next, returned) = (self.behind(found)?, self.to_give_back(found)?);
        self.unlist(found, next);
        self.give_back(found, returned)
    }

    /// Gives the chunks of a message back that is in no list any more, and not held: writes them
    /// into the order at `returned`.
    #[inline(always)]
    pub(crate) fn give_back(&self, found: &Found, returned: u32) -> Checked<()> {
        let mut index = found.first;
        self.order(returned, index);
        for place in 1..found.chunks() {
            index = self.next(index)?;
            self.order(self.forward(returned, place), index);
        }
        self.set(hot::RETURNED, self.forward(returned, found.chunks()));
        self.count_received(found);
        Ok(())
    }

    /// Counts a message that was taken off.
    #[inline(always)]
    fn count_received(&self, found: &Found) {
        self.set(hot::RECEIVED, self.get(hot::RECEIVED).wrapping_add(1));
        let bytes = self.get_wide(hot::RECEIVED_BYTES).wrapping_add(found.len as u64);
        self.set_wide(hot::RECEIVED_BYTES, bytes);
    }

    /// The link of a listed message to the next one.
    #[inline(always)]
    pub(crate) fn behind(&self, found: &Found) -> Checked<u32> {
        let link = self.get(self.record(found.first, record::NEXT_MESSAGE));
        if link <= self.geometry().chunks { Ok(link) } else { Err(Corrupt) }
    }

    /// Where the chunks of a message go. `Corrupt` if fewer chunks are in lists, or held, than it
    /// has.
    #[inline(always)]
    pub(crate) fn to_give_back(&self, found: &Found) -> Checked<u32> {
        let returned = self.position(hot::RETURNED)?;
        let listed = self.distance(returned, self.position(hot::SORTED)?)?;
        if found.chunks() > listed { Err(Corrupt) } else { Ok(returned) }
    }

    /// Takes the first message off its list; `next` is the link to the one behind it.
    #[inline(always)]
    pub(crate) fn unlist(&self, found: &Found, next: u32) {
        self.set(list(found.priority, lists::FIRST), next);
        if next == 0 {
            self.set(hot::NONEMPTY, self.get(hot::NONEMPTY) & !(1 << found.priority));
        }
    }

    /// Prefetches the cache lines of a later message of the same length.
    #[inline]
    fn fetch_ahead_to_read(&self, returned: usize, last: u32, len: usize) {
        let known = self
            .position(returned)
            .and_then(|returned| self.distance(returned, self.position(hot::KNOWN_TAKEN)?));
        if known.is_ok_and(|known| known > AHEAD * chunks_for(len)) {
            self.lines_ahead(last, len).for_each(|at| self.region().prefetch(at));
        }
    }
}
