//! The receiving side.
//!
//! Invariants, beside those of the crate:
//! - `released <= head`: the consumer reads lines from `head` on, the producer may write those
//!   below `released`.
//! - A record is consumed before its payload is shown: if `read` panics, the next call shows the
//!   next record.
//! - Only a header that an honest producer could have written at `head` is believed.

mod fences;
mod pacing;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use self::fences::Fences;
use self::pacing::Pacing;
use crate::primitive::Ordering;
use crate::record::{DATA, Header, OFFER, PADDING, lines_for, max_payload};
use crate::state::{self, Wake};
use crate::storage::Storage;

/// The receiving side of a ring.
#[derive(Debug)]
pub struct Consumer<S: Storage> {
    storage: S,
    /// The line where the next record is expected.
    head: u64,
    /// `head` as the producer may know it.
    released: u64,
    /// The line from which on lines are to be released.
    release_at: u64,
    fences: Fences,
    pacing: Pacing,
}

/// What is next in a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<R> {
    /// A record: what the closure returned for it, and which sleepers to wake.
    Frame(R, Wake),
    /// The producer offers a larger array: accept or decline it.
    Offer,
    /// The ring goes on in that array: follow.
    Moved,
    /// Nothing yet.
    Empty,
    /// The producer has left: nothing more comes.
    Closed,
    /// The header at `head` is one that no honest producer writes there.
    Corrupt,
}

/// Lines that are released at once, in an array of `lines` lines.
fn portion(lines: u64) -> u64 {
    128.min(lines / 8)
}

impl<S: Storage> Consumer<S> {
    /// Over fresh, zeroed memory.
    pub fn new(storage: S) -> Self {
        let release_at = portion(storage.lines());
        let (fences, pacing) = (Fences::new(), Pacing::new());
        Self { storage, head: 0, released: 0, release_at, fences, pacing }
    }

    /// Shares a flag that the caller sets whenever this process sends something the other way.
    pub fn with_sent(mut self, has_sent: Arc<AtomicBool>) -> Self {
        self.pacing.share_sent(has_sent);
        self
    }

    /// The shared memory.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The longest payload in bytes.
    #[inline]
    pub fn max_payload(&self) -> usize {
        max_payload(self.storage.lines())
    }

    /// Shows the next record to `read`: flags and payload. After anything but a frame,
    /// [`release`](Self::release) is due.
    #[inline]
    pub fn pop<R>(&mut self, read: impl FnOnce(u8, &[u8]) -> R) -> Next<R> {
        // Acquire: pairs with the release in `Producer::publish`. The payload is visible with the
        // header.
        let header = self.storage.header(self.head).load(Ordering::Acquire);
        let (len, flags) = match self.find(header) {
            Ok(found) => found,
            Err(other) => return other,
        };
        let Some(result) = self.pop_sized(len, |payload| read(flags, payload)) else {
            return Next::Corrupt;
        };
        let wake = if self.is_release_due() { self.release_and_pace() } else { Wake::None };
        Next::Frame(result, wake)
    }

    /// Shows the next record to `read`, if it has no flags and at most `most` bytes. Otherwise it
    /// does nothing and returns the length of a record without flags, which is for
    /// [`pop_sized`](Self::pop_sized), or a number above [`max_payload`](Self::max_payload), which
    /// is for [`pop`](Self::pop). Afterwards a release may be [due](Self::is_release_due).
    #[inline]
    pub fn pop_fast<R>(&mut self, most: usize, read: impl FnOnce(&[u8]) -> R) -> Result<R, usize> {
        let head = self.head;
        let mut found = 0;
        let length = |header| {
            // All of an expected header but the length is known.
            let rest: u64 = header ^ Header::control(DATA, head);
            found = usize::try_from(rest).unwrap_or(usize::MAX);
            (found <= most).then_some(found)
        };
        let result = self.storage.read_next(head, length, |payload| {
            self.head = head + lines_for(payload.len());
            self.pacing.count();
            read(payload)
        });
        result.ok_or(found)
    }

