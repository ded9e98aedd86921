use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::{Errno, ioctl_fioclex, ioctl_fionbio};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, accept, socket, sockopt};

/// The most descriptors that the kernel lets a process send with one message. It would never close
/// those that find no room.
pub(in super::super) const MAX_FDS: usize = 512;
/// The flags of a receive that takes descriptors.
pub(in super::super) const TAKE_FDS: RecvFlags = RecvFlags::empty();
/// What `poll` reports once the other side of a stream has closed it.
pub(in super::super) const HANG_UP: PollFlags = PollFlags::HUP;

/// The flags of a send: none, since the socket's option makes a peer that is gone an error.
pub const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Prepares a new socket: a peer that is gone is an error, not a signal.
pub fn no_signal(socket: &impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_socket_nosigpipe(socket, true)?)
}

/// Closes a received descriptor in programs that this one starts.
pub(in super::super) fn keep_from_children(fd: &OwnedFd) -> io::Result<()> {
    Ok(ioctl_fioclex(fd)?)
}

/// A new stream socket that does not block. To be called by [`Fd::make`](crate::Fd::make).
pub fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = socket(family, SocketType::STREAM, None)?;
    prepare(&socket)?;
    Ok(socket)
}

/// The next connector's socket, which does not block. To be called by
/// [`Fd::make`](crate::Fd::make).
pub fn accept_stream(listener: &impl AsFd) -> io::Result<OwnedFd> {
    let socket = accept(listener)?;
    // Setting options fails for a connector that is gone already.
    prepare(&socket).map_err(|_| io::Error::from(Errno::CONNABORTED))?;
    Ok(socket)
}

fn prepare(socket: &OwnedFd) -> io::Result<()> {
    ioctl_fioclex(socket)?;
    ioctl_fionbio(socket, true)?;
    no_signal(socket)
}

/// The process and the user that called `connect` or `listen` at the other end of a local socket.
/// `ConnectionReset` if it is gone.
pub fn peer_of(socket: &impl AsFd) -> io::Result<(Option<u32>, u32)> {
    let socket = socket.as_fd().as_raw_fd();
    let (mut user, mut group, mut pid) = (0, 0, 0i32);
    let mut len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the call, and the two numbers are valid for it.
    let code = unsafe { libc::getpeereid(socket, &raw mut user, &raw mut group) };
    if code != 0 {
        return Err(unknown());
    }
    // SAFETY: the descriptor is open for the call, and the option is written to a number of the
    // length given.
    let code = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_LOCAL,
            libc::LOCAL_PEERPID,
            (&raw mut pid).cast(),
            &raw mut len,
        )
    };
    if code != 0 {
        return Err(unknown());
    }
    Ok((u32::try_from(pid).ok().filter(|pid| *pid != 0), user))
}

fn unknown() -> io::Error {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOTCONN) => io::ErrorKind::ConnectionReset.into(),
        _ => error,
    }
}

/// There is no way to refuse descriptors here: false.
pub fn take_descriptors(_socket: &impl AsFd, _take: bool) -> bool {
    false
}
