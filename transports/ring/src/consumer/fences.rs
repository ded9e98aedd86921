use crate::primitive::{AtomicU32, Ordering, is_x86};
use crate::state;

#[cfg(all(test, loom))]
use crate::loom_tests::Grace;

/// Whether the producer fences its publications: on x86 it need not while the consumer polls.
#[derive(Debug)]
pub(super) struct Fences {
    mode: Mode,
    /// Empty looks since the last sleep, [`AWAKE`] at most.
    looks: u32,
    /// Empty looks with the ring at `missed_at`, [`MAX_MISSES`] at most.
    misses: u32,
    /// `head` at the last empty look.
    missed_at: u64,
}

#[derive(Debug)]
enum Mode {
    /// The producer fences, and everything it published without a fence is visible.
    Fenced,
    /// `UNFENCED` is set.
    Unfenced,
    /// `UNFENCED` is clear since then: what was published before may not be visible yet.
    FencedSince(Grace),
}

/// Empty looks without a sleep after which the consumer sets `UNFENCED`.
const AWAKE: u32 = if cfg!(loom) { 1 } else { 32 };
/// Empty looks at one position, some microseconds, after which it clears `UNFENCED`.
const MAX_MISSES: u32 = if cfg!(loom) { 2 } else { 128 };

/// Longer than a record that was published without a fence may stay invisible: 20 µs.
#[cfg(not(all(test, loom)))]
#[derive(Debug)]
struct Grace(std::time::Instant);

#[cfg(not(all(test, loom)))]
impl Grace {
    /// Begins now.
    fn new() -> Self {
        Self(std::time::Instant::now())
    }

    fn is_over(&self) -> bool {
        self.0.elapsed() >= std::time::Duration::from_micros(20)
    }
}

impl Fences {
    pub(super) fn new() -> Self {
        Self { mode: Mode::Fenced, looks: 0, misses: 0, missed_at: 0 }
    }

    /// Nothing was found at `head`: whether the producer should fence depends on how long that
    /// lasts.
    pub(super) fn note_empty(&mut self, own_state: &AtomicU32, head: u64) {
        if self.missed_at != head {
            (self.missed_at, self.misses) = (head, 0);
        }
        if self.misses == MAX_MISSES {
            return self.demand_fences(own_state);
        }
        self.misses += 1;
        if self.looks < AWAKE {
            self.looks += 1;
        } else if is_x86() && !matches!(self.mode, Mode::Unfenced) {
            // Relaxed: a producer that sees it late makes one fence too many.
            own_state.fetch_or(state::UNFENCED, Ordering::Relaxed);
            self.mode = Mode::Unfenced;
        }
    }

    /// Makes the producer fence from now on.
    fn demand_fences(&mut self, own_state: &AtomicU32) {
        if matches!(self.mode, Mode::Unfenced) {
            // SeqCst: not after the clock is read. A producer that still saw the bit has its record
            // in its store buffer by now; when the grace is over the record is visible.
            own_state.fetch_and(!state::UNFENCED, Ordering::SeqCst);
            self.mode = Mode::FencedSince(Grace::new());
        }
    }

    /// Before a sleep: makes the producer fence from now on. False if something that was published
    /// without a fence may still be invisible: look again.
    pub(super) fn may_sleep(&mut self, own_state: &AtomicU32) -> bool {
        self.looks = 0;
        self.demand_fences(own_state);
        match &self.mode {
            Mode::FencedSince(grace) if !grace.is_over() => false,
            _ => {
                self.mode = Mode::Fenced;
                true
            }
        }
    }
}
