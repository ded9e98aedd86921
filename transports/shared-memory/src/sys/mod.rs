//! Everything that asks the operating system, behind the same names on each platform.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod unsupported;

#[cfg(target_os = "linux")]
pub(crate) use linux::*;
#[cfg(not(target_os = "linux"))]
pub(crate) use unsupported::*;

use anyipc_core::{Error, ErrorKind, Operation, Result};

/// Who may reach an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The user of this process.
    User,
    /// Every user of the machine.
    System,
}

/// The two ways to hold a file's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
}

/// What a directory entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "no file is looked at there yet"))]
pub(crate) enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Other,
}

impl FileKind {
    /// The kind in words.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Regular => "a file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Other => "a device",
        }
    }
}

/// The status of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) kind: FileKind,
    /// True if the owner is this process's effective user.
    pub(crate) ours: bool,
    pub(crate) size: u64,
    /// Device and inode: what makes two names one file.
    pub(crate) id: FileId,
}

/// The identity of a file while someone holds it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FileId {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// The process and the user on the other side of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
}

/// What lay on a socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bells {
    /// At least one bell.
    pub(crate) rung: bool,
    /// The end.
    pub(crate) hung_up: bool,
}

/// `Forked` if the process is no longer the one in which [`generation`] gave this number.
#[inline]
pub(crate) fn check_generation(generation_then: u32, op: Operation) -> Result<()> {
    if generation_then == generation() { Ok(()) } else { Err(Error::new(op, ErrorKind::Forked)) }
}
