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
    /// To the host of the address.
    Tcp(Tcp),
}

impl Stream {
    /// True if [`has_bytes`](Self::has_bytes) can tell.
    pub(crate) const PEEKS: bool = false;
    /// True if a local stream can hand over the end of another one.
    pub(crate) const PASSES_STREAMS: bool = false;
    /// True if a TCP connection that carries both directions of a channel can end without a loss.
    pub(crate) const TCP_BOTH_WAYS: bool = false;
    /// False: only a pending receive makes an event tell of what comes.
    pub(crate) const DRAINS: bool = false;

    /// Connects to the local listener at a name. `NotFound`: no owner listens; `WouldBlock`: its
    /// queue is full.
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

    /// True if the connection is established. `ConnectionRefused` if no owner listens at the port.
    pub fn connected(&self) -> io::Result<bool> {
        match self {
            Self::Local(_) => Ok(true),
            Self::Tcp(tcp) => tcp.connected(),
        }
    }

    /// Ends the handshake: from now on frames are sent, with about `bytes` in flight at most; 0 is
    /// the default.
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

    /// The peer of a local stream, as the system says. The pipe admits this user only.
    pub fn credentials(&self) -> io::Result<Credentials> {
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

    /// Not used, as [`PEEKS`](Self::PEEKS) is false.
    pub fn has_bytes(&self) -> io::Result<bool> {
        Ok(true)
    }

    /// Receives what is there. 0: the other side hung up.
    pub(crate) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(local) => local.recv(bytes),
            Self::Tcp(tcp) => tcp.recv(bytes),
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

    /// Ends the direction that this end sends. A pipe ends with its last handle only, and never
    /// takes a frame in part.
    pub(crate) fn end_sending(&self) {
        if let Self::Tcp(tcp) = self {
            tcp.end_sending();
        }
    }

    /// Does nothing: no stream carries both directions of a channel.
    pub(crate) fn end_receiving(&self) {}

    /// Does nothing: no stream carries both directions of a channel.
    pub(crate) fn part(&self) {}

    /// True if a send would do more than block.
    pub(crate) fn writable(&self) -> bool {
        match self {
            Self::Local(local) => local.writable(),
            Self::Tcp(tcp) => tcp.writable(),
        }
    }

    /// Makes room for the rest of a frame that was taken in part, or for what is sent last.
    pub(crate) fn raise_send_buffer(&self) {
        match self {
            Self::Local(local) => local.raise_send_buffer(),
            Self::Tcp(tcp) => tcp.raise_send_buffer(),
        }
    }

    /// Undoes [`raise_send_buffer`](Self::raise_send_buffer).
    pub(crate) fn reset_send_buffer(&self) {
        if let Self::Tcp(tcp) = self {
            tcp.reset_send_buffer();
        }
    }

    /// The readiness of the source that a sender waits for. The source itself decides it here.
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
