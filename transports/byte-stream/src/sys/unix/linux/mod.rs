//! Linux: the kernel's buffers limit what is in flight, and streams are handed over by
//! `SCM_RIGHTS`.

mod send_room;
mod stream;

pub(crate) use send_room::SendRoom;
pub use stream::Stream;

use std::io;
use std::os::fd::OwnedFd;

use anyipc_os::Fd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, accept_with, socket_with};

/// The flags of every new socket.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A fresh stream socket.
pub(super) fn fresh(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::STREAM, FLAGS, None)?)
}

/// The next connector's socket.
pub(super) fn accept(listener: &Fd) -> io::Result<OwnedFd> {
    Ok(accept_with(listener, FLAGS)?)
}
