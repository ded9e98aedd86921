use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use anyipc_os::{Dir, Fd, discard, recv_descriptors};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{RecvFlags, SendAncillaryBuffer, Shutdown, recv, send, sendmsg, shutdown};

use crate::credit;
use crate::sys::flow::{Duplex, Flow};
use crate::sys::unix::socket::{self, SEND};
use crate::sys::{Credentials, SendRoom};

/// The send buffer of a TCP connection in bytes, unless the address says otherwise.
const TCP_BUFFER: usize = 256 << 10;
/// The smallest receive buffer, in bytes.
const TCP_RECEIVE: usize = 128 << 10;

/// The size of a raised send buffer, in bytes.
const LAST: usize = 2 * credit::BUFFER;

/// A non-blocking byte stream: a local socket or a TCP connection.
#[derive(Debug)]
pub struct Stream {
    fd: Fd,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Local(Flow),
    Tcp {
        /// The size of the send buffer when it is not raised, in bytes.
        buffer: usize,
    },
}

impl Stream {
    /// True if [`has_bytes`](Self::has_bytes) can tell.
    pub(crate) const PEEKS: bool = true;
    /// True if a local stream can hand over the end of another one.
    pub(crate) const PASSES_STREAMS: bool = false;
    /// True if a TCP connection that carries both directions of a channel can end without a loss.
    pub(crate) const TCP_BOTH_WAYS: bool = false;
    /// True if a receive that fills less than its buffer has taken everything, and the source then
    /// becomes readable anew when more comes.
    pub(crate) const DRAINS: bool = true;

    /// Connects to the local listener at a name. `NotFound` or `ConnectionRefused`: no owner
    /// listens, or its queue is full.
    pub(crate) fn local(dir: &Dir, name: &str) -> io::Result<Self> {
        socket::connect_local(dir, name).map(Self::ready)
    }

    /// `Unsupported`, as streams are not handed over.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Begins to connect over TCP; [`connected`](Self::connected) tells when it is done.
    pub fn tcp(to: &SocketAddr) -> io::Result<Self> {
        socket::connect_tcp(to, prepare_tcp).map(Self::over_tcp)
    }

    /// True if the connection is established. `ConnectionRefused` if no owner listens at the port.
    pub fn connected(&self) -> io::Result<bool> {
        match self.kind {
            Kind::Local(_) => Ok(true),
            Kind::Tcp { .. } => socket::connected(&self.fd),
        }
    }

    pub(in super::super) fn ready(fd: Fd) -> Self {
        Self { fd, kind: Kind::Local(Flow::new()) }
    }

    /// Takes over a connected local socket that does not block. Its other end may be any program's.
    pub fn adopt(fd: Fd) -> Self {
        Self::ready(fd)
    }

    pub(in super::super) fn tcp_ready(fd: Fd) -> io::Result<Self> {
        prepare_tcp(&fd)?;
        Ok(Self::over_tcp(fd))
    }

    fn over_tcp(fd: Fd) -> Self {
        Self { fd, kind: Kind::Tcp { buffer: TCP_BUFFER } }
    }

