//! Repairing a queue after a death or after damage was found: computes every derived word from the
//! authoritative ones. Runs under both locks, or while the queue has no other participant.

use crate::heap::Key;
use crate::hold::is_lease;
use crate::layout::{bits, hold, hot, list, lists, record, sent_of};
use crate::pop::Found;
use crate::store::{Checked, Corrupt, Store, state};
use crate::waiters::{KINDS, words};

impl Store {
    /// Keeps all messages, and rebuilds the derived words. Visits each chunk at most once, whatever
    /// the memory holds. A death inside leaves `DAMAGED` set: the next participant repairs again.
    pub(crate) fn repair(&self) -> Checked<()> {
        self.set_state(state::DAMAGED);
        self.notice();
        let mut census = Census::new(self);
        if self.is_timed() {
            census.walk_held()?;
        }
        if self.has_lists() {
            (0..self.geometry().priorities).try_for_each(|priority| census.walk_list(priority))?;
        }
        census.walk_arrivals()?;
        census.write_back()?;
        self.clear_state(state::DAMAGED);
        Ok(())
    }

    /// Removes all messages, also those that cannot be read. Returns how many the counts show.
    pub(crate) fn purge(&self) -> Checked<u64> {
        self.notice();
        let count = self.counts().0;
        self.set_state(state::DAMAGED);
        // In the order of their lists: a death in between leaves the rest.
        for priority in 0..self.geometry().priorities {
            self.set(list(priority, lists::FIRST), 0);
        }
        if self.is_timed() {
            for first in 0..self.geometry().chunks {
                self.clear(self.hold(first, hold::HOLDER));
            }
        }
        if self.position(hot::TAKEN).is_err() {
            self.set(hot::TAKEN, 0);
        }
        self.set(hot::SORTED, self.position(hot::TAKEN)?);
        self.repair()?;
        Ok(u64::from(count))
    }
}

/// The result of a walk over the messages.
struct Census<'a> {
    store: &'a Store,
    /// A bit per chunk that is in a message: 1/1000 of the queue's own memory.
    seen: Vec<u64>,
    nonempty: u32,
    messages: u32,
    used: u32,
    bytes: u64,
    /// The held messages, and how many of them are leased.
    held: Vec<(Key, u32)>,
    leased: u32,
    /// Messages that wait for their time, held or new.
    delayed: u32,
}

impl<'a> Census<'a> {
    fn new(store: &'a Store) -> Self {
        let seen = vec![0; store.geometry().chunks.div_ceil(64) as usize];
        Self {
            store,
            seen,
            nonempty: 0,
            messages: 0,
            used: 0,
            bytes: 0,
            held: Vec::new(),
            leased: 0,
            delayed: 0,
        }
    }

    /// Walks the messages that are held back.
    fn walk_held(&mut self) -> Checked<()> {
        let store = self.store;
        for first in (0..store.geometry().chunks).filter(|first| store.is_held(*first)) {
            let message = store.message(first)?;
            self.count(&message)?;
            self.held.push((store.key(first), first));
            match store.get(store.hold(first, hold::HOLDER)) {
                holder if is_lease(holder) => self.leased += 1,
                _ => self.delayed += 1,
            }
        }
        Ok(())
    }

    /// Walks the messages of a list, and stores its last one. A message that is held back, too,
    /// leaves the list: a receiver died when it was to leave one of them.
    fn walk_list(&mut self, priority: u32) -> Checked<()> {
        let store = self.store;
        let (mut link, mut last, mut held_here) = (store.head(priority), 0, 0);
        while link != 0 {
            let message = store.member(priority, link)?;
            let next = store.get(store.record(message.first, record::NEXT_MESSAGE));
            if store.is_held(message.first) {
                // Ends: the first chunks of at most as many messages are held as there are chunks.
                held_here += 1;
                if held_here > self.held.len() {
                    return Err(Corrupt);
                }
                let before = match last {
                    0 => list(priority, lists::FIRST),
                    last => store.record(last - 1, record::NEXT_MESSAGE),
                };
                store.set(before, next);
            } else {
                self.count(&message)?;
                self.nonempty |= 1 << priority;
                last = link;
            }
            link = next;
        }
        store.set(list(priority, lists::LAST), last);
        // Differs from the count of sent messages: the next receive sorts first.
        store.set(list(priority, lists::KNOWN), store.get(sent_of(priority)).wrapping_sub(1));
        Ok(())
    }

