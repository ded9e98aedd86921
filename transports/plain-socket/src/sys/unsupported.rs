//! Where the contract cannot be kept: each call is `Unsupported`, and says why.

use std::convert::Infallible;
use std::io;

use anyipc_byte_stream::{Listener, Stream};
use anyipc_core::{Error, ErrorKind, Name, Operation, Result};

/// interprocess opens named pipes without `FILE_FLAG_OVERLAPPED` (its `os/windows/named_pipe`,
/// 2.4.7): a handle on which a read blocks every write, with no event to wait for, no deadline
/// (`set_recv_timeout` is `Unsupported`), and a connect that waits for as long as the owner is
/// busy. Its non-blocking mode is `PIPE_NOWAIT`, which takes a part of a frame, and which nothing
/// but polling can wait for.
#[cfg(windows)]
const WHY: &str = "plain:// is not for Windows: the named pipes of the interprocess crate have no \
                   event to wait for and no deadline, and take a part of a message; use local:// \
                   between programs with this library";
/// A Unix socket there takes a part of a frame when its buffer fills up, and the room in it cannot
/// be known before; `local://` counts credit that its peer returns, which only a peer with this
/// library does.
#[cfg(not(windows))]
const WHY: &str = "plain:// is for Linux only so far: elsewhere the room in a socket is not known \
                   before a send, so a part of a message could be sent; use local:// between \
                   programs with this library";

fn no() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, WHY)
}

/// The socket of a path.
#[derive(Debug)]
pub(crate) struct SocketFile(Infallible);

impl SocketFile {
    pub(crate) fn is_there(&self) -> bool {
        match self.0 {}
    }
}

pub(crate) fn bind(
    _name: &Name,
    _shared: bool,
    operation: Operation,
) -> Result<Option<(Listener, Option<SocketFile>)>> {
    Err(Error::new(operation, ErrorKind::Unsupported).because(WHY))
}

pub(crate) fn connect(_name: &Name) -> io::Result<Stream> {
    Err(no())
}

pub(crate) fn is_listed(_name: &Name) -> bool {
    false
}
