use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::{
    DATA, MOVED, OFFER, PADDING, Refusal, Storage, Wake, Word, announce, disarm, leave, lines_for,
    max_payload, state, wake,
};
use crate::primitive::Ordering;

/// The receiving side of a ring.
#[derive(Debug)]
pub struct Consumer<S: Storage> {
    ring: S,
    /// Where the next record is expected.
    head: u64,
    /// The cursor as the producer may know it, and where it gets to know it again.
    given_back: u64,
    due: u64,
    /// Where the distance to the producer is looked after next, and how many lines lie between two such places.
    pace: u64,
    stride: u64,
    /// The longest payload.
    max: usize,
    /// Records since the last empty look.
    run: u64,
    /// Whoever receives has also sent since the last look at this: the two converse, and each waits for the other. A hint
    /// between the threads of this process.
    answers: Arc<AtomicBool>,
    /// Looks at an empty ring: all since the last sleep, up to [`AWAKE`]; those at `missed_at` alone.
    looks: u32,
    misses: u32,
    missed_at: u64,
    fences: Fences,
}

/// Who fences.
#[derive(Debug)]
enum Fences {
    /// Whoever publishes.
    Producer,
    /// Nobody: `UNFENCED` is set.
    Nobody,
    /// The producer, since then, but what it published before may be on its way.
    ProducerSince(Instant),
}

/// After so many looks at an empty ring without a sleep it is worth it to spare the producer its fences,
const AWAKE: u32 = 32;
/// and after so many at one place, some microseconds, it is worth it no longer.
const PATIENCE: u32 = 128;
/// How long a record that was published without a fence may be on its way, generously.
const GRACE: Duration = Duration::from_micros(20);

/// So many lines are given back at once, or an eighth of the array.
const SOME: u64 = 128;
fn portion(lines: u64) -> u64 {
    SOME.min(lines / 8)
}

/// After so many records without an empty look the producer streams,
const STREAM: u64 = 32;
/// and is followed at a distance of so many lines, or half the array.
const DISTANCE: u64 = 256;
/// Where that is of no use, it is tried ever more seldom, up to each so many lines.
const SELDOM: u64 = 1 << 16;
/// To let it go ahead, the consumer stands still for so many steps of so long, while it does.
const STEPS: u32 = 32;
const STEP: Duration = Duration::from_nanos(700);

impl<S: Storage> Consumer<S> {
    /// Over fresh, zeroed memory.
    pub fn new(ring: S) -> Self {
        let (max, due) = (max_payload(ring.lines()), portion(ring.lines()));
        Self {
            ring,
            head: 0,
            given_back: 0,
            due,
            pace: 0,
            stride: SOME,
            max,
            run: 0,
            answers: Arc::default(),
            looks: 0,
            misses: 0,
            missed_at: 0,
            fences: Fences::Producer,
        }
    }

    /// Lets somebody set a flag whenever something is sent the other way.
    pub fn beside(self, answers: Arc<AtomicBool>) -> Self {
        Self { answers, ..self }
    }

    /// The shared memory.
    pub fn ring(&self) -> &S {
        &self.ring
    }

    /// Shows the next record to `read`. If `read` panics, the record is used up. The wake is due in both cases
    /// of `Ok`, and also, by [`rest`](Self::rest), after a refusal.
    #[inline]
    pub fn pop<R>(&mut self, read: impl FnOnce(u8, &[u8]) -> R) -> Result<(R, Wake), Refusal> {
        let header = self.ring.header(self.head).load(Ordering::Acquire);
        let (len, flags) = self.find(header)?;
        let result = self.take(len, |payload| read(flags, payload)).ok_or(Refusal::Corrupt)?;
        Ok((result, if self.is_due() { self.turn() } else { Wake::Nobody }))
    }

