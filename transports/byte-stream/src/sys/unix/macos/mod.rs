//! macOS: a local socket's buffer says nothing of what is in flight, and a socket that is on its way to another process
//! may not be closed here. So a sender counts what it has on its way, and the way back comes with a token.

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
    // One that is gone already cannot be set up.
    prepare(&socket).map_err(|_| io::Error::from(rustix::io::Errno::CONNABORTED))?;
    Ok(socket)
}

fn prepare(socket: &OwnedFd) -> io::Result<()> {
    ioctl_fioclex(socket)?;
    ioctl_fionbio(socket, true)?;
    no_signal(socket)
}
