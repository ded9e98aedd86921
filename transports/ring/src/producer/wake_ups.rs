use crate::primitive::{AtomicU32, Ordering};
use crate::state::{self, Wake};
use crate::storage::BLOCK;

/// When the consumer is woken.
#[derive(Debug)]
pub(super) struct WakeUps {
    /// True in a batch, which wakes the consumer at its end.
    is_corked: bool,
    /// The bits of the consumer's state word that end the fast path: [`WATCHED`], or without the
    /// waiting bits while this batch owes a wake-up.
    watched: u32,
    /// A record that ends in another block of this many lines than it begins in makes a flush due.
    /// 0: each record does.
    flush_every: u64,
}

const WATCHED: u32 = state::CLOSED | state::WAITING;

impl WakeUps {
    pub(super) fn new() -> Self {
        Self { is_corked: false, watched: WATCHED, flush_every: BLOCK }
    }

    pub(super) fn flush_after_each_record(&mut self) {
        self.flush_every = 0;
    }

    /// True if the consumer's state needs the checks of the slow path.
    #[inline]
    pub(super) fn is_watched(&self, consumer_state: u32) -> bool {
        consumer_state & self.watched != 0
    }

    #[inline]
    pub(super) fn is_flush_due(&self, start: u64, end: u64) -> bool {
        start ^ end >= self.flush_every
    }

    /// Which sleepers to wake now. In a batch none: the wake-up is owed.
    pub(super) fn take(&mut self, consumer_state: &AtomicU32) -> Wake {
        // Relaxed: `publish` has read it behind a fence before.
        if consumer_state.load(Ordering::Relaxed) & state::WAITING == 0 {
            Wake::None
        } else if self.is_corked {
            self.watched = state::CLOSED;
            Wake::None
        } else {
            state::take_waiting(consumer_state)
        }
    }

    pub(super) fn cork(&mut self) {
        self.is_corked = true;
    }

    /// Ends the batch. Which sleepers to wake for it.
    pub(super) fn uncork(&mut self, consumer_state: &AtomicU32) -> Wake {
        self.is_corked = false;
        let is_owed = std::mem::replace(&mut self.watched, WATCHED) != WATCHED;
        if is_owed { state::take_wake(consumer_state) } else { Wake::None }
    }
}
