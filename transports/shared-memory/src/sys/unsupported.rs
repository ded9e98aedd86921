//! Platforms that are not built yet: the names of `linux`, each call `Unsupported`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result, Source};
use anyipc_os::{Dir, Fd, Set};

use super::{Bells, Credentials};

fn no<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether there is shared memory on this platform: here there is none.
///
/// # Errors
/// `Unsupported`.
pub fn check_platform(operation: Operation) -> Result<()> {
    Err(Error::new(operation, ErrorKind::Unsupported).because(
        "shared memory is not built for this platform yet, see ROADMAP.md; use local://, tcp:// or pipe:// where they \
         are, or inproc://",
    ))
}

pub(crate) fn page_size() -> usize {
    4096
}

#[derive(Debug)]
pub(crate) struct Map(Infallible);

impl Map {
    pub(crate) fn new(_fd: &Fd, _len: usize) -> io::Result<Self> {
        no()
    }
    pub(crate) fn reserve(&self, _start: usize, _len: usize) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        match self.0 {}
    }
    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Anonymous(Infallible);

impl Anonymous {
    pub(crate) fn new(_len: usize, _wanted: usize) -> io::Result<Self> {
        no()
    }
    pub(crate) fn reserve_some(&mut self) -> io::Result<bool> {
        match self.0 {}
    }
    pub(crate) fn give_back_some(&mut self) -> bool {
        match self.0 {}
    }
    pub(crate) fn wanted(&self) -> usize {
        match self.0 {}
    }
    pub(crate) fn fd(&self) -> &Fd {
        match self.0 {}
    }
}

pub(crate) fn anonymous(_len: usize, _wanted: usize) -> io::Result<Fd> {
    no()
}

pub(crate) fn check_anonymous(_fd: &Fd, _len: usize) -> io::Result<()> {
    no()
}

pub(crate) fn sealed_len(_fd: &Fd) -> io::Result<usize> {
    no()
}

pub(crate) fn futex_wait(_word: &AtomicU32, _expected: u32, timeout: Duration) {
    std::thread::sleep(timeout);
}

pub(crate) fn futex_wake(_word: &AtomicU32, _count: u32) {}

/// A clock that never goes back, in ticks of about a millisecond.
pub fn coarse_ticks() -> u64 {
    0
}

pub(crate) type Second = i64;

pub(crate) fn second() -> Second {
    0
}

#[derive(Debug)]
pub(crate) struct Socket(Infallible);

impl Socket {
    pub(crate) fn connect(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
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
    pub(crate) fn ring_bell(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn take_bells(&self, _fds: &mut Vec<Fd>) -> Bells {
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

pub(crate) fn told(_set: &Set, _tell: &mut dyn FnMut(u32)) {}

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

#[cfg(windows)]
impl anyipc_core::Handles for Socket {
    fn each(&self, _see: &mut dyn FnMut(&Arc<std::os::windows::io::OwnedHandle>)) {
        match self.0 {}
    }
}

#[cfg(windows)]
impl anyipc_core::Handles for Listener {
    fn each(&self, _see: &mut dyn FnMut(&Arc<std::os::windows::io::OwnedHandle>)) {
        match self.0 {}
    }
}
