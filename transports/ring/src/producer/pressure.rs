/// Whether a larger array would help.
#[derive(Debug)]
pub(super) struct Pressure {
    /// Times the ring was full with a lagging consumer since the last reset.
    full_count: u32,
    /// `tail` at the last such time, so that one stall counts once.
    counted_at: u64,
}

/// A consumer lags if it has not released the lines of this many records, or an eighth of the
/// array.
const LAG: u64 = 4;
/// An array for this many records is large enough: short ones travel fastest while the array stays
/// in the caches.
const ENOUGH: u64 = 1024;

impl Pressure {
    pub(super) fn new() -> Self {
        Self { full_count: 0, counted_at: u64::MAX }
    }

    #[inline]
    pub(super) fn full_count(&self) -> u32 {
        self.full_count
    }

    pub(super) fn reset(&mut self) {
        self.full_count = 0;
    }

    /// Lines ran out for a record of `needed` lines, in an array of `size` lines of which the
    /// consumer has not released `used`.
    pub(super) fn note(&mut self, tail: u64, used: u64, needed: u64, size: u64) {
        let lags = used >= (LAG * needed).min(size / 8);
        if lags && size < ENOUGH * needed && tail != self.counted_at {
            self.full_count += 1;
            self.counted_at = tail;
        }
    }
}
