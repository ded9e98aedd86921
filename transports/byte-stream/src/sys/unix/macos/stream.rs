use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use anyipc_os::{Dir, Fd};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{RecvFlags, SendAncillaryBuffer, Shutdown, recv, send, sendmsg, shutdown};

use crate::credit;
use crate::sys::flow::{Duplex, Flow};
use crate::sys::unix::socket::{self, SEND};
use crate::sys::{Credentials, SendRoom};

/// A TCP connection's send buffer, unless the address says otherwise.
const TCP_BUFFER: usize = 256 << 10;
/// The smallest receive buffer.
const TCP_RECEIVE: usize = 128 << 10;

/// An enlarged send buffer's size.
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
        /// The send buffer's size, when it is not enlarged.
        buffer: usize,
    },
}

impl Stream {
    /// Whether [`has_begun`](Self::has_begun) can tell.
    pub(crate) const PEEKS: bool = true;
    /// Whether a local stream can hand over the end of another one.
    pub(crate) const PASSES_STREAMS: bool = false;
    /// Whether a TCP connection that carries both directions of a channel can end without a loss.
    pub(crate) const TCP_BOTH_WAYS: bool = false;
    /// Whether a receive that fills less than its room has taken all there was, and more makes the source ready anew.
    pub(crate) const DRAINS: bool = true;

    /// Connects to the local listener at a name. `NotFound` or `ConnectionRefused`: nobody listens, or its queue is
    /// full.
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

    /// Whether a connection stands. A socket that met itself, where nobody listens, is refused.
    pub fn connected(&self) -> io::Result<bool> {
        match self.kind {
            Kind::Local(_) => Ok(true),
            Kind::Tcp { .. } => socket::connected(&self.fd),
        }
    }

    pub(in super::super) fn ready(fd: Fd) -> Self {
        Self { fd, kind: Kind::Local(Flow::new()) }
    }

    pub(in super::super) fn tcp_ready(fd: Fd) -> io::Result<Self> {
        prepare_tcp(&fd)?;
        Ok(Self::over_tcp(fd))
    }

    fn over_tcp(fd: Fd) -> Self {
        Self { fd, kind: Kind::Tcp { buffer: TCP_BUFFER } }
    }

    /// From now on frames are sent. About this many bytes are in flight at most; 0 is the usual.
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

    /// Who the kernel says is on the other side of a local stream: who called `connect` or `listen`.
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        socket::credentials(&self.fd)
    }

    /// Sends as much as there is room for.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.send_two(bytes, &[])
    }

    /// As [`send`](Self::send), two pieces in one call.
    pub(crate) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Local(flow) => flow.send(&self.fd, first, second),
            Kind::Tcp { .. } => Duplex::send(&self.fd, first, second),
        }
    }

    /// `Unsupported`, as streams are not handed over.
    pub(crate) fn send_with(&self, _bytes: &[u8], _other: &Self) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Whether there is something to receive, which stays there. An error once the other side has
    /// hung up and nothing is left.
    pub(crate) fn has_begun(&self) -> io::Result<bool> {
        socket::has_bytes(&self.fd)
    }

    /// Receives what is there. 0: the other side hung up.
    pub(crate) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match &self.kind {
            Kind::Local(flow) => flow.recv(&self.fd, bytes),
            Kind::Tcp { .. } => Duplex::recv(&self.fd, bytes),
        }
    }

    /// Whether [`recv_within`](Self::recv_within) sleeps.
    pub(crate) fn sleeps(&self) -> bool {
        false
    }

    /// As [`recv`](Self::recv): it does not sleep.
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

    /// Of no interest, as no stream carries both directions of a channel.
    pub(crate) fn tells_of_stop(&self) -> bool {
        true
    }

    /// Nothing more is sent here. A local stream's receiver goes on telling what it takes.
    pub(crate) fn end_sending(&self) {
        let _ = shutdown(&self.fd, Shutdown::Write);
    }

    /// Nothing, as no stream carries both directions of a channel.
    pub(crate) fn end_receiving(&self) {}

    /// Nothing, as no stream carries both directions of a channel.
    pub(crate) fn part(&self) {}

    /// Whether a send would do more than block.
    pub(crate) fn writable(&self) -> bool {
        match &self.kind {
            Kind::Local(flow) => flow.writable(&self.fd),
            Kind::Tcp { .. } => socket::is_writable(&self.fd),
        }
    }

    /// Makes room for the rest of a frame that was taken in part, or for what is sent last: much of it, as the kernel
    /// counts more than bytes, and many small frames may have filled the buffer.
    pub(crate) fn enlarge(&self) {
        let bytes = match &self.kind {
            Kind::Local(flow) => {
                flow.enlarge();
                LAST
            }
            Kind::Tcp { buffer } => LAST.max(2 * buffer),
        };
        let _ = sockopt::set_socket_send_buffer_size(&self.fd, bytes);
    }

    /// Takes back what [`enlarge`](Self::enlarge) did.
    pub(crate) fn shrink(&self) {
        if let Kind::Tcp { buffer } = self.kind {
            let _ = sockopt::set_socket_send_buffer_size(&self.fd, buffer);
        }
    }

    /// Which readiness of the source a sender waits for: a word of the receiver's, or the kernel's.
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

/// A socket whose peer is gone takes no options any more: the next call tells of that.
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

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
