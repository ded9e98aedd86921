//! Everything that asks the operating system, behind the same names on each platform.

#[cfg(any(not(target_os = "linux"), anyipc_as_macos))]
mod back_off;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", anyipc_as_macos))]
mod macos;
mod map;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod unsupported;
#[cfg(windows)]
mod windows;

#[cfg(any(target_os = "linux", target_os = "macos"))]
use unix as platform;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
use unsupported as platform;
#[cfg(windows)]
use windows as platform;

pub(crate) use platform::*;
pub use platform::{
    Anonymous, Second, anonymous, boot_nanos, check_anonymous, check_platform, coarse_ticks,
    sealed_len, second,
};

#[cfg(not(any(target_os = "macos", all(target_os = "linux", not(anyipc_as_macos)))))]
pub use back_off::parks;
#[cfg(not(any(target_os = "macos", all(target_os = "linux", not(anyipc_as_macos)))))]
pub(crate) use back_off::{futex_wait, futex_wake};
pub use map::Map;
#[cfg(any(target_os = "macos", all(target_os = "linux", not(anyipc_as_macos))))]
pub use platform::parks;

pub(crate) use anyipc_os::{
    Contents, Dir, Fd, FileId, FileKind, FileNaming, Group, GroupKind, Lock, NameLock, ObjectFacts,
    ObjectFile, Pace, Set, Token, UNPUBLISHED, UnpublishedFile, WakeFifo, check_generation,
    check_named, files_of, generation, hold, is_at, is_number_locked, page_size, remove_groups,
    sweep_groups, try_lock, try_lock_number, unlock, unlock_number, user,
};

/// The process and the user on the other side of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// `None` if it has no number in this PID namespace.
    pub(crate) pid: Option<u32>,
    pub(crate) uid: u32,
}

/// What was taken off a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Doorbell {
    /// At least one doorbell byte.
    pub(crate) rang: bool,
    /// The end of the connection.
    pub(crate) ended: bool,
}
