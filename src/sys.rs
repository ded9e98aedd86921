//! What the operating system does for waiting. The same names on every platform.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{Bell, poll};

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::{Bell, poll};
