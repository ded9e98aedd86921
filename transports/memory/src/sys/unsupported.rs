//! Platforms that are not built yet: the names of `linux`, each call `Unsupported`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Operation, Result, Source};
use anyipc_os::{Dir, Fd, Set};
use memmap2::MmapRaw;

use super::{Credentials, Doorbell};

fn no<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether there is shared memory on this platform: here there is none.
///
/// # Errors
/// `Unsupported`.
pub fn check_platform(operation: Operation) -> Result<()> {
    Err(Error::new(operation, ErrorKind::Unsupported)
        .because("shared memory is not built for this platform yet, see ROADMAP.md; use inproc://"))
}

/// Maps the first bytes of a file.
pub(crate) fn map_file(_fd: &Fd, _len: usize) -> io::Result<MmapRaw> {
    no()
}

/// Sees to it that a part has memory.
pub(crate) fn populate(_map: &MmapRaw, _start: usize, _len: usize) -> io::Result<()> {
    no()
}

/// Nameless memory: there is none here.
#[derive(Debug)]
pub struct Anonymous(Infallible);

impl Anonymous {
    /// Without any reserved.
    pub fn new(_len: usize, _wanted: usize) -> io::Result<Self> {
        no()
    }
    /// Reserves the next piece.
    pub fn reserve_some(&mut self) -> io::Result<bool> {
        match self.0 {}
    }
    /// Gives the last piece back.
    pub fn give_back_some(&mut self) -> bool {
        match self.0 {}
    }
    /// Bytes that are reserved in the end.
    pub fn wanted(&self) -> usize {
        match self.0 {}
    }
    /// The memory.
    pub fn fd(&self) -> &Fd {
        match self.0 {}
    }
}

/// All at once.
pub fn anonymous(_len: usize, _wanted: usize) -> io::Result<Fd> {
    no()
}

/// Accepts memory from a peer.
pub fn check_anonymous(_fd: &Fd, _len: usize) -> io::Result<()> {
    no()
}

/// The bytes of a peer's memory.
pub fn sealed_len(_fd: &Fd) -> io::Result<usize> {
    no()
}

/// A clock that never goes back, in ticks of about a millisecond.
pub fn coarse_ticks() -> u64 {
    0
}

/// Nanoseconds since the machine started.
pub fn boot_nanos() -> u64 {
    0
}

/// A second of the day's time.
pub type Second = i64;

/// The second of the day's time.
pub fn second() -> Second {
    0
}

#[derive(Debug)]
pub(crate) struct Socket(Infallible);

impl Socket {
    pub(crate) fn connect(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
    }
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        no()
    }
    pub(crate) fn hang_up(&self) {
        match self.0 {}
    }
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        match self.0 {}
    }
    pub(crate) fn take_descriptors(&self) {
        match self.0 {}
    }
    pub(crate) fn send_with(&self, _bytes: &[u8], _fds: &[&Fd]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn recv_with(&self, _bytes: &mut [u8], _fds: &mut Vec<Fd>) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn hung_up(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn ring_doorbell(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn take_doorbell_bytes(&self, _fds: &mut Vec<Fd>) -> Doorbell {
        match self.0 {}
    }
    pub(crate) fn source(self: &Arc<Self>) -> Result<Source> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Listener(Infallible);

impl Listener {
    pub(crate) fn bind(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
    }
    pub(crate) fn accept(&self) -> io::Result<Option<Socket>> {
        match self.0 {}
    }
}

pub(crate) fn watch_numbered(_set: &Set, socket: &Socket, _number: u32) -> io::Result<()> {
    match socket.0 {}
}

pub(crate) fn take_ready(_set: &Set, _see: &mut dyn FnMut(u32)) {}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.0 {}
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Listener {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self.0 {}
    }
}
