use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use anyipc_core::{Result, Source};
use anyipc_os::{
    Dir, Fd, NO_SIGNAL, Set, accept_stream, discard, hung_up, is_shortage, recv_descriptors,
    stream_pair, stream_socket, take_descriptors,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
    SocketAddrUnix, bind, connect, listen, send, sendmsg, shutdown,
};

use super::super::{Credentials, Doorbell};

/// How many connectors may queue before the owner looks.
const BACKLOG: i32 = 1024;
/// How many connectors that are gone already one call passes over.
const MOST_GONE: usize = 16;
/// The most descriptors that we send with one message.
const MAX_FDS: usize = 4;
/// The flags of every send.
const SEND: SendFlags = NO_SIGNAL.union(SendFlags::DONTWAIT);

/// A non-blocking local stream socket.
#[derive(Debug)]
pub(crate) struct Socket(Fd);

impl Socket {
    /// Connects to the listener at a name. `NotFound` or `ConnectionRefused`: there is no listener;
    /// `WouldBlock`: its queue is full.
    pub(crate) fn connect(dir: &Dir, name: &str) -> io::Result<Self> {
        let fd = Fd::make(|| stream_socket(AddressFamily::UNIX))?;
        dir.reach(name, |path| Ok(connect(&fd, &SocketAddrUnix::new(path)?)?))?;
        Ok(Self(fd))
    }

    /// Two connected ones.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = stream_pair()?;
        Ok((Self(a), Self(b)))
    }

    /// The process and the user that called `connect` or `listen` on the other side.
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        let (pid, uid) = anyipc_os::peer_of(&self.0)?;
        Ok(Credentials { pid, uid })
    }

    /// The other side may send descriptors from now on: it is let in.
    pub(crate) fn take_descriptors(&self) {
        take_descriptors(&self.0, true);
    }

    /// Sends bytes and, with the first of them, descriptors.
    pub(crate) fn send_with(&self, bytes: &[u8], fds: &[&Fd]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SEND)?)
    }

    /// See [`recv_descriptors`].
    pub(crate) fn recv_with(&self, bytes: &mut [u8], fds: &mut Vec<Fd>) -> io::Result<usize> {
        recv_descriptors(&self.0, bytes, fds, RecvFlags::DONTWAIT)
    }

    /// True if the other side has closed its socket or died.
    pub(crate) fn hung_up(&self) -> bool {
        hung_up(&self.0)
    }

    /// Sends the doorbell byte. False if the other side is gone.
    pub(crate) fn ring_doorbell(&self) -> bool {
        let rung = send(&self.0, &[1], SEND);
        // A full socket holds enough doorbell bytes. A system without memory says nothing about the
        // other side, which looks again by itself.
        !matches!(rung, Err(error) if is_end(error))
    }

    /// Takes the doorbell bytes, and appends the descriptors that came with them. At most as much
    /// as a socket holds is taken: a peer that never stops sending must not hold this thread. An
    /// end behind the bytes may be reported by the next call only; until then the socket stays
    /// readable.
    pub(crate) fn take_doorbell_bytes(&self, fds: &mut Vec<Fd>) -> Doorbell {
        let mut doorbell = Doorbell::default();
        let mut bytes = [0; 256];
        for _ in 0..64 {
            let before = fds.len();
            match self.recv_with(&mut bytes, fds) {
                Ok(0) => doorbell.ended = true,
                Ok(got) => {
                    doorbell.rang = true;
                    // No honest peer sends so many: its descriptors must not use up our table.
                    if fds.len() > MAX_FDS {
                        break;
                    }
                    // There was no more. (A read also ends behind descriptors.)
                    if got < bytes.len() && fds.len() == before {
                        break;
                    }
                    continue;
                }
                Err(error) if is_shortage(&error) => {
                    doorbell.rang = true;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => doorbell.ended = Errno::from_io_error(&error).is_some_and(is_end),
            }
            break;
        }
        doorbell
    }

    /// Ends both directions.
    pub(crate) fn hang_up(&self) {
        let _ = shutdown(&self.0, Shutdown::Both);
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Result<Source> {
        Ok(Arc::clone(self) as Source)
    }
}

impl Drop for Socket {
    /// What was not received would be closed with the socket, descriptors that linger included: it
    /// is received.
    fn drop(&mut self) {
        if self.0.is_ours() {
            // Nothing more comes.
            let _ = shutdown(&self.0, Shutdown::Both);
            discard(&self.0);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A listening local socket.
#[derive(Debug)]
pub(crate) struct Listener(Fd);

impl Listener {
    /// Listens at a name; `AddrInUse` if the name is taken. A connector can send no descriptors
    /// until [`Socket::take_descriptors`], where the kernel knows how to refuse them.
    pub(crate) fn bind(dir: &Dir, name: &str) -> io::Result<Self> {
        let socket = Fd::make(|| stream_socket(AddressFamily::UNIX))?;
        dir.reach(name, |path| Ok(bind(&socket, &SocketAddrUnix::new(path)?)?))?;
        take_descriptors(&socket, false);
        listen(&socket, BACKLOG)?;
        Ok(Self(socket))
    }

    /// The next connector, if one is waiting. Of those that are gone already only some are passed
    /// over at once.
    pub(crate) fn accept(&self) -> io::Result<Option<Socket>> {
        for _ in 0..MOST_GONE {
            match Fd::make(|| accept_stream(&self.0)) {
                Ok(fd) => return Ok(Some(Socket(fd))),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::WOULDBLOCK) => return Ok(None),
                    Some(Errno::INTR | Errno::CONNABORTED) => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(None)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// From now on the set is ready when bytes arrive on this socket; it reports the number.
pub(crate) fn watch_numbered(set: &Set, socket: &Socket, number: u32) -> io::Result<()> {
    set.watch_numbered(socket, number)
}

/// Reports the numbers of the sockets that became ready since; a waiting connector stays ready.
pub(crate) fn take_ready(set: &Set, see: &mut dyn FnMut(u32)) {
    set.take_ready(see);
}

/// True if there is no other side, and none of an error of another kind.
fn is_end(error: Errno) -> bool {
    matches!(error, Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::SHUTDOWN)
}
