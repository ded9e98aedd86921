use super::{
    DATA, MOVED, OFFER, PADDING, Refusal, Storage, Wake, Word, announce, leave, lines_for, max_payload,
    state, wake,
};
use crate::primitive::Ordering;

/// The sending side of a ring.
#[derive(Debug)]
pub(crate) struct Producer<S: Storage> {
    ring: S,
    /// Where the next record begins.
    tail: u64,
    /// A line whose header word is zero, beside that at `tail`.
    cleared: u64,
    /// The consumer's cursor as last seen.
    head: u64,
    /// The first line that was not free then: `head` and the size of the array.
    limit: u64,
    /// Records that end before this line can begin at the tail: two lines stay free, and the array does not end before.
    straight: u64,
    /// The lines that the refused record needed.
    wanted: u64,
    /// How often lines ran out, the consumer was found far behind, and a larger array would help; and where the ring was
    /// then.
    crowded: u32,
    crowded_at: u64,
    /// For the next record nobody is woken before [`uncork`](Self::uncork), or the record after it.
    corked: bool,
    /// A record was published for which nobody was woken.
    owes: bool,
}

/// The producer takes possession of lines before it writes them: publishing waits until they are its own, and a lap ago
/// they were the consumer's. So many lines ahead of the next record, at least; for records of so many lines, at most.
const AHEAD: u64 = 16;
const MOST: u64 = 256;
/// A consumer is far behind if it leaves the lines of so many records, or an eighth of the array.
const FAR: u64 = 4;
/// An array for so many records is large enough: short ones travel fastest while the array stays in the caches.
const ENOUGH: u64 = 1024;
/// Of short records, the lines of several at once.
const TOGETHER: u64 = 8;

impl<S: Storage> Producer<S> {
    /// Over fresh, zeroed memory.
    pub(crate) fn new(ring: S) -> Self {
        let limit = ring.lines();
        Self {
            ring,
            tail: 0,
            cleared: 0,
            head: 0,
            limit,
            straight: limit - 2,
            wanted: 0,
            crowded: 0,
            crowded_at: u64::MAX,
            corked: false,
            owes: false,
        }
    }

    pub(crate) fn max_payload(&self) -> usize {
        max_payload(self.ring.lines())
    }

    pub(crate) fn ring(&self) -> &S {
        &self.ring
    }

    /// How often a larger array would have helped since the last [`calm`](Self::calm).
    #[inline]
    pub(crate) fn crowded(&self) -> u32 {
        self.crowded
    }

    pub(crate) fn calm(&mut self) {
        self.crowded = 0;
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
        let lines = lines_for(max);
        let start = self.reserve(lines)?;
        if self.cleared < start + lines {
            // `fill` may write over the word and then give up, or use less.
            self.cleared = self.tail;
        }
        let len = self.ring.write(start, max, fill).ok_or(Refusal::Cancelled)?.min(max);
        Ok(self.publish(start, len, flags))
    }

    /// Sends one record of bytes that are there already; as [`push`](Self::push), and cheaper where the record
    /// fits at the tail: nothing can be given up half-way.
    #[inline]
    pub(crate) fn push_bytes(&mut self, flags: u8, payload: &[u8]) -> Result<Wake, Refusal> {
        let start = self.tail;
        let closed = self.ring.consumer().load(Ordering::Relaxed) & state::CLOSED != 0;
        if closed || start + lines_for(payload.len()) > self.straight {
            return self.push_elsewhere(flags, payload);
        }
        self.ring.write(start, payload.len(), |frame| frame.copy_from_slice(payload));
        Ok(self.publish(start, payload.len(), flags))
    }

    #[cold]
    fn push_elsewhere(&mut self, flags: u8, payload: &[u8]) -> Result<Wake, Refusal> {
        let pushed = self.push(payload.len(), flags, |frame| {
            frame.copy_from_slice(payload);
            Some(payload.len())
        });
        self.straight = (self.limit - 2).min((self.tail | (self.ring.lines() - 1)) + 1);
        pushed
    }

    /// Makes the written record at `start` the consumer's.
    #[inline]
    fn publish(&mut self, start: u64, len: usize, flags: u8) -> Wake {
        let lines = lines_for(len);
        let end = start + lines;
        if self.cleared != end {
            self.ring.header(end).store(0, Ordering::Relaxed);
        }
        self.ring.header(start).store(Word::pack(len, flags, DATA, start), Ordering::Release);
        if start != self.tail {
            self.ring.header(self.tail).store(Word::pack(0, 0, PADDING, self.tail), Ordering::Release);
        }
        self.tail = end;
        let wake = if self.corked {
            (self.corked, self.owes) = (false, true);
            Wake::Nobody
        } else {
            wake(self.ring.consumer())
        };
        // Now that nobody waits for it, for another record of this length.
        let next = end + lines;
        if next < self.limit {
            self.ring.header(next).store(0, Ordering::Relaxed);
            self.cleared = next;
        }
        if start / TOGETHER != end / TOGETHER {
            self.ring.tail().store(end, Ordering::Relaxed);
            self.prepare(end, lines);
        }
        wake
    }

    /// Takes possession of the lines of records like this one, which ends at `end`.
    #[inline(never)]
    fn prepare(&self, end: u64, lines: u64) {
        let first = (end + lines.max(AHEAD)) & !(TOGETHER - 1);
        let lines = lines.max(TOGETHER);
        if first + lines < self.limit && lines <= MOST {
            self.ring.prepare(first, lines);
        }
    }

    /// More records follow the next one at once: nobody needs to be woken for it.
    pub(crate) fn cork(&mut self) {
        self.corked = true;
    }

    /// Whom to wake for what was published corked.
    pub(crate) fn uncork(&mut self) -> Wake {
        self.corked = false;
        if std::mem::take(&mut self.owes) { wake(self.ring.consumer()) } else { Wake::Nobody }
    }

    /// Where a record of `lines` lines can begin: at the tail, or after padding at the start of the array.
    /// Two more lines are free behind it.
    #[inline]
    fn reserve(&mut self, lines: u64) -> Result<u64, Refusal> {
        let size = self.ring.lines();
        let room = size - (self.tail & (size - 1));
        let start = if lines <= room { self.tail } else { self.tail + room };
        self.wanted = start + lines + 2 - self.tail;
        if self.tail + self.wanted > self.limit {
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
        self.limit = head + self.ring.lines();
        let size = self.ring.lines();
        let far = self.tail - head >= (FAR * self.wanted).min(size / 8);
        if far && size < ENOUGH * self.wanted && self.tail != self.crowded_at {
            self.crowded += 1;
            self.crowded_at = self.tail;
        }
        if self.tail + self.wanted > self.limit { Err(Refusal::WouldBlock) } else { Ok(()) }
    }

    /// Tells the consumer that a larger array is there for it. Every push leaves room for that.
    pub(crate) fn offer(&mut self) -> Result<Wake, Refusal> {
        self.wanted = 2;
        self.look_at_head()?;
        self.ring.header(self.tail + 1).store(0, Ordering::Relaxed);
        self.ring.header(self.tail).store(Word::pack(0, 0, OFFER, self.tail), Ordering::Release);
        self.tail += 1;
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
        self.limit = self.head + self.ring.lines();
        self.straight = 0;
        self.tail += 1;
        Ok(wake(self.ring.consumer()))
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
