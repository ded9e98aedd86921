//! One process hands descriptors to another, over a socket without a file.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::getuid;

/// The most descriptors in one handover.
const MOST: usize = 4;
/// A wait for the other side checks this often whether to give up.
const RECHECK: Duration = Duration::from_millis(1);

/// A socket in the abstract namespace.
#[derive(Debug)]
pub(super) struct Listener(UnixListener);

impl Listener {
    pub(super) fn new(name: &str) -> io::Result<Self> {
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    /// Sends these to the first process of this user that connects, while `keep_waiting` is true.
    pub(super) fn give(
        &self,
        descriptors: &[OwnedFd],
        mut keep_waiting: impl FnMut() -> bool,
    ) -> io::Result<()> {
        loop {
            match self.0.accept() {
                // Every user can connect to an abstract name.
                Ok((taker, _)) if socket_peercred(&taker)?.uid == getuid() => {
                    return send(&taker, descriptors);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && keep_waiting() => {
                    thread::sleep(RECHECK)
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn send(to: &UnixStream, descriptors: &[OwnedFd]) -> io::Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many descriptors at once"));
    }
    sendmsg(to, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes the descriptors from the process that listens under this name.
pub(super) fn take(name: &str) -> io::Result<Vec<OwnedFd>> {
    let from = UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    if socket_peercred(&from)?.uid != getuid() {
        return Err(io::Error::other("another user listens there"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(&from, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => Some(rights),
        _ => None,
    });
    Ok(rights.flatten().collect())
}
