use rustix::time::{ClockId, clock_gettime};

/// A clock that never goes back, in ticks of about a millisecond: a few of them coarse, and a few nanoseconds
/// cheap. It jumps by 71 ticks at each full second, so that no time is ever taken for less than it is.
#[inline]
pub(crate) fn coarse_ticks() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // 2^20 ns are a tick; the nanoseconds have 30 bits.
    (now.tv_sec as u64) << 10 | (now.tv_nsec as u64) >> 20
}
