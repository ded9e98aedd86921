use super::{
    DATA, MOVED, OFFER, PADDING, Refusal, Storage, TOGETHER, Wake, Word, announce, disarm, leave,
    lines_for, max_payload, state, take_waiter, waits, wake,
};
use crate::primitive::Ordering;

/// The sending side of a ring.
#[derive(Debug)]
pub struct Producer<S: Storage> {
    ring: S,
    /// Where the next record begins.
    tail: u64,
    /// A line whose header word is zero, beside that at `tail`.
    cleared: u64,
    /// The consumer's cursor as last seen.
    head: u64,
    /// The first line that was not free then: `head` and the size of the array.
    limit: u64,
    /// Records up to this line can be sent without a look at anything: the lines are free, and two more, and the array does
    /// not end before.
    straight: u64,
    /// The lines that the refused record needed.
    wanted: u64,
    /// How often lines ran out, the consumer was found far behind, and a larger array would help; and where the ring was
    /// then.
    crowded: u32,
    crowded_at: u64,
    /// Nobody is woken before [`uncork`](Self::uncork).
    corked: bool,
    /// Records that end in another block of so many lines than they begin in are settled.
    block: u64,
    /// The bits of the consumer's state word that are news: its sleep is none any more while a wake is owed.
    news: u32,
}

/// The producer takes possession of lines before it writes them: publishing waits until they are its own, and a lap ago
/// they were the consumer's. So many lines ahead, at least; for records of so many lines, at most.
const AHEAD: u64 = 24;
const MOST: u64 = 256;
/// A consumer is far behind if it leaves the lines of so many records, or an eighth of the array.
const FAR: u64 = 4;
const NEWS: u32 = state::CLOSED | state::WAITING;
/// An array for so many records is large enough: short ones travel fastest while the array stays in the caches.
const ENOUGH: u64 = 1024;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was not sent: there is something to look after.
    Not,
    /// It was sent, and [`settle`](Producer::settle) is due.
    Unsettled,
    /// It was sent.
    Settled,
}

impl<S: Storage> Producer<S> {
    /// Over fresh, zeroed memory.
    pub fn new(ring: S) -> Self {
        let limit = ring.lines();
        Self {
            ring,
            tail: 0,
            cleared: 0,
            head: 0,
            limit,
            straight: 0,
            wanted: 0,
            crowded: 0,
            crowded_at: u64::MAX,
            corked: false,
            block: TOGETHER,
            news: NEWS,
        }
    }

    /// The longest payload.
    pub fn max_payload(&self) -> usize {
        max_payload(self.ring.lines())
    }

    /// The shared memory.
    pub fn ring(&self) -> &S {
        &self.ring
    }

    /// Settles each record.
    pub fn settling(self) -> Self {
        Self { block: 0, ..self }
    }

    /// How often a larger array would have helped since the last [`calm`](Self::calm).
    #[inline]
    pub fn crowded(&self) -> u32 {
        self.crowded
    }

    /// Counts [`crowded`](Self::crowded) from here.
    pub fn calm(&mut self) {
        self.crowded = 0;
    }

    /// Sends one record of at most `max` bytes (`max` ≤ `max_payload`), written in place.
    #[inline]
    pub fn push(
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
        let len = self.ring.write(start, max, fill).flatten().ok_or(Refusal::Cancelled)?.min(max);
        Ok(if self.publish(start, len, flags) { self.settle() } else { Wake::Nobody })
    }

    /// For so many records of `len` bytes from here, as far as they lie before the array's end,
    /// [`push_next`](Self::push_next) has nothing to look after.
    pub fn straighten(&mut self, records: u64, len: usize) {
        let size = self.ring.lines();
        let lines = (records * lines_for(len)).min(size / 8);
        let end = (self.tail | (size - 1)) + 1;
        self.straight = (self.limit - 2).min(end).min(self.tail + lines);
    }

    /// Whether there is nothing to look after before a record of at most `max` bytes.
    #[inline]
    pub fn goes_straight(&self, max: usize) -> bool {
        let news = self.ring.consumer().load(Ordering::Relaxed) & self.news;
        self.tail + lines_for(max) <= self.straight && news == 0
    }

