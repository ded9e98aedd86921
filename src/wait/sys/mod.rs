//! What the operating system does for waiting. The same names on every platform.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{Bell, poll};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{Bell, poll};
