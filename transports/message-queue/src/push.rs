//! Messages in. Every function here is called under the senders' lock, and finds damage before it makes a message.

use crate::layout::{CHUNK, chunks_for, hot, record, sent_of};
use crate::store::{AHEAD, Checked, Corrupt, Store};

impl Store {
    /// Whether so many chunks are free.
    #[inline]
    pub(crate) fn has_room(&self, need: u32) -> Checked<bool> {
        if self.free_behind(hot::KNOWN_RETURNED)? >= need {
            return Ok(true);
        }
        self.set(hot::KNOWN_RETURNED, self.position(self.returned_at())?);
        Ok(self.free_behind(hot::KNOWN_RETURNED)? >= need)
    }

    /// Adds a message. The caller has found room for it.
    #[inline(always)]
    pub(crate) fn push(&self, priority: u32, flags: u8, bytes: &[u8]) -> Checked<()> {
        let taken = self.position(hot::TAKEN)?;
        let first = self.ordered(taken)?;
        let need = chunks_for(bytes.len());
        // Chunks side by side are filled as one.
        let (mut last, mut at, mut rest) = (first, self.chunk(first), bytes);
        for place in 1..need {
            let next = self.ordered(self.forward(taken, place))?;
            if self.has_lists() {
                self.set(self.record(last, record::LINK), next + 1);
            }
            if next != last + 1 {
                let (piece, more) = rest.split_at(rest.len().min(self.chunk(last) + CHUNK - at));
                self.region().store(at, piece);
                (at, rest) = (self.chunk(next), more);
            }
            last = next;
        }
        self.region().store(at, rest);
        self.set_pair(
            self.record(first, record::LEN),
            bytes.len() as u32,
            u32::from(flags) | priority << 8,
        );
        self.set_wide(
            hot::SENT_BYTES,
            self.get_wide(hot::SENT_BYTES).wrapping_add(bytes.len() as u64),
        );
        self.set(hot::SENT, self.get(hot::SENT).wrapping_add(1));
        // The one store that makes it a message.
        self.set(hot::TAKEN, self.forward(taken, need));
        if priority > 0 {
            self.set(sent_of(priority), self.get(sent_of(priority)).wrapping_add(1));
        }
        self.prepare(last, bytes.len());
        Ok(())
    }

    /// Takes possession of the cache lines that messages like the last one will need soon: a while ago they were a
    /// receiver's, and giving the lock back waits until what was written is ours.
    #[inline]
    fn prepare(&self, last: u32, len: usize) {
        if self.free_behind(hot::KNOWN_RETURNED).is_ok_and(|free| free > AHEAD * chunks_for(len)) {
            self.lines_ahead(last, len).for_each(|at| self.region().prefetch_to_write(at));
        }
    }

    /// Drops messages until `need` chunks are free: the oldest of the lowest priority first, none above `priority`.
    /// False, and none is dropped, if that would not be enough. Under both locks.
    pub(crate) fn make_room(&self, need: u32, priority: u32) -> Checked<bool> {
        if !self.can_make_room(need, priority)? {
            return Ok(false);
        }
        // Each message frees a chunk or more.
        for _ in 0..need {
            if self.has_room(need)? {
                break;
            }
            let Some(victim) = self.lowest(priority)? else { return Err(Corrupt) };
            // First counted: a death in between counts one too many, never one too few.
            self.count_drop();
            self.discard(&victim)?;
        }
        self.has_room(need)
    }

    /// Whether the messages that are not above `priority` and what is free are `need` chunks together.
    fn can_make_room(&self, need: u32, priority: u32) -> Checked<bool> {
        let mut free = self.free_behind(self.returned_at())?;
        if !self.has_lists() {
            // All messages are of this priority, and no message is longer than the queue.
            return Ok(need <= self.geometry().chunks);
        }
        // Sorts what has come.
        self.lowest(priority)?;
        for priority in 0..=priority {
            let mut link = self.head(priority);
            // Each message holds a chunk or more, also where links go round in circles.
            while link != 0 && free < need {
                let message = self.member(priority, link)?;
                free = free.saturating_add(message.chunks());
                link = self.get(self.record(message.first, record::NEXT_MESSAGE));
            }
        }
        Ok(free >= need)
    }

    /// Counts a dropped message.
    pub(crate) fn count_drop(&self) {
        self.set_wide(hot::DROPPED, self.get_wide(hot::DROPPED).wrapping_add(1));
    }
}
