//! The sending side.
//!
//! Invariants, beside those of the crate:
//! - `tail <= limit <= head + lines`: only free lines are written.
//! - The header word at `tail` is zero, and so is the one at `cleared`.
//! - A record is published by one release store of its header; nothing of it is written afterwards.

mod cursor;
mod pressure;
mod wake_ups;

use self::cursor::Cursor;
use self::pressure::Pressure;
use self::wake_ups::WakeUps;
use crate::primitive::Ordering;
use crate::record::{DATA, Header, MOVED, OFFER, PADDING, lines_for, max_payload};
use crate::state::{self, Wake};
use crate::storage::{BLOCK, Storage};

/// The sending side of a ring.
#[derive(Debug)]
pub struct Producer<S: Storage> {
    storage: S,
    cursor: Cursor,
    pressure: Pressure,
    wake_ups: WakeUps,
}

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no room until the consumer releases lines.
    Full,
    /// The consumer has left.
    Closed,
    /// The consumer's cursor has a value that no honest consumer writes.
    Corrupt,
}

/// What [`Producer::push_fast`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// Nothing: the record needs the checks of [`Producer::push`].
    Skipped,
    /// It sent the record, and [`Producer::flush_tail`] is due.
    FlushDue,
    /// It sent the record.
    Done,
}

/// How many lines ahead the producer prefetches at least. Publishing waits until a line is in its
/// cache, and since the last lap the line is in the consumer's.
const AHEAD: u64 = 24;
/// Records of more lines than this are not prefetched.
const LONGEST_AHEAD: u64 = 256;

impl<S: Storage> Producer<S> {
    /// Over fresh, zeroed memory.
    pub fn new(storage: S) -> Self {
        let cursor = Cursor::new(storage.lines());
        Self { storage, cursor, pressure: Pressure::new(), wake_ups: WakeUps::new() }
    }

    /// Makes [`flush_tail`](Self::flush_tail) due after each record.
    pub fn flushing_each_record(mut self) -> Self {
        self.wake_ups.flush_after_each_record();
        self
    }

    /// The shared memory.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// The longest payload in bytes.
    pub fn max_payload(&self) -> usize {
        max_payload(self.storage.lines())
    }

    /// Times the ring was full with a lagging consumer, and too small, since the last reset.
    #[inline]
    pub fn full_count(&self) -> u32 {
        self.pressure.full_count()
    }

    /// Counts [`full_count`](Self::full_count) from 0 again.
    pub fn reset_full_count(&mut self) {
        self.pressure.reset();
    }

