//! Everything that asks the operating system, behind the same names on each platform.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(any(target_os = "linux", windows)))]
mod unsupported;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
pub(crate) use linux::is_shortage;
#[cfg(target_os = "linux")]
pub use linux::{Listener, Stream};
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use unsupported::is_shortage;
#[cfg(not(any(target_os = "linux", windows)))]
pub use unsupported::{Listener, Stream};
#[cfg(windows)]
pub(crate) use windows::is_shortage;
#[cfg(windows)]
pub use windows::{Listener, Stream};

/// The process and the user on the other side of a local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) pid: u32,
    /// Where users have numbers. Where they have none, the system admits nobody but this process's user.
    pub(crate) uid: Option<u32>,
}
