//! How often a sender looks at the clock.

use anyipc_memory::{Second, second};

/// A sender in haste does not read the clock for each short frame: where it stood still for so many, it is read no sooner
/// than after as many more, or in the next second, which costs less to ask for: one that pauses in their midst must not
/// send the rest of them into the void.
const RUN: u32 = 16;
/// Bytes of a frame that is not short: the clock costs little beside it, and a sender that is faster still gains nothing.
const LONG: usize = 512;

/// How many frames came while the clock showed this, and when the last run began.
#[derive(Debug, Default)]
pub(super) struct Haste {
    clock: u64,
    frames: u32,
    second: Second,
}

impl Haste {
    /// How many more frames of `len` bytes may go without a look at the clock, which shows `now`, while it
    /// [lasts](Self::lasts).
    pub(super) fn allows(&mut self, len: usize, now: u64) -> u64 {
        if self.clock != now {
            *self = Self { clock: now, frames: 0, second: self.second };
        }
        self.frames = self.frames.saturating_add(1);
        if len >= LONG || self.frames <= RUN {
            return 0;
        }
        self.second = second();
        RUN.into()
    }

    /// Whether it is still the second in which the run began.
    #[inline]
    pub(super) fn lasts(&self) -> bool {
        self.second == second()
    }

    #[cfg(test)]
    pub(super) fn long_ago(&mut self) {
        self.second = 0;
    }
}
