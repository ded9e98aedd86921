use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg, sockopt,
};

use super::system::{HANG_UP, MAX_FDS, TAKE_FDS, keep_from_children, no_signal};
use crate::{Fd, NoFork, is_shortage};

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
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let _no_fork = NoFork::new();
    let got = recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags | TAKE_FDS)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received.map(|fd| {
                let _ = keep_from_children(&fd);
                // An error: it is no such socket.
                let _ = sockopt::set_socket_linger(&fd, None);
                Fd::new(fd)
            }));
        }
    }
    // The kernel drops descriptors for which it has no number.
    if got.flags.contains(ReturnFlags::CTRUNC) { Err(Errno::MFILE.into()) } else { Ok(got.bytes) }
}

/// The most receives of one [`discard`]: more than a buffer of the usual size holds.
const MOST_DISCARDED: u32 = 4096;

/// Receives what a local socket holds, before it is closed: descriptors that linger would otherwise
/// be closed with it, by this thread. What still comes meanwhile stays, so that a peer that never
/// stops sending does not hold this thread.
pub fn discard(socket: &impl AsFd) {
    let Ok(mut left) = ioctl_fionread(socket) else { return };
    let mut bytes = [0; 4 << 10];
    for _ in 0..MOST_DISCARDED {
        if left == 0 {
            return;
        }
        match recv_descriptors(socket, &mut bytes, &mut Vec::new(), RecvFlags::DONTWAIT) {
            Ok(got @ 1..) => left = left.saturating_sub(got as u64),
            // At least one byte is lost with the descriptors.
            Err(error) if is_shortage(&error) => left -= 1,
            _ => return,
        }
    }
}

/// Two connected local stream sockets that do not block.
pub fn stream_pair() -> io::Result<(Fd, Fd)> {
    let _no_fork = NoFork::new();
    // Closed in programs that this one starts.
    let (a, b) = UnixStream::pair()?;
    for end in [&a, &b] {
        end.set_nonblocking(true)?;
        no_signal(end)?;
    }
    Ok((Fd::new(a.into()), Fd::new(b.into())))
}

/// True if the other side of a local stream has closed it or died.
pub fn hung_up(socket: &impl AsFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut [PollFd::new(socket, HANG_UP)], Some(&now)), Ok(1..))
}
