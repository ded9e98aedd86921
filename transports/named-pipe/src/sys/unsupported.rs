//! Platforms that are not built yet: the names of `linux`, each call `Unsupported`.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::Source;
use anyipc_os::{Dir, Fd};

fn no<T>() -> io::Result<T> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "named pipes are not built for this platform yet, see ROADMAP.md; use inproc://",
    ))
}

#[derive(Debug)]
pub(crate) struct Fifo(Infallible);

impl Fifo {
    pub(crate) fn make(_dir: &Dir, _name: &str) -> io::Result<()> {
        no()
    }
    pub(crate) fn reader(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
    }
    pub(crate) fn writer(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
    }
    pub(crate) fn watcher(_dir: &Dir, _name: &str) -> io::Result<Self> {
        no()
    }
    pub(crate) fn fd(&self) -> &Fd {
        match self.0 {}
    }
    pub(crate) fn write(&self, _bytes: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn write_two(&self, _first: &[u8], _second: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn read(&self, _bytes: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn writable(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn hung_up(&self) -> bool {
        match self.0 {}
    }
    pub(crate) fn capacity(&self) -> io::Result<usize> {
        match self.0 {}
    }
    pub(crate) fn resize(&self, _capacity: usize) -> io::Result<()> {
        match self.0 {}
    }
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        match self.0 {}
    }
}

pub(crate) fn rough_time() -> Duration {
    Duration::ZERO
}

pub(crate) fn largest() -> usize {
    1 << 20
}
