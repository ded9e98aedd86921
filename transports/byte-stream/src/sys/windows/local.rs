use std::io;

use crate::sys::flow::{Duplex, Flow};
use crate::wire::MAX_ENCODED;
use anyipc_os::{Dir, Pipe};

/// A connection over a named pipe.
#[derive(Debug)]
pub struct Local {
    pipe: Pipe,
    flow: Flow,
}

impl Duplex for Pipe {
    fn send(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        Self::send(self, first, second)
    }

    fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Self::recv(self, bytes)
    }
}

impl Local {
    pub(super) fn connect(dir: &Dir, name: &str) -> io::Result<Self> {
        Pipe::at(dir, name).map(Self::new)
    }

    pub(super) fn new(pipe: Pipe) -> Self {
        Self { pipe, flow: Flow::new() }
    }

    pub(super) fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    pub(super) fn begin_sending(&self, capacity: u64) {
        self.flow.begin_sending(capacity);
    }

    pub(super) fn begin_receiving(&self) {
        self.pipe.read_ahead(MAX_ENCODED);
        self.flow.begin_receiving();
    }

    pub(super) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.flow.send(&self.pipe, first, second)
    }

    pub(super) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.flow.recv(&self.pipe, bytes)
    }

    pub(super) fn writable(&self) -> bool {
        self.flow.writable(&self.pipe)
    }

    pub(super) fn raise_send_buffer(&self) {
        self.flow.raise_limit();
    }
}
