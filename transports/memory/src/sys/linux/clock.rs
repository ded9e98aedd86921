use rustix::time::{ClockId, clock_gettime};

/// A clock that never goes back, in ticks of about a millisecond: a few of them coarse, and a few
/// nanoseconds cheap. It jumps by 71 ticks at each full second, so that no time is ever taken for
/// less than it is.
#[inline]
pub fn coarse_ticks() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // 2^20 ns are a tick; the nanoseconds have 30 bits.
    (now.tv_sec as u64) << 10 | (now.tv_nsec as u64) >> 20
}

/// Not as wide everywhere.
pub type Second = libc::time_t;

/// The second of the day's time, which may be set: good for telling that it is another one, at the
/// cost of a load.
#[inline]
pub fn second() -> Second {
    // SAFETY: without a place to write to, the call only returns the time.
    unsafe { libc::time(std::ptr::null_mut()) }
}