    /// Sends one record of at most `max` bytes, which `fill` writes in place and of which it
    /// returns the length. `max` is at most [`max_payload`](Self::max_payload). `Ok(None)` if
    /// `fill` returned `None`: nothing was sent.
    ///
    /// # Errors
    /// See [`Refused`].
    #[inline]
    pub fn push(
        &mut self,
        max: usize,
        flags: u8,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Option<Wake>, Refused> {
        // Relaxed: nothing else is read because of it, and a close that is seen later is a later
        // close.
        if self.storage.consumer_state().load(Ordering::Relaxed) & state::CLOSED != 0 {
            return Err(Refused::Closed);
        }
        let lines = lines_for(max);
        let start = self.cursor.place(lines, self.storage.lines());
        if !self.cursor.has_room() {
            self.read_head()?;
        }
        self.cursor.spoil(start + lines);
        let Some(len) = self.storage.write(start, max, fill).flatten() else { return Ok(None) };
        let is_flush_due = self.publish(start, len.min(max), flags);
        Ok(Some(if is_flush_due { self.flush_tail() } else { Wake::None }))
    }

    /// Opens the fast path for this many records of `len` bytes, as far as free lines before the
    /// array's end last.
    pub fn open_fast_path(&mut self, records: u64, len: usize) {
        self.cursor.open_fast_path(records * lines_for(len), self.storage.lines());
    }

    /// True if a record of at most `max` bytes needs no checks: [`push_fast`](Self::push_fast)
    /// sends it.
    #[inline]
    pub fn is_fast(&self, max: usize) -> bool {
        // Relaxed: as in `push`.
        let state = self.storage.consumer_state().load(Ordering::Relaxed);
        self.cursor.is_fast(lines_for(max)) && !self.wake_ups.is_watched(state)
    }

    /// Sends one record without flags, which `copy` writes, if it needs no checks.
    #[inline]
    pub fn push_fast(&mut self, payload: &[u8], copy: impl FnOnce(&[u8], &mut [u8])) -> Pushed {
        let start = self.cursor.tail();
        if !self.is_fast(payload.len()) {
            return Pushed::Skipped;
        }
        match self.storage.write(start, payload.len(), |frame| copy(payload, frame)) {
            None => Pushed::Skipped,
            Some(()) if self.publish(start, payload.len(), 0) => Pushed::FlushDue,
            Some(()) => Pushed::Done,
        }
    }

    /// Makes the written record at `start` the consumer's. True if [`flush_tail`](Self::flush_tail)
    /// is due.
    #[inline]
    fn publish(&mut self, start: u64, len: usize, flags: u8) -> bool {
        let (tail, lines) = (self.cursor.tail(), lines_for(len));
        let end = start + lines;
        // Relaxed: ordered before the publication by its release.
        if !self.cursor.is_cleared(end) {
            self.storage.header(end).store(0, Ordering::Relaxed);
        }
        // Release: a consumer that sees the header sees the payload, and the zero behind it.
        self.storage.header(start).store(Header::pack(len, flags, DATA, start), Ordering::Release);
        if start != tail {
            // Release: a consumer that sees the padding sees the record behind it.
            let padding = Header::control(PADDING, tail);
            self.storage.header(tail).store(padding, Ordering::Release);
        }
        let is_waiting = state::is_waiting(self.storage.consumer_state());
        // Now that no one waits for it, for another record of this length.
        if let Some(next) = self.cursor.advance(end, lines) {
            // Relaxed: ordered before the next publication by its release.
            self.storage.header(next).store(0, Ordering::Relaxed);
        }
        is_waiting || self.wake_ups.is_flush_due(start, end)
    }

    /// Does what is due after some publications: shows the consumer how far they reach, prefetches
    /// the lines of the next records, and returns which sleepers to wake.
    pub fn flush_tail(&mut self) -> Wake {
        let wake = self.wake_ups.take(self.storage.consumer_state());
        // Relaxed: a hint.
        self.storage.tail_hint().store(self.cursor.tail(), Ordering::Relaxed);
        self.prefetch();
        wake
    }

    /// Prefetches the lines of the record after the next, if it is as long as the last one; of
    /// short records the lines of several.
    fn prefetch(&self) {
        let lines = self.cursor.last_lines();
        let end = self.cursor.tail() + AHEAD.max(2 * lines);
        if self.cursor.is_free(end) && lines <= LONGEST_AHEAD {
            let (done, due) = ((end - lines) / BLOCK, end / BLOCK);
            (done..due).for_each(|block| self.storage.prefetch_to_write(block * BLOCK));
        }
    }

    /// Begins a batch: the consumer is not woken before [`uncork`](Self::uncork).
    pub fn cork(&mut self) {
        self.wake_ups.cork();
    }

    /// Ends a batch, and returns which sleepers to wake for it.
    pub fn uncork(&mut self) -> Wake {
        self.wake_ups.uncork(self.storage.consumer_state())
    }

    /// Reads how far the consumer is. `Full` if the refused record still does not fit.
    #[cold]
    fn read_head(&mut self) -> Result<(), Refused> {
        // Acquire: pairs with the release in `Consumer::release`; the consumer has read all lines
        // below.
        let head = self.storage.head().load(Ordering::Acquire);
        let lines = self.storage.lines();
        let used = self.cursor.set_head(head, lines).ok_or(Refused::Corrupt)?;
        self.pressure.note(self.cursor.tail(), used, self.cursor.needed(), lines);
        if self.cursor.has_room() { Ok(()) } else { Err(Refused::Full) }
    }

    /// Tells the consumer that a larger array is available. There is always room for that.
    ///
    /// # Errors
    /// `Full` with more than one offer; `Corrupt`.
    pub fn offer(&mut self) -> Result<Wake, Refused> {
        self.cursor.need(2);
        self.read_head()?;
        let tail = self.cursor.tail();
        self.storage.header(tail + 1).store(0, Ordering::Relaxed);
        self.push_control(OFFER);
        Ok(state::take_wake(self.storage.consumer_state()))
    }

    /// Whether the consumer has accepted the offer. `None` until it has replied.
    pub fn poll_offer(&mut self) -> Option<bool> {
        let reply = state::ACCEPTED | state::DECLINED;
        // Acquire: pairs with the release of `Consumer::accept_offer`.
        match self.storage.consumer_state().fetch_and(!reply, Ordering::Acquire) & reply {
            0 => None,
            bits => Some(bits == state::ACCEPTED),
        }
    }

    /// Goes on in the array that the consumer has accepted, fresh and zeroed.
    ///
    /// # Errors
    /// `Full` with more than one offer; `Corrupt`.
    pub fn move_to(&mut self, storage: S) -> Result<Wake, Refused> {
        self.cursor.need(1);
        self.read_head()?;
        self.cursor.resize(self.storage.lines(), storage.lines());
        self.push_control(MOVED);
        self.storage = storage;
        Ok(state::take_wake(self.storage.consumer_state()))
    }

    /// Publishes a record of one line without a payload. The header behind it is zero.
    fn push_control(&mut self, kind: u8) {
        let tail = self.cursor.tail();
        // Release: as in `publish`.
        self.storage.header(tail).store(Header::control(kind, tail), Ordering::Release);
        self.cursor.step();
    }

    /// Says in our state word that we wait for room for the refused record, by the bit `waiting`.
    /// `None` if there is room now or the consumer left: then do not sleep. Otherwise the value on
    /// which a thread may sleep.
    pub fn arm(&mut self, waiting: u32) -> Option<u32> {
        // Its fence orders our bit before both loads.
        let value = state::set_waiting(self.storage.producer_state(), waiting);
        let is_closed = self.storage.consumer_state().load(Ordering::Relaxed) & state::CLOSED != 0;
        if is_closed || self.read_head() != Err(Refused::Full) {
            self.disarm();
            return None;
        }
        Some(value)
    }

    /// Takes back what [`arm`](Self::arm) said.
    pub fn disarm(&mut self) {
        state::clear_waiting(self.storage.producer_state());
    }

    /// Closes the direction: the consumer gets what was pushed, then `Closed`.
    pub fn close(&mut self) -> Wake {
        state::close(self.storage.producer_state(), self.storage.consumer_state())
    }
}
