//! The calls of the operating system, behind the same names on each platform.

#[cfg(any(windows, target_os = "macos", anyipc_as_macos))]
mod flow;
#[cfg(any(not(target_os = "linux"), anyipc_as_macos))]
mod send_room;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod unsupported;
#[cfg(windows)]
mod windows;

#[cfg(any(target_os = "linux", target_os = "macos"))]
use unix as system;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use unsupported as system;
#[cfg(windows)]
use windows as system;

pub use system::{Listener, Stream};

#[cfg(any(not(target_os = "linux"), anyipc_as_macos))]
pub(crate) use send_room::SendRoom;
#[cfg(all(target_os = "linux", not(anyipc_as_macos)))]
pub(crate) use system::SendRoom;

/// The process and the user on the other side of a local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials {
    /// `None` for a process without a number in this PID namespace.
    pub pid: Option<u32>,
    /// `None` where users have no numbers. There the system admits only this process's user.
    pub uid: Option<u32>,
}