    /// Walks the messages that were not sorted in yet.
    fn walk_arrivals(&mut self) -> Checked<()> {
        let store = self.store;
        let taken = store.position(hot::TAKEN)?;
        let mut position = store.position(hot::SORTED)?;
        let mut left = store.distance(position, taken)?;
        while left > 0 {
            let message = store.message(store.ordered(position)?)?;
            // The first one may be in its list, too, if a receiver died while it sorted.
            let listed = position == store.position(hot::SORTED)? && self.is_seen(message.first);
            if !listed {
                self.count(&message)?;
                self.delayed += u32::from(message.delayed && store.is_timed());
            }
            position = store.forward(position, message.chunks());
            left = left.checked_sub(message.chunks()).ok_or(Corrupt)?;
            if listed {
                store.set(hot::SORTED, position);
            }
        }
        Ok(())
    }

    /// Counts a message.
    fn count(&mut self, message: &Found) -> Checked<()> {
        let mut at = message.first;
        self.see(at)?;
        for _ in 1..message.chunks() {
            at = self.store.next(at)?;
            self.see(at)?;
        }
        self.messages += 1;
        self.bytes += message.len as u64;
        Ok(())
    }

    /// Counts a chunk; `Corrupt` if it is in another message, too.
    fn see(&mut self, index: u32) -> Checked<()> {
        let word = self.seen.get_mut(index as usize / 64).ok_or(Corrupt)?;
        let bit = 1 << (index % 64);
        if *word & bit != 0 {
            return Err(Corrupt);
        }
        *word |= bit;
        self.used += 1;
        Ok(())
    }

    fn is_seen(&self, index: u32) -> bool {
        self.seen.get(index as usize / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    /// Stores the derived words: the free chunks in the order behind `TAKEN`, positions, counts.
    fn write_back(&self) -> Checked<()> {
        let store = self.store;
        let taken = store.position(hot::TAKEN)?;
        let chunks = store.geometry().chunks;
        if store.has_lists() {
            let free = (0..chunks).filter(|index| !self.is_seen(*index));
            for (place, index) in (0..).zip(free) {
                store.order(store.forward(taken, place), index);
            }
        }
        // As far behind `TAKEN` as there are chunks in messages.
        let returned = store.forward(store.forward(taken, chunks), chunks - self.used);
        store.set(store.returned_at(), returned);
        store.set(hot::KNOWN_RETURNED, returned);
        store.set(hot::KNOWN_TAKEN, taken);
        store.set(hot::NONEMPTY, self.nonempty);
        store.set(hot::SENT, store.get(hot::RECEIVED).wrapping_add(self.messages));
        store.set_wide(
            hot::SENT_BYTES,
            store.get_wide(hot::RECEIVED_BYTES).wrapping_add(self.bytes),
        );
        if store.is_timed() {
            let mut held = self.held.clone();
            held.sort_unstable();
            store.heap_rebuild(held.into_iter().map(|(_, first)| first))?;
            store.set(hot::LEASED, self.leased);
            store.set(hot::DELAYED_SENT, store.get(hot::DELAYED_DONE).wrapping_add(self.delayed));
        }
        for kind in KINDS {
            let waiting =
                (0..words(store)).map(|word| store.get_wide(bits(kind, word)).count_ones()).sum();
            store.set(hot::WAITING[kind], waiting);
        }
        Ok(())
    }
}
