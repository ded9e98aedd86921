use std::io;
use std::net::SocketAddr;
use std::os::windows::io::OwnedHandle;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Handles, Interest, Source};
use anyipc_os::Dir;

use super::local::Local;
use super::tcp::Tcp;
use crate::sys::{Credentials, SendRoom};

/// A non-blocking byte stream: a named pipe or a TCP connection.
#[derive(Debug)]
pub enum Stream {
    /// Within this machine.
    Local(Local),
    /// To wherever the address says.
    Tcp(Tcp),
}

impl Stream {
    /// Whether [`has_begun`](Self::has_begun) can tell.
    pub(crate) const PEEKS: bool = false;
    /// Whether a local stream can hand over the end of another one.
    pub(crate) const PASSES_STREAMS: bool = false;
    /// Whether a TCP connection that carries both directions of a channel can end without a loss.
    pub(crate) const TCP_BOTH_WAYS: bool = false;
    /// No: without a receive that waits for it, no event tells of what comes.
    pub(crate) const DRAINS: bool = false;

    /// Connects to the local listener at a name. `NotFound`: nobody listens; `WouldBlock`: its queue is full.
    pub(crate) fn local(dir: &Dir, name: &str) -> io::Result<Self> {
        Local::connect(dir, name).map(Self::Local)
    }

    /// `Unsupported`, as streams cannot be handed over.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Begins to connect over TCP; [`connected`](Self::connected) tells when it is done.
    pub fn tcp(to: &SocketAddr) -> io::Result<Self> {
        Tcp::connect(to).map(Self::Tcp)
    }

    /// Whether a connection stands. A socket that met itself, where nobody listens, is refused.
    pub fn connected(&self) -> io::Result<bool> {
        match self {
            Self::Local(_) => Ok(true),
            Self::Tcp(tcp) => tcp.connected(),
        }
    }

    /// From now on frames are sent. About this many bytes are in flight at most; 0 is the usual.
    pub(crate) fn limit_sending(&mut self, bytes: u64) -> io::Result<SendRoom> {
        match self {
            Self::Local(local) => local.begin_sending(bytes),
            Self::Tcp(tcp) if bytes != 0 => tcp.limit_sending(bytes)?,
            Self::Tcp(_) => {}
        }
        Ok(SendRoom::default())
    }

    /// The receiving end's part of [`limit_sending`](Self::limit_sending).
    pub(crate) fn limit_receiving(&self, bytes: u64) -> io::Result<()> {
        match self {
            Self::Local(local) => local.begin_receiving(),
            Self::Tcp(tcp) if bytes != 0 => tcp.limit_receiving(bytes)?,
            Self::Tcp(_) => {}
        }
        Ok(())
    }

    /// Who the system says is on the other side of a local stream. The pipe admits nobody but this user.
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        match self {
            Self::Local(local) => Ok(Credentials { pid: Some(local.pipe().peer()?), uid: None }),
            Self::Tcp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends as much as the system takes now.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Local(local) => local.send_two(bytes, &[]),
            Self::Tcp(tcp) => tcp.send(bytes),
        }
    }

    /// As [`send`](Self::send), two pieces in one call.
    pub(crate) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        match self {
            Self::Local(local) => local.send_two(first, second),
            Self::Tcp(tcp) => tcp.send_two(first, second),
        }
    }

    /// `Unsupported`, as streams cannot be handed over.
    pub(crate) fn send_with(&self, _bytes: &[u8], _other: &Self) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never asked.
    pub(crate) fn has_begun(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Receives what is there. 0: the other side hung up.
    pub(crate) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(local) => local.recv(bytes),
            Self::Tcp(tcp) => tcp.recv(bytes),
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

    /// Nothing more is sent here. A pipe ends with its last handle only, and has never taken a frame in part.
    pub(crate) fn end_sending(&self) {
        if let Self::Tcp(tcp) = self {
            tcp.end_sending();
        }
    }

    /// Nothing, as no stream carries both directions of a channel.
    pub(crate) fn end_receiving(&self) {}

    /// Nothing, as no stream carries both directions of a channel.
    pub(crate) fn part(&self) {}

    /// Whether a send would do more than block.
    pub(crate) fn writable(&self) -> bool {
        match self {
            Self::Local(local) => local.writable(),
            Self::Tcp(tcp) => tcp.writable(),
        }
    }

    /// Makes room for the rest of a frame that was taken in part, or for what is sent last.
    pub(crate) fn enlarge(&self) {
        match self {
            Self::Local(local) => local.enlarge(),
            Self::Tcp(tcp) => tcp.enlarge(),
        }
    }

    /// Takes back what [`enlarge`](Self::enlarge) did.
    pub(crate) fn shrink(&self) {
        if let Self::Tcp(tcp) = self {
            tcp.shrink();
        }
    }

    /// Which readiness of the source a sender waits for: that says the source itself.
    pub(crate) fn send_interest(&self) -> Interest {
        Interest::Writable
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        match &**self {
            Self::Local(local) => local.pipe().source(),
            Self::Tcp(tcp) => tcp.event().source(),
        }
    }
}

impl Handles for Stream {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        match self {
            Self::Local(local) => local.pipe().each(see),
            Self::Tcp(tcp) => tcp.event().each(see),
        }
    }
}
