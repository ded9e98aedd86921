use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::SendFlags;

/// What a send says so that a peer who is gone is an error and no signal.
pub const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// What a fresh socket needs for the same: nothing.
pub fn no_signal(_socket: &impl AsFd) -> io::Result<()> {
    Ok(())
}

/// The process and the user at the other end of a local socket: the ones that called `connect` or
/// `listen`. A process of another PID namespace has no number here.
pub fn peer_of(socket: &impl AsFd) -> io::Result<(Option<u32>, u32)> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // rustix gives the process as a type that has no zero, which is what the kernel writes for a process
    // of another PID namespace.
    // SAFETY: the descriptor is open for the call, and the option is written to a structure of integers of
    // the length given.
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

/// From now on no peer can send descriptors to this local socket, nor to those that come of it if it
/// listens; or they can again. A descriptor that is thrown away is closed by the thread that receives, which
/// a socket with `SO_LINGER` can hold up. Kernels before 6.16 know no such option: there it does nothing.
pub fn take_descriptors(socket: &impl AsFd, take: bool) {
    const SO_PASSRIGHTS: libc::c_int = 83;
    let value = libc::c_int::from(take);
    // SAFETY: the descriptor is open for the call, and the option is read from an integer of the length given.
    unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
}

fn process(pid: libc::pid_t) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}
