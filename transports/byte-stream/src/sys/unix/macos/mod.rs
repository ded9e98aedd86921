//! macOS: the buffer of a local socket does not tell what is in flight, and a socket that is on its
//! way to another process must not be closed here. So a sender counts what is on its way, and the
//! second stream comes with a join token.

mod stream;

pub use stream::Stream;

use std::io;
use std::os::fd::OwnedFd;

use anyipc_os::{Fd, no_signal};
use rustix::io::{ioctl_fioclex, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketType, socket};

/// A fresh stream socket.
pub(super) fn fresh(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = socket(family, SocketType::STREAM, None)?;
    prepare(&socket)?;
    Ok(socket)
}

/// The next connector's socket.
pub(super) fn accept(listener: &Fd) -> io::Result<OwnedFd> {
    let socket = rustix::net::accept(listener)?;
    // Setting options fails for a connector that is gone already.
    prepare(&socket).map_err(|_| io::Error::from(rustix::io::Errno::CONNABORTED))?;
    Ok(socket)
}

fn prepare(socket: &OwnedFd) -> io::Result<()> {
    ioctl_fioclex(socket)?;
    ioctl_fionbio(socket, true)?;
    no_signal(socket)
}
