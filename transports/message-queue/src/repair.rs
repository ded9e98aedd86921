//! Putting a queue right after a death, or after damage was found: everything that can be told from the truth is
//! told anew. Called under the lock, or where nobody else is.

use crate::layout::{bits, chunks_for, hot, list, record};
use crate::store::{Corrupt, Sound, Store, state};
use crate::waiters::{KINDS, words};

impl Store {
    /// Keeps the messages that are there, and rebuilds what belongs to them. Visits each chunk once at most,
    /// whatever the memory holds. Whoever dies here leaves the mark that makes the next one begin anew.
    pub(crate) fn repair(&self) -> Sound<()> {
        self.mark(state::DAMAGED);
        let mut census = Census::new(self);
        for priority in 0..self.geometry().priorities {
            census.walk(priority)?;
        }
        census.settle();
        self.unmark(state::DAMAGED);
        Ok(())
    }

    /// Forgets all messages, also those that cannot be read. Returns how many there were, as far as they were
    /// counted.
    pub(crate) fn purge(&self) -> Sound<u64> {
        let count = self.get(hot::MESSAGES).min(self.geometry().chunks);
        self.mark(state::DAMAGED);
        for priority in 0..self.geometry().priorities {
            self.set(list(priority), 0);
        }
        self.repair()?;
        Ok(u64::from(count))
    }
}

/// What a walk over the messages finds.
struct Census<'a> {
    store: &'a Store,
    /// A bit per chunk that is in a message: a thousandth of the queue's own memory.
    seen: Vec<u64>,
    nonempty: u32,
    messages: u32,
    used: u32,
    bytes: u64,
    /// Chunks up to the last one that is in a message.
    fresh: u32,
}

impl<'a> Census<'a> {
    fn new(store: &'a Store) -> Self {
        let seen = vec![0; store.geometry().chunks.div_ceil(64) as usize];
        Self { store, seen, nonempty: 0, messages: 0, used: 0, bytes: 0, fresh: 0 }
    }

    /// Follows the messages of a priority, and notes the last one.
    fn walk(&mut self, priority: u32) -> Sound<()> {
        let store = self.store;
        let (mut link, mut last) = (store.head(priority), 0);
        while link != 0 {
            let first = store.index(link)?;
            let len = store.get(store.record(first, record::LEN)) as usize;
            if len > store.geometry().longest {
                return Err(Corrupt);
            }
            self.see(first)?;
            let mut at = first;
            for _ in 1..chunks_for(len) {
                at = store.index(store.next(at))?;
                self.see(at)?;
            }
            self.messages += 1;
            self.bytes += len as u64;
            self.nonempty |= 1 << priority;
            last = link;
            link = store.get(store.record(first, record::NEXT_MESSAGE));
        }
        store.set(list(priority) + 4, last);
        Ok(())
    }

    /// Counts a chunk that no message had before.
    fn see(&mut self, index: u32) -> Sound<()> {
        let word = self.seen.get_mut(index as usize / 64).ok_or(Corrupt)?;
        let bit = 1 << (index % 64);
        if *word & bit != 0 {
            return Err(Corrupt);
        }
        *word |= bit;
        self.used += 1;
        self.fresh = self.fresh.max(index + 1);
        Ok(())
    }

    fn is_seen(&self, index: u32) -> bool {
        self.seen.get(index as usize / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Writes down what was found.
    fn settle(&self) {
        let store = self.store;
        let (mut free, mut tail) = (0, 0);
        for index in (0..self.fresh).rev().filter(|index| !self.is_seen(*index)) {
            store.set(store.record(index, record::LINK), free);
            free = index + 1;
            tail = if tail == 0 { free } else { tail };
        }
        store.set_pair(hot::FREE_LIST, free, self.fresh);
        store.set(hot::FREE_TAIL, tail);
        store.set(hot::USED, self.used);
        store.set_pair(hot::NONEMPTY, self.nonempty, self.messages);
        store.set_wide(hot::BYTES, self.bytes);
        for kind in KINDS {
            let waiting = (0..words(store)).map(|word| store.get_wide(bits(kind, word)).count_ones()).sum();
            store.set(hot::WAITING[kind], waiting);
        }
    }
}
