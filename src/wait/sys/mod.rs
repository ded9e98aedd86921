//! The system's calls for waiting, with the same names on every platform.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{PolledWaker, poll};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{PolledWaker, poll};
