use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recvmsg, sockopt,
};

use crate::{Fd, NoFork};

/// The most descriptors that the kernel lets a process send with one message.
const SCM_MAX_FD: usize = 253;

/// The flags of a send: a peer that is gone is an error, not a signal.
pub const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;

/// Prepares a new socket for the same: nothing to do.
pub fn no_signal(_socket: &impl AsFd) -> io::Result<()> {
    Ok(())
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

/// Receives bytes, and appends the descriptors that came with them. 0: the other side has closed.
/// With a full table of descriptors, the descriptors are lost, and the bytes with them.
///
/// Descriptors of any kind may arrive. There is room for all, since the kernel would close the rest
/// in this call, and closing a socket may wait until its buffer is sent (`SO_LINGER`): that option
/// is cleared.
pub fn recv_descriptors(
    socket: &impl AsFd,
    bytes: &mut [u8],
    fds: &mut Vec<Fd>,
    flags: RecvFlags,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SCM_MAX_FD))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let _no_fork = NoFork::new();
    let got = recvmsg(
        socket,
        &mut [IoSliceMut::new(bytes)],
        &mut control,
        flags | RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received.map(|fd| {
                // An error: it is no such socket.
                let _ = sockopt::set_socket_linger(&fd, None);
                Fd::new(fd)
            }));
        }
    }
    // The kernel drops descriptors for which it has no number.
    if got.flags.contains(ReturnFlags::CTRUNC) { Err(Errno::MFILE.into()) } else { Ok(got.bytes) }
}

fn process(pid: libc::pid_t) -> Option<u32> {
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}
