use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use anyipc_os::{Dir, Fd, NO_SIGNAL, peer_of, stream_socket};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, connect, getpeername, getsockname, recv,
    sockopt,
};

use crate::sys::Credentials;

/// The flags of every send.
pub(super) const SEND: SendFlags = NO_SIGNAL.union(SendFlags::DONTWAIT);

pub(super) fn family_of(address: &SocketAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 }
}

/// Connects to the local listener at a name.
pub(super) fn connect_local(dir: &Dir, name: &str) -> io::Result<Fd> {
    let fd = Fd::make(|| stream_socket(AddressFamily::UNIX))?;
    dir.reach(name, |path| Ok(connect(&fd, &SocketAddrUnix::new(path)?)?))?;
    Ok(fd)
}

/// Begins to connect over TCP. `prepare` sets options before: a refused connection takes none.
pub(super) fn connect_tcp(to: &SocketAddr, prepare: fn(&Fd) -> io::Result<()>) -> io::Result<Fd> {
    let fd = Fd::make(|| stream_socket(family_of(to)))?;
    prepare(&fd)?;
    match connect(&fd, to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(fd),
        Err(error) => Err(error.into()),
    }
}

/// True if a TCP connection is established. `ConnectionRefused` for a socket that connected to
/// itself, which happens at a port without a listener.
pub(super) fn connected(fd: &Fd) -> io::Result<bool> {
    if !is_writable(fd) {
        return Ok(false);
    }
    sockopt::socket_error(fd)??;
    match getpeername(fd) {
        Ok(Some(peer)) if getsockname(fd)? == peer => Err(io::ErrorKind::ConnectionRefused.into()),
        Ok(Some(_)) => Ok(true),
        // It was established and reset before this call.
        Ok(None) | Err(Errno::NOTCONN | Errno::INVAL) => Err(io::ErrorKind::ConnectionReset.into()),
        Err(error) => Err(error.into()),
    }
}

/// Makes a TCP connection send at once, and notice within half a minute that the other machine is
/// gone.
pub(super) fn prepare_tcp(fd: &Fd) -> io::Result<()> {
    sockopt::set_tcp_nodelay(fd, true)?;
    sockopt::set_socket_keepalive(fd, true)?;
    sockopt::set_tcp_keepidle(fd, Duration::from_secs(10))?;
    sockopt::set_tcp_keepintvl(fd, Duration::from_secs(3))?;
    Ok(sockopt::set_tcp_keepcnt(fd, 3)?)
}

/// The peer of a local stream, as the kernel says.
pub(super) fn credentials(fd: &Fd) -> io::Result<Credentials> {
    let (pid, uid) = peer_of(fd)?;
    Ok(Credentials { pid, uid: Some(uid) })
}

/// True if there is something to receive; it stays there. `ConnectionReset` if the other side has
/// hung up and nothing is left.
pub(super) fn has_bytes(fd: &Fd) -> io::Result<bool> {
    match recv(fd, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => Err(io::ErrorKind::ConnectionReset.into()),
        Ok(_) => Ok(true),
        Err(Errno::WOULDBLOCK | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// True if the kernel takes more, or knows that it never will.
pub(super) fn is_writable(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::OUT)];
    matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
}