    /// Sends one record of bytes by `copy`, without flags, where there is nothing to look after.
    #[inline]
    pub fn push_next(&mut self, payload: &[u8], copy: impl FnOnce(&[u8], &mut [u8])) -> Pushed {
        let start = self.tail;
        if !self.goes_straight(payload.len()) {
            return Pushed::Not;
        }
        match self.ring.write(start, payload.len(), |frame| copy(payload, frame)) {
            None => Pushed::Not,
            Some(()) if self.publish(start, payload.len(), 0) => Pushed::Unsettled,
            Some(()) => Pushed::Settled,
        }
    }

    /// Makes the written record at `start` the consumer's. True if [`settle`](Self::settle) is due.
    #[inline]
    fn publish(&mut self, start: u64, len: usize, flags: u8) -> bool {
        let lines = lines_for(len);
        let end = start + lines;
        if self.cleared != end {
            self.ring.header(end).store(0, Ordering::Relaxed);
        }
        self.ring.header(start).store(Word::pack(len, flags, DATA, start), Ordering::Release);
        if start != self.tail {
            self.ring
                .header(self.tail)
                .store(Word::pack(0, 0, PADDING, self.tail), Ordering::Release);
        }
        self.tail = end;
        let waits = waits(self.ring.consumer());
        // Now that nobody waits for it, for another record of this length.
        let next = end + lines;
        if next < self.limit {
            self.ring.header(next).store(0, Ordering::Relaxed);
            self.cleared = next;
        }
        waits || start ^ end >= self.block
    }

    /// What is due after some publications: whom to wake, and what the next records need.
    pub fn settle(&mut self) -> Wake {
        // Looked at behind a fence before.
        let wake = if self.ring.consumer().load(Ordering::Relaxed) & state::WAITING == 0 {
            Wake::Nobody
        } else if self.corked {
            self.news = state::CLOSED;
            Wake::Nobody
        } else {
            take_waiter(self.ring.consumer())
        };
        self.ring.tail().store(self.tail, Ordering::Relaxed);
        self.prepare(self.cleared.saturating_sub(self.tail));
        wake
    }

    /// After a record of `lines` lines, takes possession of those of the one after the next: of short ones, of several at
    /// once.
    fn prepare(&self, lines: u64) {
        let end = self.tail + AHEAD.max(2 * lines);
        if end <= self.limit && lines <= MOST {
            let (done, due) = ((end - lines) / TOGETHER, end / TOGETHER);
            (done..due).for_each(|block| self.ring.prepare(block * TOGETHER));
        }
    }

    /// More records follow: nobody needs to be woken before [`uncork`](Self::uncork).
    pub fn cork(&mut self) {
        self.corked = true;
    }

    /// Whom to wake for what was published corked.
    pub fn uncork(&mut self) -> Wake {
        self.corked = false;
        let owes = std::mem::replace(&mut self.news, NEWS) != NEWS;
        if owes { wake(self.ring.consumer()) } else { Wake::Nobody }
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
    pub fn offer(&mut self) -> Result<Wake, Refusal> {
        self.wanted = 2;
        self.look_at_head()?;
        self.ring.header(self.tail + 1).store(0, Ordering::Relaxed);
        self.ring.header(self.tail).store(Word::pack(0, 0, OFFER, self.tail), Ordering::Release);
        self.tail += 1;
        Ok(wake(self.ring.consumer()))
    }

    /// Whether the consumer has taken what was offered, once it has answered.
    pub fn answer(&mut self) -> Option<bool> {
        let answer = state::ACCEPTED | state::DECLINED;
        match self.ring.consumer().fetch_and(!answer, Ordering::Acquire) & answer {
            0 => None,
            bits => Some(bits == state::ACCEPTED),
        }
    }

    /// Goes on in the array that the consumer has accepted, fresh and zeroed.
    pub fn move_to(&mut self, ring: S) -> Result<Wake, Refusal> {
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
    pub fn arm(&mut self, waiting: u32) -> Result<Option<u32>, Refusal> {
        let value = announce(self.ring.producer(), waiting);
        let closed = self.ring.consumer().load(Ordering::Relaxed) & state::CLOSED != 0;
        if closed || self.look_at_head() != Err(Refusal::WouldBlock) {
            self.disarm();
            return Ok(None);
        }
        Ok(Some(value))
    }

    /// Takes back what [`arm`](Self::arm) announced.
    pub fn disarm(&mut self) {
        disarm(self.ring.producer());
    }

    /// Closes the direction: the consumer gets what was pushed, then `Closed`.
    pub fn close(&mut self) -> Wake {
        leave(self.ring.producer(), self.ring.consumer())
    }
}
