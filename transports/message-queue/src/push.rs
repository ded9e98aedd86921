//! Messages in. Every function here is called under the lock, and finds damage before it makes a message.

use crate::layout::{CHUNK, LINE, chunks_for, hot, list, record};
use crate::store::{Corrupt, FETCHED, Sound, Store};

impl Store {
    /// Adds a message. The caller has found room for it.
    #[inline]
    pub(crate) fn push(&self, priority: u32, flags: u8, bytes: &[u8]) -> Sound<()> {
        let mut supply = Supply { store: self, list: self.get(hot::FREE_LIST), fresh: self.get(hot::FRESH) };
        let first = supply.take()?;
        let need = chunks_for(bytes.len());
        // Chunks side by side are filled as one.
        let (mut last, mut at, mut rest) = (first, self.chunk(first), bytes);
        for _ in 1..need {
            let next = supply.take()?;
            if self.next(last) != next + 1 {
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
        self.set_pair(self.record(first, record::LEN), bytes.len() as u32, u32::from(flags));
        self.set(self.record(first, record::NEXT_MESSAGE), 0);
        self.set_pair(hot::FREE_LIST, supply.list, supply.fresh);
        self.set(hot::USED, self.get(hot::USED).wrapping_add(need));
        // The one store that makes it a message.
        let tail = list(priority) + 4;
        if self.head(priority) == 0 {
            self.set(list(priority), first + 1);
        } else {
            let tail = self.index(self.get(tail))?;
            self.set(self.record(tail, record::NEXT_MESSAGE), first + 1);
        }
        self.set(tail, first + 1);
        let messages = self.get(hot::MESSAGES).wrapping_add(1);
        self.set_pair(hot::NONEMPTY, self.get(hot::NONEMPTY) | 1 << priority, messages);
        self.set_wide(hot::BYTES, self.get_wide(hot::BYTES).wrapping_add(bytes.len() as u64));
        self.prepare(last, bytes.len());
        Ok(())
    }

    /// Takes possession of the cache lines that messages like the last one will need soon: a while ago they were a
    /// receiver's, and giving the lock back waits until what was written is ours.
    #[inline]
    fn prepare(&self, last: u32, len: usize) {
        let ahead = self.ahead(last, len);
        self.region().prefetch_to_write(self.record(ahead, 0));
        (0..len.min(FETCHED))
            .step_by(LINE)
            .for_each(|at| self.region().prefetch_to_write(self.chunk(ahead) + at));
    }

    /// Drops messages until `need` chunks are free: the oldest of the lowest priority first, none above
    /// `priority`. False if that is not enough.
    pub(crate) fn make_room(&self, need: u32, priority: u32) -> Sound<bool> {
        // Each message frees a chunk or more.
        for _ in 0..need {
            if self.free() >= need {
                break;
            }
            let Some(victim) = self.lowest(priority)? else { return Ok(false) };
            // First counted: a death in between counts one too many, never one too few.
            self.count_drop();
            self.discard(&victim)?;
        }
        Ok(self.free() >= need)
    }

    /// Counts a dropped message.
    pub(crate) fn count_drop(&self) {
        self.set_wide(hot::DROPPED, self.get_wide(hot::DROPPED).wrapping_add(1));
    }
}

/// Chunks to take, noted in the memory at the end.
struct Supply<'a> {
    store: &'a Store,
    list: u32,
    fresh: u32,
}

impl Supply<'_> {
    #[inline]
    fn take(&mut self) -> Sound<u32> {
        if self.list != 0 {
            let index = self.store.index(self.list)?;
            self.list = self.store.next(index);
            Ok(index)
        } else if self.fresh < self.store.geometry().chunks {
            self.fresh += 1;
            Ok(self.fresh - 1)
        } else {
            Err(Corrupt)
        }
    }
}
