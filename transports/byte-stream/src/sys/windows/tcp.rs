use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use anyipc_core::Interest;
use anyipc_os::{SocketEvent, ask_once, is_writable};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

/// The size of a send buffer in bytes, unless the address says otherwise.
const BUFFER: usize = 104 << 10;
/// By how many bytes a send buffer is raised: a whole frame and a goodbye.
const MORE: usize = 104 << 10;
/// The smallest receive buffer, in bytes.
const RECEIVE: usize = 64 << 10;

/// A TCP connection. No call blocks.
#[derive(Debug)]
pub struct Tcp {
    socket: Socket,
    event: SocketEvent,
    /// The size of the send buffer when it is not raised, in bytes.
    buffer: usize,
}

pub(super) fn socket(at: &SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(*at), Type::STREAM, Some(Protocol::TCP))
}

impl Tcp {
    /// Begins to connect.
    pub(super) fn connect(to: &SocketAddr) -> io::Result<Self> {
        let socket = socket(to)?;
        ask_once(&socket);
        let tcp = Self::new(socket)?;
        match tcp.socket.connect(&(*to).into()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(tcp),
        }
    }

    /// Makes the connection send at once, and notice within half a minute that the other machine is
    /// gone.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        let event = SocketEvent::new(&socket)?;
        socket.set_tcp_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(3));
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_send_buffer_size(BUFFER)?;
        Ok(Self { socket, event, buffer: BUFFER })
    }

    pub(super) fn event(&self) -> &SocketEvent {
        &self.event
    }

    pub(super) fn connected(&self) -> io::Result<bool> {
        if !is_writable(&self.socket) {
            return Ok(false);
        }
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        match self.socket.peer_addr() {
            Ok(peer) if peer == self.socket.local_addr()? => {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Ok(_) => Ok(true),
            // It was refused, or it stood and was reset before we looked.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn limit_sending(&mut self, bytes: u64) -> io::Result<()> {
        self.buffer = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(1, 1 << 30);
        self.socket.set_send_buffer_size(self.buffer)
    }

    pub(super) fn raise_send_buffer(&self) {
        let _ = self.socket.set_send_buffer_size(self.buffer + MORE);
    }

    pub(super) fn reset_send_buffer(&self) {
        let _ = self.socket.set_send_buffer_size(self.buffer);
    }

    pub(super) fn end_sending(&self) {
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    pub(super) fn limit_receiving(&self, bytes: u64) -> io::Result<()> {
        self.socket.set_recv_buffer_size(
            usize::try_from(bytes).unwrap_or(usize::MAX).clamp(RECEIVE, 1 << 30),
        )
    }

    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.twice(Interest::Writable, |socket| socket.send(bytes))
    }

    pub(super) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.twice(Interest::Writable, |socket| {
            socket.send_vectored(&[IoSlice::new(first), IoSlice::new(second)])
        })
    }

    pub(super) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.event.is_quiet() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.twice(Interest::Readable, |mut socket| socket.read(bytes))
    }

    pub(super) fn writable(&self) -> bool {
        is_writable(&self.socket)
    }

    /// If a call would block, requests its event and makes the call once more: the event does not
    /// tell of what was there before.
    fn twice(
        &self,
        interest: Interest,
        mut call: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match call(&self.socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.event.watch(&self.socket, interest)?;
                call(&self.socket)
            }
            done => done,
        }
    }
}
