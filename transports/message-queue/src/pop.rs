//! Messages out. Every function here is called under the lock, and finds damage before it takes a message off.

use crate::layout::{FIRST, FURTHER, chunk, chunks_for, hot, list};
use crate::store::{Corrupt, Sound, Store};

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
        let len = self.get(self.chunk(first, chunk::LEN)) as usize;
        let behind = self.get(self.chunk(first, chunk::NEXT_MESSAGE));
        if len > self.geometry().longest || behind > self.geometry().chunks {
            return Err(Corrupt);
        }
        Ok(Found { priority, flags: self.get(self.chunk(first, chunk::FLAGS)) as u8, first, len, behind })
    }

    /// Receives a message: appends it to the buffer, and only then takes it off.
    #[inline]
    pub(crate) fn pop(&self, found: &Found, buffer: &mut Vec<u8>) -> Sound<()> {
        let start = buffer.len();
        buffer.resize(start + found.len, 0);
        let (head, mut rest) = buffer[start..].split_at_mut(found.len.min(FIRST));
        let mut last = found.first;
        self.region().load(self.chunk(last, chunk::FIRST_PAYLOAD), head);
        while !rest.is_empty() {
            match self.index(self.next(last)) {
                Ok(next) => last = next,
                Err(corrupt) => {
                    buffer.truncate(start);
                    return Err(corrupt);
                }
            }
            let (piece, more) = rest.split_at_mut(rest.len().min(FURTHER));
            self.region().load(self.chunk(last, chunk::PAYLOAD), piece);
            rest = more;
        }
        self.take_off(found, last);
        Ok(())
    }

    /// Removes a message unread.
    pub(crate) fn discard(&self, found: &Found) -> Sound<()> {
        let mut last = found.first;
        for _ in 1..chunks_for(found.len) {
            last = self.index(self.next(last))?;
        }
        self.take_off(found, last);
        Ok(())
    }

    /// Takes the first message of its priority off, and gives its chunks back.
    #[inline]
    fn take_off(&self, found: &Found, last: u32) {
        // The one store that makes it no message any more.
        self.set(list(found.priority), found.behind);
        let mut nonempty = self.get(hot::NONEMPTY);
        if found.behind == 0 {
            nonempty &= !(1 << found.priority);
        }
        self.set_pair(hot::NONEMPTY, nonempty, self.get(hot::MESSAGES).wrapping_sub(1));
        self.set_wide(hot::BYTES, self.get_wide(hot::BYTES).wrapping_sub(found.len as u64));
        self.set(self.chunk(last, chunk::NEXT), self.get(hot::FREE_LIST));
        self.set(hot::FREE_LIST, found.first + 1);
        self.set(hot::USED, self.get(hot::USED).saturating_sub(chunks_for(found.len)));
    }
}