    /// Ends the handshake: from now on frames are sent, with about `bytes` in flight at most; 0 is
    /// the default.
    pub(crate) fn limit_sending(&mut self, bytes: u64) -> io::Result<SendRoom> {
        match &mut self.kind {
            Kind::Local(flow) => {
                flow.begin_sending(bytes);
                unless_gone(sockopt::set_socket_send_buffer_size(&self.fd, credit::BUFFER))?;
            }
            Kind::Tcp { .. } if bytes == 0 => {}
            Kind::Tcp { buffer } => {
                *buffer =
                    usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, i32::MAX as usize / 4);
                unless_gone(sockopt::set_socket_send_buffer_size(&self.fd, *buffer))?;
            }
        }
        Ok(SendRoom::default())
    }

    /// The receiving end's part of [`limit_sending`](Self::limit_sending).
    pub(crate) fn limit_receiving(&self, bytes: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Local(flow) => {
                flow.begin_receiving();
                Ok(())
            }
            Kind::Tcp { .. } if bytes == 0 => Ok(()),
            Kind::Tcp { .. } => {
                let most = usize::try_from(bytes)
                    .unwrap_or(usize::MAX)
                    .clamp(TCP_RECEIVE, i32::MAX as usize / 4);
                unless_gone(sockopt::set_socket_recv_buffer_size(&self.fd, most))
            }
        }
    }

    /// The peer of a local stream, as the kernel says: the process that called `connect` or
    /// `listen`.
    pub fn credentials(&self) -> io::Result<Credentials> {
        socket::credentials(&self.fd)
    }

    /// Sends as much as there is room for.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send_two(bytes, &[])
    }

    /// As [`send`](Self::send), two pieces in one call.
    pub(crate) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Local(flow) => flow.send(&Local(&self.fd), first, second),
            Kind::Tcp { .. } => Duplex::send(&self.fd, first, second),
        }
    }

    /// `Unsupported`, as streams are not handed over.
    pub(crate) fn send_with(&self, _bytes: &[u8], _other: &Self) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// True if there is something to receive; it stays there. An error once the other side has hung
    /// up and nothing is left.
    pub fn has_bytes(&self) -> io::Result<bool> {
        socket::has_bytes(&self.fd)
    }

    /// Receives what is there. 0: the other side hung up.
    pub(crate) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Local(flow) => flow.recv(&Local(&self.fd), bytes),
            Kind::Tcp { .. } => Duplex::recv(&self.fd, bytes),
        }
    }

    /// True if [`recv_within`](Self::recv_within) blocks.
    pub(crate) fn sleeps(&self) -> bool {
        false
    }

    /// As [`recv`](Self::recv): it does not block.
    pub(crate) fn recv_within(&self, bytes: &mut [u8], _timeout: Duration) -> io::Result<usize> {
        self.recv(bytes)
    }

    /// As [`recv`](Self::recv): no stream comes along.
    pub(crate) fn recv_with(
        &self,
        bytes: &mut [u8],
        _other: &mut Option<Self>,
    ) -> io::Result<usize> {
        self.recv(bytes)
    }

    /// Not used: no stream carries both directions of a channel.
    pub(crate) fn tells_of_stop(&self) -> bool {
        true
    }

    /// Ends the direction that this end sends. The receiver of a local stream still returns credit.
    pub(crate) fn end_sending(&self) {
        let _ = shutdown(&self.fd, Shutdown::Write);
    }

    /// Does nothing: no stream carries both directions of a channel.
    pub(crate) fn end_receiving(&self) {}

    /// Does nothing: no stream carries both directions of a channel.
    pub(crate) fn part(&self) {}

    /// True if a send would do more than block.
    pub(crate) fn writable(&self) -> bool {
        match &self.kind {
            Kind::Local(flow) => flow.writable(&Local(&self.fd)),
            Kind::Tcp { .. } => socket::is_writable(&self.fd),
        }
    }

    /// Makes room for the rest of a frame that was taken in part, or for what is sent last. Much
    /// room, since the kernel counts more than bytes, and many small frames may have filled the
    /// buffer.
    pub(crate) fn raise_send_buffer(&self) {
        let bytes = match &self.kind {
            Kind::Local(flow) => {
                flow.raise_limit();
                LAST
            }
            Kind::Tcp { buffer } => LAST.max(2 * buffer),
        };
        let _ = sockopt::set_socket_send_buffer_size(&self.fd, bytes);
    }

    /// Undoes [`raise_send_buffer`](Self::raise_send_buffer).
    pub(crate) fn reset_send_buffer(&self) {
        if let Kind::Tcp { buffer } = self.kind {
            let _ = sockopt::set_socket_send_buffer_size(&self.fd, buffer);
        }
    }

    /// The readiness of the source that a sender waits for: for credit of the receiver, or for room
    /// in the kernel.
    pub(crate) fn send_interest(&self) -> Interest {
        match self.kind {
            Kind::Local(_) => Interest::Readable,
            Kind::Tcp { .. } => Interest::Writable,
        }
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

/// Ignores that a socket takes no options once its peer is gone: the next call reports it.
fn unless_gone(done: Result<(), Errno>) -> io::Result<()> {
    match done {
        Err(Errno::INVAL) => Ok(()),
        done => Ok(done?),
    }
}

fn prepare_tcp(fd: &Fd) -> io::Result<()> {
    socket::prepare_tcp(fd)?;
    Ok(sockopt::set_socket_send_buffer_size(fd, TCP_BUFFER)?)
}

impl Duplex for Fd {
    fn send(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        if second.is_empty() {
            return Ok(send(self, first, SEND)?);
        }
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        Ok(sendmsg(self, &pieces, &mut SendAncillaryBuffer::default(), SEND)?)
    }

    fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self, bytes, RecvFlags::DONTWAIT)?.0)
    }
}

/// A local socket. The system cannot refuse descriptors that a peer sends along. They are taken
/// out: left to the kernel, one that closes slowly would block this thread.
struct Local<'a>(&'a Fd);

impl Duplex for Local<'_> {
    fn send(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        Duplex::send(self.0, first, second)
    }

    fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        recv_descriptors(self.0, bytes, &mut Vec::new(), RecvFlags::DONTWAIT)
    }
}

impl Drop for Stream {
    /// What is not received would be closed with the socket, descriptors that linger included: it
    /// is received. Before the shutdown, by which macOS throws away what is there; and after it,
    /// when nothing more comes.
    fn drop(&mut self) {
        if matches!(self.kind, Kind::Local(_)) && self.fd.is_ours() {
            discard(&self.fd);
            let _ = shutdown(&self.fd, Shutdown::Both);
            discard(&self.fd);
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
