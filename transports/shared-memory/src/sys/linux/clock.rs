use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of a clock that never goes back, a few milliseconds coarse and a few nanoseconds cheap.
#[inline]
pub(crate) fn coarse_millis() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
