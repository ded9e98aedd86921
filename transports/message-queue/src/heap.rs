//! The heap of held messages: a binary heap of the numbers of their first chunks, the earliest end
//! first. Derived from the holders: a repair builds it anew. All functions run under the receivers'
//! lock.

use crate::layout::{hold, hot};
use crate::store::{Checked, Corrupt, Store};

/// When a message is due, and the number of its lease.
pub(crate) type Key = (u64, u64);

impl Store {
    /// The number of held messages.
    pub(crate) fn held(&self) -> u32 {
        self.get(hot::HELD).min(self.geometry().chunks)
    }

    /// The first chunk of the message at a place of the heap.
    pub(crate) fn at_place(&self, place: u32) -> Checked<u32> {
        self.index(self.get(self.heap(place)))
    }

    /// Adds a message.
    pub(crate) fn heap_insert(&self, first: u32) -> Checked<()> {
        let place = self.held();
        if place >= self.geometry().chunks {
            return Err(Corrupt);
        }
        self.put(place, first);
        self.set(hot::HELD, place + 1);
        self.rise(place)?;
        self.note_due()
    }

    /// Removes a message.
    pub(crate) fn heap_remove(&self, first: u32) -> Checked<()> {
        let place = self.place_of(first)?;
        let end = self.held() - 1;
        let last = self.at_place(end)?;
        self.set(hot::HELD, end);
        if place != end {
            self.put(place, last);
            self.settle_place(place)?;
        }
        self.note_due()
    }

    /// Moves a message to its place after its end changed.
    pub(crate) fn heap_fix(&self, first: u32) -> Checked<()> {
        self.settle_place(self.place_of(first)?)?;
        self.note_due()
    }

    /// Stores the heap anew, of messages in the order of their keys.
    pub(crate) fn heap_rebuild(&self, firsts: impl Iterator<Item = u32>) -> Checked<()> {
        let mut count = 0;
        for first in firsts {
            self.put(count, first);
            count += 1;
        }
        self.set(hot::HELD, count);
        self.note_due()
    }

    /// Stores the earliest end.
    fn note_due(&self) -> Checked<()> {
        let due = if self.held() == 0 { 0 } else { self.key(self.at_place(0)?).0 };
        if self.get_wide(hot::DUE) != due {
            self.set_wide(hot::DUE, due);
        }
        Ok(())
    }

    fn put(&self, place: u32, first: u32) {
        self.set(self.heap(place), first + 1);
        self.set(self.hold(first, hold::PLACE), place);
    }

    fn place_of(&self, first: u32) -> Checked<u32> {
        let place = self.get(self.hold(first, hold::PLACE));
        if place < self.held() && self.at_place(place)? == first { Ok(place) } else { Err(Corrupt) }
    }

    fn settle_place(&self, place: u32) -> Checked<()> {
        let place = self.rise(place)?;
        self.sink(place)
    }

    /// Moves a message towards the top. Returns its place. Ends, as the place halves.
    fn rise(&self, mut place: u32) -> Checked<u32> {
        let first = self.at_place(place)?;
        while place > 0 {
            let parent = (place - 1) / 2;
            let above = self.at_place(parent)?;
            if self.key(above) <= self.key(first) {
                break;
            }
            self.put(place, above);
            self.put(parent, first);
            place = parent;
        }
        Ok(place)
    }

    /// Moves a message away from the top. Ends, as the place doubles.
    fn sink(&self, mut place: u32) -> Checked<()> {
        let (first, held) = (self.at_place(place)?, self.held());
        while let Some(left) = Some(2 * place + 1).filter(|left| *left < held) {
            let mut child = (left, self.at_place(left)?);
            if left + 1 < held {
                let right = self.at_place(left + 1)?;
                if self.key(right) < self.key(child.1) {
                    child = (left + 1, right);
                }
            }
            if self.key(first) <= self.key(child.1) {
                break;
            }
            self.put(place, child.1);
            self.put(child.0, first);
            place = child.0;
        }
        Ok(())
    }
}
