use windows_sys::Win32::System::SystemInformation::GetTickCount64;

/// A monotonic clock in ticks of about a millisecond, the same in all processes. Its resolution is
/// 10 to 16 ticks, and reading it costs a few nanoseconds.
#[inline]
pub fn coarse_ticks() -> u64 {
    // SAFETY: the call only reads the clock.
    unsafe { GetTickCount64() }
}

/// Its width differs between platforms.
pub type Second = u64;

/// About a second of the coarse clock: it shows that another second has begun.
#[inline]
pub fn second() -> Second {
    coarse_ticks() >> 10
}
