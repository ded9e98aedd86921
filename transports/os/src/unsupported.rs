//! Platforms that are not built yet: the names of `unix`, each call `Unsupported`.

#![expect(missing_docs, reason = "documented in unix")]

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Interest, Operation, Result, Source};

use crate::{FileId, FileKind, Lock, Scope, Status};

pub fn generation() -> u32 {
    0
}

pub fn user() -> u32 {
    0
}

/// True if users have numbers, and [`user`] tells this process's.
pub const USERS_HAVE_NUMBERS: bool = false;

/// No descriptor exists here.
#[derive(Debug)]
pub struct Fd(Infallible);

impl Fd {
    pub fn status(&self) -> io::Result<Status> {
        match self.0 {}
    }
    pub fn reserve(&self, _len: usize, _timeout: Duration) -> io::Result<()> {
        match self.0 {}
    }
    pub fn lengthen(&self, _len: usize) -> io::Result<()> {
        match self.0 {}
    }
    pub fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        match self.0 {}
    }
    pub fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        match self.0 {}
    }
}

impl std::os::fd::AsFd for Fd {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct Dir(Infallible);

impl Dir {
    pub fn open(_scope: Scope, op: Operation) -> Result<Self> {
        Err(Error::new(op, ErrorKind::Unsupported).because(
            "this transport is not built for this platform yet, see ROADMAP.md; use inproc://",
        ))
    }
    pub fn secrets(op: Operation) -> Result<Self> {
        Self::open(Scope::User, op)
    }
    pub fn shared(op: Operation) -> Result<Self> {
        Self::open(Scope::System, op)
    }
    pub fn shared_of(_user: u32, op: Operation) -> Result<Option<Self>> {
        Self::open(Scope::System, op).map(Some)
    }
    pub fn open_to_all(&self, _name: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub fn path(&self) -> &Path {
        match self.0 {}
    }
    pub fn open_file(&self, _name: &str) -> io::Result<Fd> {
        match self.0 {}
    }
    pub fn create_file(&self, _name: &str) -> io::Result<Fd> {
        match self.0 {}
    }
    pub fn nameless_file(&self) -> io::Result<Fd> {
        match self.0 {}
    }
    pub fn link_nameless(&self, _fd: &Fd, _name: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub fn link(&self, _from: &str, _to: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub fn unlink(&self, _name: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub fn stat(&self, _name: &str) -> io::Result<Status> {
        match self.0 {}
    }
    pub fn id_of(&self, _name: &str) -> io::Result<FileId> {
        match self.0 {}
    }
    pub fn list(&self) -> io::Result<Vec<OsString>> {
        match self.0 {}
    }
}

/// No memory is mapped here.
pub fn page_size() -> usize {
    1
}

pub fn open_read(_path: &Path) -> io::Result<Fd> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn try_lock(fd: &Fd, _lock: Lock) -> io::Result<bool> {
    match fd.0 {}
}

pub fn unlock(fd: &Fd) {
    match fd.0 {}
}

pub fn hold(fd: &Fd) -> io::Result<()> {
    match fd.0 {}
}

pub fn is_held(fd: &Fd) -> io::Result<bool> {
    match fd.0 {}
}

pub fn try_write_lock(fd: &Fd) -> io::Result<bool> {
    match fd.0 {}
}

pub fn write_unlock(fd: &Fd) {
    match fd.0 {}
}

pub fn try_lock_number(fd: &Fd, _number: u32) -> io::Result<bool> {
    match fd.0 {}
}

pub fn unlock_number(fd: &Fd, _number: u32) {
    match fd.0 {}
}

pub fn is_number_locked(fd: &Fd, _number: u32) -> io::Result<bool> {
    match fd.0 {}
}

#[derive(Debug)]
pub struct WakeFifo(Infallible);

impl WakeFifo {
    pub const KIND: FileKind = FileKind::Fifo;
    pub fn make(dir: &Dir, _name: &str) -> io::Result<Self> {
        match dir.0 {}
    }
    pub fn open(dir: &Dir, _name: &str) -> io::Result<Self> {
        match dir.0 {}
    }
    pub fn wake(&self) {
        match self.0 {}
    }
    pub fn drain(&self) -> bool {
        match self.0 {}
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for WakeFifo {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.0 {}
    }
}

pub trait Watched {}

impl<T> Watched for T {}

#[derive(Debug)]
pub struct Spare;

pub fn is_shortage(_error: &io::Error) -> bool {
    false
}

pub fn lacks_descriptors(_error: &io::Error) -> bool {
    false
}

#[derive(Debug)]
pub struct Set(Infallible);

impl Set {
    pub fn new() -> io::Result<Arc<Self>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    pub fn watch<T>(&self, _what: &T, _interest: Interest) -> io::Result<()> {
        match self.0 {}
    }
    pub fn forget<T>(&self, _what: &T) {
        match self.0 {}
    }
    pub fn watch_for<T>(&self, _what: &T, _interest: Interest) -> io::Result<()> {
        match self.0 {}
    }
    pub fn spare(&self) -> io::Result<Spare> {
        match self.0 {}
    }
    pub fn wake_at(&self, _moment: Option<Instant>) -> io::Result<()> {
        match self.0 {}
    }
    pub fn source(self: &Arc<Self>) -> Source {
        match self.0 {}
    }
}

#[derive(Debug)]
pub struct SourceSet(Infallible);

impl SourceSet {
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
    pub fn watch_only(
        &mut self,
        _sources: &[(Source, Interest)],
        _moment: Option<Instant>,
    ) -> io::Result<()> {
        match self.0 {}
    }
    pub fn source(&self) -> Source {
        match self.0 {}
    }
}

pub fn holders(_id: FileId) -> Option<Vec<u32>> {
    None
}

pub fn is_stopped(_pid: u32) -> bool {
    false
}

pub fn overwrite(file: &Fd, _text: &[u8]) -> io::Result<()> {
    match file.0 {}
}

pub fn read_text(file: &Fd, _max: usize) -> io::Result<String> {
    match file.0 {}
}
