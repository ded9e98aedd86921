use rustix::time::{ClockId, clock_gettime};

/// A monotonic clock in ticks of about a millisecond. Its resolution is a few ticks, and reading it
/// costs a few nanoseconds. It jumps by 71 ticks at each full second, so it never shows less time
/// than has passed.
#[inline]
pub fn coarse_ticks() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    // 2^20 ns are a tick; the nanoseconds have 30 bits.
    (now.tv_sec as u64) << 10 | (now.tv_nsec as u64) >> 20
}

/// Its width differs between platforms.
#[cfg_attr(target_env = "musl", expect(deprecated, reason = "its width changed with musl 1.2"))]
pub type Second = libc::time_t;

/// The second of the wall clock, which may be set: it shows that another second has begun, at the
/// cost of a load.
#[inline]
pub fn second() -> Second {
    // SAFETY: without a place to write to, the call only returns the time.
    unsafe { libc::time(std::ptr::null_mut()) }
}
