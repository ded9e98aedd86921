//! Sources as the system reports them to a runtime, with the same names on every platform.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{EDGES, Registered, wait_ready};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{EDGES, Registered, wait_ready};
