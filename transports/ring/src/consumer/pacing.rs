use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::storage::Storage;

/// Lets a streaming producer get ahead. A consumer right behind it takes cache lines that are
/// still being written, and each is fetched twice; pausing the consumer is faster for both. The
/// distance is seen by [`Storage::tail_hint`], which decides about the pace and nothing else. In a
/// conversation the consumer does not pause, since each side may wait for the other.
#[derive(Debug)]
pub(super) struct Pacing {
    /// Records since the last empty look.
    streamed: u64,
    /// The distance is checked next when `head` is here or beyond.
    check_at: u64,
    /// Lines between two checks.
    stride: u64,
    /// True if this process has sent something the other way since the last check: the two sides
    /// converse. A hint between threads, so it is relaxed.
    has_sent: Arc<AtomicBool>,
}

/// Records without an empty look after which the producer counts as streaming.
const STREAM: u64 = 32;
/// The distance at which the consumer follows, in lines; at most half the array.
const DISTANCE: u64 = 256;
/// Lines between two checks of the distance while pausing helps.
const SHORT_STRIDE: u64 = 128;
/// The most lines between two checks: doubled up to this while pausing does not help.
const LONG_STRIDE: u64 = 1 << 16;
/// The consumer pauses for this many steps at most, as long as the producer moves on.
const STEPS: u32 = 32;
const STEP: Duration = Duration::from_nanos(700);

impl Pacing {
    pub(super) fn new() -> Self {
        Self { streamed: 0, check_at: 0, stride: SHORT_STRIDE, has_sent: Arc::default() }
    }

    pub(super) fn share_sent(&mut self, has_sent: Arc<AtomicBool>) {
        self.has_sent = has_sent;
    }

    /// Counts a record.
    #[inline]
    pub(super) fn count(&mut self) {
        self.streamed += 1;
    }

    pub(super) fn note_empty(&mut self) {
        self.streamed = 0;
    }

    /// Pauses behind a streaming producer, where a check is due.
    pub(super) fn keep_distance(&mut self, storage: &impl Storage, head: u64) {
        let is_due = head >= self.check_at && self.streamed >= STREAM;
        if is_due && !self.has_sent.swap(false, Relaxed) {
            let helps = fall_behind(storage, head);
            self.stride = if helps { SHORT_STRIDE } else { (self.stride * 2).min(LONG_STRIDE) };
            self.check_at = head + self.stride;
        }
    }
}

/// Pauses until the producer is far enough ahead. False if it does not get far: it may wait for an
/// answer.
fn fall_behind(storage: &impl Storage, head: u64) -> bool {
    let distance = DISTANCE.min(storage.lines() / 2) as i64;
    // Relaxed: a hint.
    let read_tail = || storage.tail_hint().load(Relaxed);
    let ahead = |tail: u64| tail.wrapping_sub(head) as i64;
    let mut tail = read_tail();
    for _ in 0..STEPS {
        if ahead(tail) >= distance {
            return true;
        }
        let since = Instant::now();
        while since.elapsed() < STEP {
            spin_loop();
        }
        let before = std::mem::replace(&mut tail, read_tail());
        if tail == before {
            break;
        }
    }
    ahead(tail) >= distance / 2
}
