//! What several `anyipc` transports need of the operating system: the private directory, files and
//! locks that show which processes live, descriptors that a forked child does not inherit, sets of
//! them to wait for, the lock on a name, and the files beside it.
//!
//! An internal crate: it follows no semantic versioning. Use a transport.

#[cfg(unix)]
mod event;
#[cfg(unix)]
mod sleep;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod unsupported;
#[cfg(windows)]
mod windows;

pub mod half_open;
mod inventory;
mod lpsz;
mod name_lock;
mod named;
mod publish;
mod token;

#[cfg(unix)]
pub use event::Event;
#[cfg(unix)]
pub use sleep::{sleep, sleep_on};
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub use unix::*;
#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
pub use unsupported::*;
#[cfg(windows)]
pub use windows::*;

pub use inventory::{
    Contents, Group, GroupKind, ObjectFacts, ObjectFile, files_of, remove_groups, sweep_groups,
};
pub use lpsz::{show_lpsz, store_lpsz};
pub use name_lock::{FileNaming, NameLock};
pub use named::{Pace, check_named};
pub use publish::{UNPUBLISHED, UnpublishedFile, write_atomically};
pub use token::Token;

use std::io;

use anyipc_core::{Error, ErrorKind, Operation, Result};

/// The users that may reach an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The user of this process.
    User,
    /// Every user of the machine.
    System,
}

/// The two ways to hold a file's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    /// Shared with other holders.
    Shared,
    /// Held alone.
    Exclusive,
}

/// The kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "as_str says it")]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    Other,
}

impl FileKind {
    /// The kind in words.
    pub const fn as_str(self) -> &'static str {
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
pub struct Status {
    /// What it is.
    pub kind: FileKind,
    /// True if the owner is this process's effective user.
    pub ours: bool,
    /// True if neither group nor others may do anything with it.
    pub private: bool,
    /// Bytes of content.
    pub size: u64,
    /// Device and inode: what makes two names one file.
    pub id: FileId,
}

/// The identity of a file, valid while a process has it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FileId {
    pub device: u64,
    pub inode: u64,
}

/// True if the name stands for the file of this identity, which this process has open; false if the
/// name is gone or stands for another file.
pub fn is_at(dir: &Dir, name: &str, id: FileId) -> io::Result<bool> {
    match dir.id_of(name) {
        Ok(there) => Ok(there == id),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// As [`is_at`], for an open file.
pub fn same_file(dir: &Dir, name: &str, fd: &Fd) -> io::Result<bool> {
    is_at(dir, name, fd.status()?.id)
}

/// `Forked` if the process is no longer the one in which [`generation`] gave this number.
#[inline]
pub fn check_generation(generation_then: u32, op: Operation) -> Result<()> {
    if generation_then == generation() { Ok(()) } else { Err(Error::new(op, ErrorKind::Forked)) }
}
