//! Adding messages. All functions run under the senders' lock. Each finds damage before its one
//! store that adds a message.

use crate::layout::{CHUNK, chunks_for, hot, record, sent_of};
use crate::store::{AHEAD, Checked, Corrupt, Store};

impl Store {
    /// True if `need` chunks are free.
    #[inline(always)]
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
        self.push_as(priority, u32::from(flags) | priority << 8, bytes)
    }

    /// The same; a delayed message is seen by no receiver before `due`.
    #[inline(always)]
    pub(crate) fn push_at<const DELAYED: bool>(
        &self,
        due: u64,
        priority: u32,
        flags: u8,
        bytes: &[u8],
    ) -> Checked<()> {
        if DELAYED {
            self.push_delayed(due, priority, flags, bytes)
        } else {
            self.push(priority, flags, bytes)
        }
    }

    /// Adds a message with a whole `record::KIND`.
    #[inline(always)]
    pub(crate) fn push_as(&self, priority: u32, kind: u32, bytes: &[u8]) -> Checked<()> {
        let taken = self.position(hot::TAKEN)?;
        let first = self.ordered(taken)?;
        let need = chunks_for(bytes.len());
        // Adjacent chunks are filled with one copy.
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
        self.set_pair(self.record(first, record::LEN), bytes.len() as u32, kind);
        self.set_wide(
            hot::SENT_BYTES,
            self.get_wide(hot::SENT_BYTES).wrapping_add(bytes.len() as u64),
        );
        self.set(hot::SENT, self.get(hot::SENT).wrapping_add(1));
        // The store that adds the message.
        self.set(hot::TAKEN, self.forward(taken, need));
        if priority > 0 {
            self.set(sent_of(priority), self.get(sent_of(priority)).wrapping_add(1));
        }
        self.fetch_ahead_to_write(last, bytes.len());
        Ok(())
    }

    /// Prefetches, for writing, the cache lines that later messages of this length need. They were
    /// a receiver's; without this the unlock would wait until the written lines are ours.
    #[inline]
    fn fetch_ahead_to_write(&self, last: u32, len: usize) {
        if self.free_behind(hot::KNOWN_RETURNED).is_ok_and(|free| free > AHEAD * chunks_for(len)) {
            self.lines_ahead(last, len).for_each(|at| self.region().prefetch_to_write(at));
        }
    }

    /// Drops messages until `need` chunks are free: the oldest of the lowest priority first, none
    /// above `priority`. False if that would not be enough; then it drops none. Under both locks.
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
            // Counts first: a death in between counts one drop too many, never one too few.
            self.count_drop();
            self.discard(&victim)?;
        }
        self.has_room(need)
    }

    /// True if the free chunks and those of messages up to `priority` are `need` together.
    fn can_make_room(&self, need: u32, priority: u32) -> Checked<bool> {
        let mut free = self.free_behind(self.returned_at())?;
        if !self.has_lists() {
            // There is one priority, and no message is longer than the queue.
            return Ok(need <= self.geometry().chunks);
        }
        // Sorts new messages in.
        self.lowest(priority)?;
        for priority in 0..=priority {
            let mut link = self.head(priority);
            // Ends even if the links form a cycle: each message holds a chunk or more.
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
