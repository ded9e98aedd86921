//! Messages out. Every function here is called under the lock, and finds damage before it takes a message off.

use crate::layout::{CHUNK, LINE, chunks_for, hot, list, record};
use crate::store::{AHEAD, Corrupt, FETCHED, Sound, Store};

/// A message at the head of its priority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) priority: u32,
    pub(crate) flags: u8,
    first: u32,
    len: usize,
    /// The link of the message behind it.
    behind: u32,
}

impl Store {
    /// The message to receive next.
    #[inline]
    pub(crate) fn highest(&self) -> Sound<Option<Found>> {
        match self.nonempty() {
            0 => Ok(None),
            bits => self.first_of(bits.ilog2()).map(Some),
        }
    }

    /// The message to drop first, of those not above `priority`.
    pub(crate) fn lowest(&self, priority: u32) -> Sound<Option<Found>> {
        match self.nonempty() & (u32::MAX >> (31 - priority.min(31))) {
            0 => Ok(None),
            bits => self.first_of(bits.trailing_zeros()).map(Some),
        }
    }

    #[inline]
    fn first_of(&self, priority: u32) -> Sound<Found> {
        let first = self.index(self.head(priority))?;
        let len = self.get(self.record(first, record::LEN)) as usize;
        let behind = self.get(self.record(first, record::NEXT_MESSAGE));
        if len > self.geometry().longest || behind > self.geometry().chunks {
            return Err(Corrupt);
        }
        Ok(Found { priority, flags: self.get(self.record(first, record::FLAGS)) as u8, first, len, behind })
    }

    /// Receives a message: appends it to the buffer, and only then takes it off.
    #[inline]
    pub(crate) fn pop(&self, found: &Found, buffer: &mut Vec<u8>) -> Sound<()> {
        let start = buffer.len();
        buffer.resize(start + found.len, 0);
        let done = self.copy_out(found, &mut buffer[start..]).and_then(|last| self.take_off(found, last));
        if done.is_err() {
            buffer.truncate(start);
        }
        done
    }

    /// Copies a message out. Returns its last chunk.
    #[inline]
    fn copy_out(&self, found: &Found, mut rest: &mut [u8]) -> Sound<u32> {
        // Chunks side by side are copied as one.
        let (mut last, mut at) = (found.first, self.chunk(found.first));
        for _ in 1..chunks_for(found.len) {
            let next = self.index(self.next(last))?;
            if next != last + 1 {
                let (piece, more) = rest.split_at_mut(rest.len().min(self.chunk(last) + CHUNK - at));
                self.region().load(at, piece);
                (at, rest) = (self.chunk(next), more);
            }
            last = next;
        }
        self.region().load(at, rest);
        Ok(last)
    }

    /// Removes a message unread.
    pub(crate) fn discard(&self, found: &Found) -> Sound<()> {
        let mut last = found.first;
        for _ in 1..chunks_for(found.len) {
            last = self.index(self.next(last))?;
        }
        self.take_off(found, last)
    }

    /// Takes the first message of its priority off, and gives its chunks back.
    #[inline]
    fn take_off(&self, found: &Found, last: u32) -> Sound<()> {
        let listed = self.get(hot::FREE_LIST) != 0;
        let tail = if listed { self.index(self.get(hot::FREE_TAIL))? } else { 0 };
        // The one store that makes it no message any more.
        self.set(list(found.priority), found.behind);
        let mut nonempty = self.get(hot::NONEMPTY);
        if found.behind == 0 {
            nonempty &= !(1 << found.priority);
        }
        self.set_pair(hot::NONEMPTY, nonempty, self.get(hot::MESSAGES).wrapping_sub(1));
        self.set_wide(hot::BYTES, self.get_wide(hot::BYTES).wrapping_sub(found.len as u64));
        self.set(self.record(last, record::LINK), 0);
        if listed {
            self.set(self.record(tail, record::LINK), found.first + 1);
        } else {
            self.set(hot::FREE_LIST, found.first + 1);
        }
        self.set(hot::FREE_TAIL, last + 1);
        self.set(hot::USED, self.get(hot::USED).saturating_sub(chunks_for(found.len)));
        self.look_forward(last, found.len);
        Ok(())
    }

    /// Fetches the cache lines of a message some way behind the last one, as long as that.
    #[inline]
    fn look_forward(&self, last: u32, len: usize) {
        if self.get(hot::MESSAGES) > AHEAD {
            let ahead = self.ahead(last, len);
            self.region().prefetch(self.record(ahead, 0));
            (0..len.min(FETCHED)).step_by(LINE).for_each(|at| self.region().prefetch(self.chunk(ahead) + at));
        }
    }
}
