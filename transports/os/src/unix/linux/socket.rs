use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, socket_with,
};

/// The most descriptors that the kernel lets a process send with one message.
pub(in super::super) const MAX_FDS: usize = 253;
/// The flags of a receive that takes descriptors.
pub(in super::super) const TAKE_FDS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
/// What `poll` reports once the other side of a stream has closed it.
pub(in super::super) const HANG_UP: PollFlags = PollFlags::RDHUP;

/// The flags of a send: a peer that is gone is an error, not a signal.
pub const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Prepares a new socket for the same: nothing to do.
pub fn no_signal(_socket: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// Closes a received descriptor in programs that this one starts: [`TAKE_FDS`] did that.
pub(in super::super) fn keep_from_children(_fd: &OwnedFd) -> io::Result<()> {
    Ok(())
}

/// The flags of every new socket.
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A new stream socket that does not block. To be called by [`Fd::make`](crate::Fd::make).
pub fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket_with(family, SocketType::STREAM, FLAGS, None)?)
}

/// The next connector's socket, which does not block. To be called by
/// [`Fd::make`](crate::Fd::make).
pub fn accept_stream(listener: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(accept_with(listener, FLAGS)?)
}

/// The process and the user at the other end of a local socket: the ones that called `connect` or
/// `listen`. A process of another PID namespace has no number here.
pub fn peer_of(socket: &impl AsFd) -> io::Result<(Option<u32>, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // rustix gives the process as a type that has no zero, which is what the kernel writes for a
    // process of another PID namespace. SAFETY: the descriptor is open for the call, and the option
    // is written to a structure of integers of the length given.
    let code = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((process(peer.pid), peer.uid))
}

/// Sets whether peers can send descriptors to this local socket, and to those accepted from it. A
/// descriptor that is thrown away is closed by the receiving thread, and a socket with `SO_LINGER`
/// can hold that up. Kernels before 6.16 have no such option: there it returns false.
pub fn take_descriptors(socket: &impl AsFd, take: bool) -> bool {
    const SO_PASSRIGHTS: libc::c_int = 83;
    let value = libc::c_int::from(take);
    // SAFETY: the descriptor is open for the call, and the option is read from an integer of the
    // length given.
    unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        ) == 0
    }
}

fn process(pid: libc::pid_t) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}