    /// Shows the next record to `read`, if it stands there, has no flags and at most `most` bytes. Otherwise nothing is
    /// done, and the error is its length, if it is one for [`take`](Self::take) and not more than
    /// [`max_payload`](Self::max_payload): then it is for [`pop`](Self::pop). Afterwards [`turn`](Self::turn) may be
    /// [due](Self::is_due).
    #[inline]
    pub fn pop_next<R>(&mut self, most: usize, read: impl FnOnce(&[u8]) -> R) -> Result<R, usize> {
        let head = self.head;
        let mut found = 0;
        let length = |header| {
            // All else in the header is known.
            let rest: u64 = header ^ Word::pack(0, 0, DATA, head);
            found = usize::try_from(rest).unwrap_or(usize::MAX);
            (found <= most).then_some(found)
        };
        let result = self.ring.read_next(head, length, |payload| {
            self.head = head + lines_for(payload.len());
            self.run += 1;
            read(payload)
        });
        result.ok_or(found)
    }

    /// The longest payload.
    pub fn max_payload(&self) -> usize {
        self.max
    }

    /// Uses up the record at `head`, of this length, and shows it to `read`. `None` if it cannot be: it would not lie in
    /// the array.
    #[inline]
    pub fn take<R>(&mut self, len: usize, read: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let start = self.head;
        self.head = start + lines_for(len);
        self.run += 1;
        self.ring.read(start, len, read)
    }

