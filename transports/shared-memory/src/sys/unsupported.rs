//! Platforms that are not built yet: the names of `linux`, each call `Unsupported`.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result, Source};

use super::{Bells, Credentials, FileId, Lock, Scope, Status};

fn no<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn page_size() -> usize {
    4096
}

pub(crate) fn generation() -> u32 {
    0
}

/// No descriptor exists here.
#[derive(Debug)]
pub(crate) struct Fd(Infallible);

impl Fd {
    pub(crate) fn status(&self) -> io::Result<Status> {
        match self.0 {}
    }
    pub(crate) fn reserve(&self, _len: usize) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn write_all_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(crate) struct Map(Infallible);

impl Map {
    pub(crate) fn new(_fd: &Fd, _len: usize) -> io::Result<Self> {
        no()
    }
    pub(crate) fn as_ptr(&self) -> *mut u8 {
        match self.0 {}
    }
    pub(crate) fn len(&self) -> usize {
        match self.0 {}
    }
}

pub(crate) fn anonymous(_len: usize) -> io::Result<Fd> {
    no()
}

pub(crate) fn check_anonymous(_fd: &Fd, _len: usize) -> io::Result<()> {
    no()
}

pub(crate) fn futex_wait(_word: &AtomicU32, _expected: u32, timeout: Duration) {
    std::thread::sleep(timeout);
}

pub(crate) fn futex_wake(_word: &AtomicU32, _count: u32) {}

#[derive(Debug)]
pub(crate) struct Dir(Infallible);

impl Dir {
    pub(crate) fn open(_scope: Scope, op: Operation) -> Result<Self> {
        Err(Error::new(op, ErrorKind::Unsupported)
            .because("shm:// is not built for this platform yet, see ROADMAP.md; use inproc://"))
    }
    pub(crate) fn path(&self) -> &Path {
        match self.0 {}
    }
    pub(crate) fn open_file(&self, _name: &str) -> io::Result<Fd> {
        match self.0 {}
    }
    pub(crate) fn create_file(&self, _name: &str) -> io::Result<Fd> {
        match self.0 {}
    }
    pub(crate) fn nameless_file(&self) -> io::Result<Fd> {
        match self.0 {}
    }
    pub(crate) fn link_nameless(&self, _fd: &Fd, _name: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn link(&self, _from: &str, _to: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn unlink(&self, _name: &str) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn stat(&self, _name: &str) -> io::Result<Status> {
        match self.0 {}
    }
    pub(crate) fn list(&self) -> io::Result<Vec<OsString>> {
        match self.0 {}
    }
}

pub(crate) fn same_file(dir: &Dir, _name: &str, _fd: &Fd) -> io::Result<bool> {
    match dir.0 {}
}

pub(crate) fn try_lock(_fd: &Fd, _lock: Lock) -> io::Result<bool> {
    no()
}

pub(crate) fn is_held(_fd: &Fd) -> io::Result<bool> {
    no()
}

pub(crate) fn try_write_lock(_fd: &Fd) -> io::Result<bool> {
    no()
}

pub(crate) fn write_unlock(_fd: &Fd) {}

pub(crate) fn holders(_id: FileId) -> Vec<u32> {
    Vec::new()
}

pub(crate) fn coarse_millis() -> u64 {
    0
}

pub(crate) fn user() -> u32 {
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
    pub(crate) fn watch(&self, _socket: &Socket, _number: u32) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn clear(&self, _told: &mut dyn FnMut(u32)) {
        match self.0 {}
    }
    pub(crate) fn source(&self) -> Result<Source> {
        match self.0 {}
    }
}

pub(crate) fn overwrite(_file: &Fd, _text: &[u8]) -> io::Result<()> {
    no()
}

pub(crate) fn read_text(_file: &Fd, _max: usize) -> io::Result<String> {
    no()
}
