use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use anyipc_os::{Dir, Fd, accept_stream, stream_socket, take_descriptors};
use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketAddrUnix, bind, getsockname, listen};

use super::Stream;
use super::socket::family_of;

/// The length of the queue of connectors.
const BACKLOG: i32 = 1024;
/// How many connectors that are gone already one call skips.
const MOST_GONE: usize = 16;

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Fd,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Local,
    Tcp,
    /// Made elsewhere; any program may connect.
    Adopted,
}

impl Listener {
    /// Listens at a name, to which every user may connect if `shared`. `AddrInUse` if the name
    /// exists.
    pub(crate) fn local(dir: &Dir, name: &str, shared: bool) -> io::Result<Self> {
        let socket = Fd::make(|| stream_socket(AddressFamily::UNIX))?;
        dir.reach(name, |path| Ok(bind(&socket, &SocketAddrUnix::new(path)?)?))?;
        if shared {
            dir.open_to_all(name)?;
        }
        // No connector has a reason to send descriptors.
        take_descriptors(&socket, false);
        listen(&socket, BACKLOG)?;
        Ok(Self { socket, kind: Kind::Local })
    }

    /// Takes over a listening local socket that does not block.
    pub fn adopt(socket: Fd) -> Self {
        Self { socket, kind: Kind::Adopted }
    }

    /// Listens at a port. `AddrInUse` if another socket does.
    pub fn tcp(at: &SocketAddr) -> io::Result<Self> {
        let socket = Fd::make(|| stream_socket(family_of(at)))?;
        // Connections of an earlier owner that the kernel is still closing do not count.
        set_socket_reuseaddr(&socket, true)?;
        if at.is_ipv6() {
            set_ipv6_v6only(&socket, true)?;
        }
        bind(&socket, at)?;
        listen(&socket, BACKLOG)?;
        Ok(Self { socket, kind: Kind::Tcp })
    }

    /// The address of a TCP listener.
    pub fn address(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(getsockname(&self.socket)?)?)
    }

    /// The next connector, if one is waiting. Skips at most 16 connectors that are gone already.
    pub fn accept(&self) -> io::Result<Option<Stream>> {
        for _ in 0..MOST_GONE {
            match Fd::make(|| accept_stream(&self.socket)) {
                Ok(fd) => {
                    let stream = match self.kind {
                        Kind::Local => Ok(Stream::ready(fd)),
                        Kind::Tcp => Stream::tcp_ready(fd),
                        Kind::Adopted => Ok(Stream::adopt(fd)),
                    };
                    // Setting options fails for a connector that is gone already.
                    if let Ok(stream) = stream {
                        return Ok(Some(stream));
                    }
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::WOULDBLOCK) => return Ok(None),
                    Some(Errno::INTR | Errno::CONNABORTED | Errno::PROTO | Errno::CONNRESET) => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(None)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
