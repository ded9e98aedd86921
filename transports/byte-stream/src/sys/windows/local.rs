use std::fmt::Write as _;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::credit::BUFFER;
use crate::sys::flow::{Duplex, Flow};
use crate::wire::MAX_ENCODED;
use anyipc_os::{Dir, FileKind, Pipe, PipeListener, overwrite, read_text};

/// The beginning of the names of our pipes. A file in the private directory contains the pipe name
/// of an owner.
const LEAD: &str = r"\\.\pipe\anyipc-";
/// How long a removed file may stay visible.
const LEAVING: Duration = Duration::from_secs(1);

/// Listens at a pipe with a random name, and writes that name into the file `name`.
pub(super) fn listen(dir: &Dir, name: &str) -> io::Result<PipeListener> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let mut pipe = LEAD.to_owned();
    for byte in random {
        let _ = write!(pipe, "{byte:02x}");
    }
    let listener = PipeListener::new(&pipe, BUFFER)?;
    let deadline = Instant::now() + LEAVING;
    loop {
        match dir.create_file(name) {
            Ok(file) => {
                overwrite(&file, pipe.as_bytes())?;
                return Ok(listener);
            }
            // A removed file stays visible until a connector that was reading it has closed it.
            Err(error) => match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::PermissionDenied
                    if Instant::now() < deadline =>
                {
                    thread::yield_now();
                }
                io::ErrorKind::AlreadyExists => return Err(io::ErrorKind::AddrInUse.into()),
                _ => return Err(error),
            },
        }
    }
}

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
        let file = dir.open_file(name)?;
        let status = file.status()?;
        let pipe = read_text(&file, 256)?;
        if status.kind != FileKind::Regular || !status.ours || !pipe.starts_with(LEAD) {
            // An empty file is about to be written.
            let kind =
                if status.size == 0 { io::ErrorKind::NotFound } else { io::ErrorKind::InvalidData };
            return Err(kind.into());
        }
        Pipe::connect(&pipe).map(Self::new)
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
