unsafe extern "C" {
    /// A clock in nanoseconds, 0 if there is no such clock. Since macOS 10.12.
    safe fn clock_gettime_nsec_np(clock: libc::clockid_t) -> u64;
}

/// A monotonic clock in ticks of about a millisecond. Its resolution is a few ticks, and reading it
/// costs a few nanoseconds, without a system call: the kernel writes the time into a shared page.
#[inline]
pub fn coarse_ticks() -> u64 {
    // 2^20 ns are a tick.
    clock_gettime_nsec_np(libc::CLOCK_MONOTONIC_RAW_APPROX) >> 20
}

/// Nanoseconds since the machine started, with the time that it slept. The same in all processes,
/// and no change of the day's time changes it.
pub fn boot_nanos() -> u64 {
    clock_gettime_nsec_np(libc::CLOCK_MONOTONIC_RAW)
}
