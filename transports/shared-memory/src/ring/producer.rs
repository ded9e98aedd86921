use super::{
    DATA, MOVED, OFFER, PADDING, Refusal, Storage, Wake, Word, announce, leave, lines_for, max_payload,
    state, wake,
};
use crate::primitive::Ordering;

/// Lines whose header words are cleared ahead of the next record.
const AHEAD: u64 = 4;

/// The sending side of a ring.
#[derive(Debug)]
pub(crate) struct Producer<S: Storage> {
    ring: S,
    /// Where the next record begins.
    tail: u64,
    /// The header words in `tail..cleared` are zero; always past `tail`.
    cleared: u64,
    /// The consumer's cursor as last seen.
    head: u64,
    /// The lines that the refused record needed.
    wanted: u64,
}

impl<S: Storage> Producer<S> {
    /// Over fresh, zeroed memory.
    pub(crate) fn new(ring: S) -> Self {
        let cleared = ring.lines();
        Self { ring, tail: 0, cleared, head: 0, wanted: 0 }
    }

    pub(crate) fn max_payload(&self) -> usize {
        max_payload(self.ring.lines())
    }

    pub(crate) fn ring(&self) -> &S {
        &self.ring
    }

    /// Sends one record of at most `max` bytes (`max` ≤ `max_payload`), written in place.
    #[inline]
    pub(crate) fn push(
        &mut self,
        max: usize,
        flags: u8,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Wake, Refusal> {
        if self.ring.consumer().load(Ordering::Relaxed) & state::CLOSED != 0 {
            return Err(Refusal::Closed);
        }
        let reserved = lines_for(max);
        let start = self.reserve(reserved)?;
        // Until the record stands, only its own header word is known to be zero: `fill` may write over the
        // words behind it and then give up.
        let ahead = std::mem::replace(&mut self.cleared, self.tail + 1);
        let len = self.ring.write(start, max, fill).ok_or(Refusal::Cancelled)?.min(max);
        let end = start + lines_for(len);
        if end == start + reserved && ahead > end {
            self.cleared = ahead;
        } else {
            self.ring.header(end).store(0, Ordering::Relaxed);
            self.cleared = end + 1;
        }
        self.ring.header(start).store(Word::pack(len, flags, DATA, start), Ordering::Release);
        if start != self.tail {
            self.ring.header(self.tail).store(Word::pack(0, 0, PADDING, self.tail), Ordering::Release);
        }
        self.tail = end;
        let wake = wake(self.ring.consumer());
        self.clear_ahead();
        Ok(wake)
    }

    /// Where a record of `lines` lines can begin: at the tail, or after padding at the start of the array.
    /// Two more lines are free behind it.
    #[inline]
    fn reserve(&mut self, lines: u64) -> Result<u64, Refusal> {
        let size = self.ring.lines();
        let room = size - (self.tail & (size - 1));
        let start = if lines <= room { self.tail } else { self.tail + room };
        self.wanted = start + lines + 2 - self.tail;
        if self.tail + self.wanted > self.head + size {
            self.look_at_head()?;
        }
        Ok(start)
    }

    #[cold]
    fn look_at_head(&mut self) -> Result<(), Refusal> {
        let head = self.ring.head().load(Ordering::Acquire);
        if head < self.head || head > self.tail {
            return Err(Refusal::Corrupt);
        }
        self.head = head;
        if self.tail + self.wanted > head + self.ring.lines() { Err(Refusal::WouldBlock) } else { Ok(()) }
    }

    /// Tells the consumer that a larger array is there for it. Every push leaves room for that.
    pub(crate) fn offer(&mut self) -> Result<Wake, Refusal> {
        self.wanted = 2;
        self.look_at_head()?;
        self.ring.header(self.tail + 1).store(0, Ordering::Relaxed);
        self.ring.header(self.tail).store(Word::pack(0, 0, OFFER, self.tail), Ordering::Release);
        self.tail += 1;
        self.cleared = self.cleared.max(self.tail + 1);
        Ok(wake(self.ring.consumer()))
    }

    /// Whether the consumer has taken what was offered, once it has answered.
    pub(crate) fn answer(&mut self) -> Option<bool> {
        let answer = state::ACCEPTED | state::DECLINED;
        match self.ring.consumer().fetch_and(!answer, Ordering::Acquire) & answer {
            0 => None,
            bits => Some(bits == state::ACCEPTED),
        }
    }

    /// Goes on in the array that the consumer has accepted, fresh and zeroed.
    pub(crate) fn move_to(&mut self, ring: S) -> Result<Wake, Refusal> {
        self.wanted = 1;
        self.look_at_head()?;
        self.ring.header(self.tail).store(Word::pack(0, 0, MOVED, self.tail), Ordering::Release);
        self.ring = ring;
        self.tail += 1;
        self.cleared = self.tail + self.ring.lines();
        Ok(wake(self.ring.consumer()))
    }

    #[inline]
    fn clear_ahead(&mut self) {
        if self.cleared > self.tail + 1 {
            return;
        }
        let until = (self.tail + 1 + AHEAD).min(self.head + self.ring.lines());
        while self.cleared < until {
            self.ring.header(self.cleared).store(0, Ordering::Relaxed);
            self.cleared += 1;
        }
    }

    /// Announces that we wait for room for the refused record. `Ok(None)`: there is room now, or news.
    pub(crate) fn arm(&mut self, waiting: u32) -> Result<Option<u32>, Refusal> {
        let value = announce(self.ring.producer(), waiting);
        let closed = self.ring.consumer().load(Ordering::Relaxed) & state::CLOSED != 0;
        if closed || self.look_at_head() != Err(Refusal::WouldBlock) {
            self.disarm();
            return Ok(None);
        }
        Ok(Some(value))
    }

    pub(crate) fn disarm(&mut self) {
        self.ring.producer().fetch_and(!state::WAITING, Ordering::Relaxed);
    }

    /// Closes the direction: the consumer gets what was pushed, then `Closed`.
    pub(crate) fn close(&mut self) -> Wake {
        leave(self.ring.producer(), self.ring.consumer())
    }
}
