use windows_sys::Win32::System::SystemInformation::GetTickCount64;

/// A monotonic clock in ticks of about a millisecond, the same in all processes. Its resolution is
/// 10 to 16 ticks, and reading it costs a few nanoseconds.
#[inline]
pub fn coarse_ticks() -> u64 {
    // SAFETY: the call only reads the clock.
    unsafe { GetTickCount64() }
}

/// Nanoseconds since the machine started, with the time that it slept, in steps of 10 to 16 ms. The
/// same in all processes, and no change of the day's time changes it.
pub fn boot_nanos() -> u64 {
    coarse_ticks().saturating_mul(1_000_000)
}

/// Its width differs between platforms.
pub type Second = u64;

/// About a second of the coarse clock: it shows that another second has begun.
#[inline]
pub fn second() -> Second {
    coarse_ticks() >> 10
}
