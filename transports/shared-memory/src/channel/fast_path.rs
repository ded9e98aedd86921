use anyipc_memory::{Second, second};

/// How many frames may skip the read of the clock that every frame needs to check the peer now and
/// then.
///
/// After 16 short frames within one clock tick, the next 16 skip the clock read, but never across a
/// second boundary, which costs less to see. A sender that pauses in between therefore still checks
/// that its peer is alive before it sends on.
#[derive(Debug, Default)]
pub(super) struct FastPath {
    /// The clock's value when it was last read.
    tick: u64,
    /// Frames that read the clock and found `tick`.
    frames: u32,
    /// The second in which frames were last allowed to skip.
    second: Second,
}

/// Frames within one tick before some may skip, and how many skip then.
const RUN: u32 = 16;

impl FastPath {
    /// Bytes of a frame that is not short: the clock costs little beside it, and a sender that is
    /// even faster gains nothing.
    pub(super) const LONG: usize = 512;

    /// A frame of `len` bytes has read the clock, which shows `now`: how many more may skip that
    /// while [`is_open`](Self::is_open).
    pub(super) fn grant(&mut self, len: usize, now: u64) -> u64 {
        if self.tick != now {
            (self.tick, self.frames) = (now, 0);
        }
        self.frames = self.frames.saturating_add(1);
        if len >= Self::LONG || self.frames <= RUN {
            return 0;
        }
        self.second = second();
        RUN.into()
    }

    /// True in the second in which frames were allowed to skip.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.second == second()
    }

    #[cfg(test)]
    pub(super) fn long_ago(&mut self) {
        self.second = 0;
    }
}