    /// Whether lines should be given back now.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.head >= self.due
    }

    /// Gives lines back, and looks after the distance.
    #[cold]
    pub fn turn(&mut self) -> Wake {
        let wake = self.give_back();
        if self.head >= self.pace
            && wake == Wake::Nobody
            && self.run >= STREAM
            && !self.answers.swap(false, Relaxed)
        {
            self.stride = if self.fall_behind() { SOME } else { (self.stride * 2).min(SELDOM) };
            self.pace = self.head + self.stride;
        }
        wake
    }

    /// Lets a producer that streams go ahead. A consumer at its heels takes lines away that are just being written, each
    /// of which the producer has to fetch again: both are slower than if one of them stands still now and then. False if
    /// it does not go far: it may wait for an answer.
    fn fall_behind(&self) -> bool {
        let distance = DISTANCE.min(self.ring.lines() / 2) as i64;
        let mut tail = self.ring.tail().load(Ordering::Relaxed);
        for _ in 0..STEPS {
            if tail.wrapping_sub(self.head) as i64 >= distance {
                return true;
            }
            let since = Instant::now();
            while since.elapsed() < STEP {
                spin_loop();
            }
            let before = std::mem::replace(&mut tail, self.ring.tail().load(Ordering::Relaxed));
            if tail == before {
                break;
            }
        }
        tail.wrapping_sub(self.head) as i64 >= distance / 2
    }

    /// The length and the flags of the next record, whatever precedes it.
    fn find(&mut self, mut header: u64) -> Result<(usize, u8), Refusal> {
        if header == 0 {
            header = self.look_again()?;
        }
        let mut word = self.check(header)?;
        if word.kind == PADDING {
            let size = self.ring.lines();
            self.head += size - (self.head & (size - 1));
            // Padding is published after the record behind it.
            word = self.check(self.ring.header(self.head).load(Ordering::Acquire))?;
            if word.kind != DATA {
                return Err(Refusal::Corrupt);
            }
        } else if word.kind != DATA {
            return Err(if word.kind == OFFER { Refusal::Offered } else { Refusal::Moved });
        }
        Ok((word.len, word.flags))
    }

    /// Accepts only a header that our producer could have written here.
    #[inline]
    fn check(&self, header: u64) -> Result<Word, Refusal> {
        let word = Word::unpack(header);
        let size = self.ring.lines();
        let room = size - (self.head & (size - 1));
        let fits = word.len <= self.max && lines_for(word.len) <= room;
        let known = matches!(word.kind, DATA | PADDING | OFFER | MOVED);
        if fits && known && word.position == self.head as u16 {
            Ok(word)
        } else {
            Err(Refusal::Corrupt)
        }
    }

    /// Nothing is there: is that for good?
    #[cold]
    fn look_again(&mut self) -> Result<u64, Refusal> {
        // A record of two lines is then fetched by two misses at once, not by one after the other.
        self.ring.prefetch(self.head + 1);
        let producer = self.ring.producer().load(Ordering::Acquire);
        if producer & state::CLOSED == 0 {
            self.miss();
            return Err(Refusal::WouldBlock);
        }
        match self.ring.header(self.head).load(Ordering::Acquire) {
            0 => Err(Refusal::Closed),
            header => Ok(header),
        }
    }

    /// Nothing came: whether the producer should fence depends on how long that has been so.
    fn miss(&mut self) {
        self.run = 0;
        if self.missed_at != self.head {
            (self.missed_at, self.misses) = (self.head, 0);
        }
        if self.misses < PATIENCE {
            self.misses += 1;
            if self.looks < AWAKE {
                self.looks += 1;
            } else if !matches!(self.fences, Fences::Nobody) {
                self.ring.consumer().fetch_or(state::UNFENCED, Ordering::Relaxed);
                self.fences = Fences::Nobody;
            }
        } else {
            self.demand_fences();
        }
    }

    fn demand_fences(&mut self) {
        if matches!(self.fences, Fences::Nobody) {
            self.ring.consumer().fetch_and(!state::UNFENCED, Ordering::SeqCst);
            self.fences = Fences::ProducerSince(Instant::now());
        }
    }

    /// The next record will be looked for soon: its first lines may come meanwhile.
    pub fn prefetch(&self) {
        self.ring.prefetch(self.head);
        self.ring.prefetch(self.head + 1);
    }

    /// Answers an offer, after `Offered`: whether the larger array is there to go on in.
    pub fn answer(&mut self, accepted: bool) -> Wake {
        self.head += 1;
        let bit = if accepted { state::ACCEPTED } else { state::DECLINED };
        self.ring.consumer().fetch_or(bit, Ordering::Release);
        self.give_back()
    }

    /// Goes on in the array that the producer has moved to, after `Moved`.
    pub fn follow(&mut self, ring: S) {
        self.max = max_payload(ring.lines());
        self.ring = ring;
        self.head += 1;
    }

    /// Gives back what is consumed, if anything is: called when there is nothing more to do.
    #[inline]
    pub fn rest(&mut self) -> Wake {
        if self.head == self.given_back { Wake::Nobody } else { self.give_back() }
    }

    fn give_back(&mut self) -> Wake {
        self.given_back = self.head;
        self.due = self.head + portion(self.ring.lines());
        self.ring.head().store(self.head, Ordering::Release);
        wake(self.ring.producer())
    }

    /// Announces that we wait for a record. `None`: there is one now, or news.
    pub fn arm(&mut self, waiting: u32) -> Option<u32> {
        if !self.may_sleep() {
            return None;
        }
        let value = announce(self.ring.consumer(), waiting);
        let closed = self.ring.producer().load(Ordering::Acquire) & state::CLOSED != 0;
        if closed || self.ring.header(self.head).load(Ordering::Acquire) != 0 {
            self.disarm();
            return None;
        }
        Some(value)
    }

    /// Before a sleep: whoever publishes from now on fences, and what was published without is visible. False: not
    /// yet, look again.
    fn may_sleep(&mut self) -> bool {
        self.looks = 0;
        self.demand_fences();
        match self.fences {
            Fences::ProducerSince(since) if since.elapsed() < GRACE => false,
            _ => {
                self.fences = Fences::Producer;
                true
            }
        }
    }

    /// Takes back what [`arm`](Self::arm) announced.
    pub fn disarm(&mut self) {
        disarm(self.ring.consumer());
    }

    /// Tells the producer that nobody listens.
    pub fn close(&mut self) -> Wake {
        leave(self.ring.consumer(), self.ring.producer())
    }
}
