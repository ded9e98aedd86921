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