    /// Consumes the record at `head`, of this length, and shows it to `read`. `None` if it would
    /// reach beyond the array.
    #[inline]
    pub fn pop_sized<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let start = self.head;
        self.head = start + lines_for(len);
        self.pacing.count();
        self.storage.read(start, len, read)
    }

    /// Length and flags of the next record, behind padding too.
    fn find<R>(&mut self, mut header: u64) -> Result<(usize, u8), Next<R>> {
        if header == 0 {
            header = self.look_again()?;
        }
        let size = self.storage.lines();
        let mut found = Header::check(header, self.head, size).ok_or(Next::Corrupt)?;
        if found.kind == PADDING {
            self.head += size - (self.head & (size - 1));
            // Acquire: as in `pop`. Padding is published after the record behind it.
            let header = self.storage.header(self.head).load(Ordering::Acquire);
            found = Header::check(header, self.head, size)
                .filter(|found| found.kind == DATA)
                .ok_or(Next::Corrupt)?;
        }
        match found.kind {
            DATA => Ok((found.len, found.flags)),
            OFFER => Err(Next::Offer),
            _ => Err(Next::Moved),
        }
    }

    /// No record is there: is that for good?
    #[cold]
    fn look_again<R>(&mut self) -> Result<u64, Next<R>> {
        // Both lines of a record of two are then fetched at the same time.
        self.storage.prefetch(self.head + 1);
        // Acquire: pairs with the release in `state::close`. CLOSED comes after the last record.
        let producer = self.storage.producer_state().load(Ordering::Acquire);
        if producer & state::CLOSED == 0 {
            self.pacing.note_empty();
            self.fences.note_empty(self.storage.consumer_state(), self.head);
            return Err(Next::Empty);
        }
        match self.storage.header(self.head).load(Ordering::Acquire) {
            0 => Err(Next::Closed),
            header => Ok(header),
        }
    }

    /// Prefetches the first lines of the next record, which will be looked for soon.
    pub fn prefetch(&self) {
        self.storage.prefetch(self.head);
        self.storage.prefetch(self.head + 1);
    }

    /// Accepts the offer, after [`Next::Offer`].
    pub fn accept_offer(&mut self) -> Wake {
        self.reply(state::ACCEPTED)
    }

    /// Declines the offer, after [`Next::Offer`]: the ring stays in its array.
    pub fn decline_offer(&mut self) -> Wake {
        self.reply(state::DECLINED)
    }

    fn reply(&mut self, bit: u32) -> Wake {
        self.head += 1;
        // Release: pairs with the acquire in `Producer::poll_offer`.
        self.storage.consumer_state().fetch_or(bit, Ordering::Release);
        self.release_now()
    }

    /// Goes on in the array that was accepted, after [`Next::Moved`].
    pub fn follow(&mut self, storage: S) {
        self.storage = storage;
        self.head += 1;
    }

    /// True if enough lines are consumed for [`release_and_pace`](Self::release_and_pace).
    #[inline]
    pub fn is_release_due(&self) -> bool {
        self.head >= self.release_at
    }

    /// Releases the consumed lines, and lets a streaming producer get ahead. Returns which sleepers
    /// to wake.
    #[cold]
    pub fn release_and_pace(&mut self) -> Wake {
        let wake = self.release_now();
        // A sleeping producer must be woken first.
        if wake == Wake::None {
            self.pacing.keep_distance(&self.storage, self.head);
        }
        wake
    }

    /// Releases the consumed lines, if there are any. Returns which sleepers to wake.
    #[inline]
    pub fn release(&mut self) -> Wake {
        if self.head == self.released { Wake::None } else { self.release_now() }
    }

    fn release_now(&mut self) -> Wake {
        self.released = self.head;
        self.release_at = self.head + portion(self.storage.lines());
        // Release: pairs with the acquire in `Producer::read_head`. Our reads of the lines are
        // done.
        self.storage.head().store(self.head, Ordering::Release);
        state::take_wake(self.storage.producer_state())
    }

    /// Says in our state word that we wait for a record, by the bit `waiting`. `None` if there is a
    /// record now, the producer left, or it is too early: then do not sleep but call
    /// [`pop`](Self::pop). Otherwise the value on which a thread may sleep.
    pub fn arm(&mut self, waiting: u32) -> Option<u32> {
        if !self.fences.may_sleep(self.storage.consumer_state()) {
            return None;
        }
        // Its fence orders our bit before both loads.
        let value = state::set_waiting(self.storage.consumer_state(), waiting);
        let is_closed = self.storage.producer_state().load(Ordering::Acquire) & state::CLOSED != 0;
        if is_closed || self.storage.header(self.head).load(Ordering::Acquire) != 0 {
            self.disarm();
            return None;
        }
        Some(value)
    }

    /// Takes back what [`arm`](Self::arm) said.
    pub fn disarm(&mut self) {
        state::clear_waiting(self.storage.consumer_state());
    }

    /// Tells the producer that no one receives any more.
    pub fn close(&mut self) -> Wake {
        state::close(self.storage.consumer_state(), self.storage.producer_state())
    }
}
