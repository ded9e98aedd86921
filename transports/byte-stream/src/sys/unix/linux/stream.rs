use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyipc_core::{Interest, Source};
use anyipc_os::{
    Dir, Fd, limit_unsent, recv_descriptors, refuse_data, send_memory, sleep, stream_pair,
    take_descriptors,
};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, Shutdown, recv, send, sendmsg, shutdown,
};

use super::SendRoom;
use crate::sys::Credentials;
use crate::sys::unix::socket::{self, SEND};

/// The bytes that a local stream may have in flight, unless the address says otherwise.
const BUFFER: usize = 104 << 10;
/// By how many bytes a send buffer is raised.
const MORE: usize = 104 << 10;
/// The bytes that a TCP connection may hold unsent, unless the address says otherwise. The kernel
/// sizes its buffer: a small fixed one makes small frames several times slower, and so does a lower
/// limit.
const TCP_UNSENT: usize = 2 << 20;
/// The smallest receive buffer with which TCP makes progress, in bytes: two segments of the
/// loopback.
const TCP_RECEIVE: usize = 128 << 10;
/// The receive timeout of the socket. A receive that blocks is one call, where polling takes three.
/// As long as a slice of a caller's sleep.
const SLEEP: Duration = Duration::from_millis(100);
/// The largest buffer that is ever requested, in bytes.
const MOST: usize = i32::MAX as usize / 4;
/// More bytes than the kernel lets a stream hold unreceived: after discarding that many, everything
/// that was there at first is discarded, however much more comes.
const MOST_UNREAD: usize = 64 << 20;

/// A non-blocking byte stream: a local socket or a TCP connection.
#[derive(Debug)]
pub struct Stream {
    fd: Fd,
    tcp: bool,
    /// True if descriptors may be among the bytes. False once the kernel refuses them and
    /// everything older was received. Relaxed: it publishes no other data.
    carries: AtomicBool,
}

impl Stream {
    /// True if [`has_bytes`](Self::has_bytes) can tell.
    pub(crate) const PEEKS: bool = true;
    /// True if a local stream can hand over the end of another one.
    pub(crate) const PASSES_STREAMS: bool = true;
    /// True if a TCP connection that carries both directions of a channel can end without a loss.
    pub(crate) const TCP_BOTH_WAYS: bool = true;
    /// True if a receive that fills less than its buffer has taken everything, and the source then
    /// becomes readable anew when more comes.
    pub(crate) const DRAINS: bool = true;

    /// Connects to the local listener at a name. `NotFound` or `ConnectionRefused`: no owner
    /// listens; `WouldBlock`: its queue is full.
    pub(crate) fn local(dir: &Dir, name: &str) -> io::Result<Self> {
        let stream = Self::ready(socket::connect_local(dir, name)?);
        stream.carries.store(true, Relaxed);
        Ok(stream)
    }

    /// Both ends of a new local stream.
    pub(crate) fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = stream_pair()?;
        for end in [&a, &b] {
            take_descriptors(end, false);
        }
        Ok((Self::ready(a), Self::ready(b)))
    }

    /// Begins to connect over TCP; [`connected`](Self::connected) tells when it is done.
    pub fn tcp(to: &SocketAddr) -> io::Result<Self> {
        socket::connect_tcp(to, prepare_tcp).map(Self::over_tcp)
    }

    /// True if the connection is established. `ConnectionRefused` if no owner listens at the port.
    pub fn connected(&self) -> io::Result<bool> {
        socket::connected(&self.fd)
    }

    pub(in super::super) fn ready(fd: Fd) -> Self {
        Self { fd, tcp: false, carries: AtomicBool::new(false) }
    }

    /// Takes over a connected local socket that does not block. Its other end may be any program's.
    pub fn adopt(fd: Fd) -> Self {
        let stream = Self::ready(fd);
        stream.refuse_descriptors();
        stream
    }

    /// Limits the direction that this end sends to about `bytes` in flight; 0 is the default. Never
    /// so few that a frame has no room; of a local stream never more than `net.core.wmem_max`.
    pub(crate) fn limit_sending(&mut self, bytes: u64) -> io::Result<SendRoom> {
        let asked = (bytes > 0).then(|| usize::try_from(bytes).unwrap_or(usize::MAX).min(MOST));
        if self.tcp {
            SendRoom::tcp(&self.fd, asked.unwrap_or(TCP_UNSENT))
        } else {
            SendRoom::local(&self.fd, asked.unwrap_or(BUFFER))
        }
    }

    /// The receiving end's part of [`limit_sending`](Self::limit_sending). Local streams need none:
    /// what is in flight counts as the sender's.
    pub(crate) fn limit_receiving(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 || !self.tcp {
            return Ok(());
        }
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).clamp(TCP_RECEIVE, MOST);
        Ok(sockopt::set_socket_recv_buffer_size(&self.fd, most)?)
    }

    pub(in super::super) fn tcp_ready(fd: Fd) -> io::Result<Self> {
        prepare_tcp(&fd)?;
        Ok(Self::over_tcp(fd))
    }

    fn over_tcp(fd: Fd) -> Self {
        Self { fd, tcp: true, carries: AtomicBool::new(false) }
    }

    /// The peer of a local stream, as the kernel says: the process that called `connect` or
    /// `listen`.
    pub fn credentials(&self) -> io::Result<Credentials> {
        socket::credentials(&self.fd)
    }

    /// Sends as much as the kernel takes now.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(&self.fd, bytes, SEND)?)
    }

    /// As [`send`](Self::send), two pieces in one call.
    pub(crate) fn send_two(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        Ok(sendmsg(&self.fd, &pieces, &mut SendAncillaryBuffer::default(), SEND)?)
    }

    /// Sends bytes and, with the first of them, the end of another stream.
    pub(crate) fn send_with(&self, bytes: &[u8], other: &Self) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [other.as_fd()];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(sendmsg(&self.fd, &[IoSlice::new(bytes)], &mut control, SEND)?)
    }

    /// True if there is something to receive; it stays there. An error once the other side has hung
    /// up and nothing is left.
    pub fn has_bytes(&self) -> io::Result<bool> {
        socket::has_bytes(&self.fd)
    }

    /// Receives what is there. 0: the other side hung up.
    pub(crate) fn recv(&self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.carries.load(Relaxed) {
            return self.recv_last(bytes);
        }
        Ok(recv(&self.fd, bytes, RecvFlags::DONTWAIT)?.0)
    }

    /// The same, while descriptors may be among the bytes. They are taken out: left to the kernel,
    /// one that closes slowly would block this thread.
    #[cold]
    fn recv_last(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let got = recv_descriptors(&self.fd, bytes, &mut Vec::new(), RecvFlags::DONTWAIT);
        if matches!(&got, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            self.carries.store(false, Relaxed);
        }
        got
    }

    /// Makes the kernel refuse further descriptors. Those that came before may be in the stream.
    /// Where the kernel cannot refuse them they may always be, and are not looked for.
    fn refuse_descriptors(&self) {
        self.carries.store(take_descriptors(&self.fd, false), Relaxed);
    }

    /// Prepares [`recv_within`](Self::recv_within). False if it cannot block. Not for an end that a
    /// peer handed over: the peer may still hold it and could change its timeout.
    pub(crate) fn sleeps(&self) -> bool {
        sockopt::set_socket_timeout(&self.fd, Timeout::Recv, Some(SLEEP)).is_ok()
            && rustix::io::ioctl_fionbio(&self.fd, false).is_ok()
    }

    /// As [`recv`](Self::recv), but blocks until there is something, for about `timeout` at most.
    pub(crate) fn recv_within(
        self: &Arc<Self>,
        bytes: &mut [u8],
        timeout: Duration,
    ) -> io::Result<usize> {
        if timeout < SLEEP || self.carries.load(Relaxed) {
            sleep(&self.source(), Interest::Readable, timeout);
            return self.recv(bytes);
        }
        Ok(recv(&self.fd, bytes, RecvFlags::empty())?.0)
    }

    /// As [`recv`](Self::recv); a stream that came along replaces `other`.
    pub(crate) fn recv_with(
        &self,
        bytes: &mut [u8],
        other: &mut Option<Self>,
    ) -> io::Result<usize> {
        let mut fds = Vec::new();
        let got = recv_descriptors(&self.fd, bytes, &mut fds, RecvFlags::DONTWAIT)?;
        if let Some(fd) = fds.pop() {
            // It may be any kind of file: no call may block on it.
            rustix::io::ioctl_fionbio(&fd, true)?;
            // No further descriptor is expected.
            let stream = Self::ready(fd);
            stream.refuse_descriptors();
            self.refuse_descriptors();
            *other = Some(stream);
        }
        Ok(got)
    }

    /// True if a sender gets an error once the receiver has closed, while the other direction goes
    /// on.
    pub(crate) fn tells_of_stop(&self) -> bool {
        !self.tcp
    }

    /// Ends the direction that this end sends. The other one goes on.
    pub(crate) fn end_sending(&self) {
        let _ = shutdown(&self.fd, Shutdown::Write);
    }

    /// Ends the direction that this end receives. The other one goes on. What has come is
    /// discarded, since the sender may sleep until there is room.
    pub(crate) fn end_receiving(&self) {
        // Over TCP the sender would not learn of a shutdown, and would get a reset once the other
        // direction has ended.
        if self.tcp || shutdown(&self.fd, Shutdown::Read).is_ok() {
            self.discard();
        }
    }

    /// Both directions have ended. Data that comes now must not reset a TCP connection, since a
    /// reset destroys what was sent.
    pub(crate) fn part(&self) {
        if self.tcp && refuse_data(&self.fd).is_ok() {
            self.discard();
        }
    }

    fn discard(&self) {
        let mut rest = [0; 16 << 10];
        let mut thrown = 0;
        while thrown < MOST_UNREAD {
            match self.recv(&mut rest) {
                Ok(0) => break,
                Ok(got) => thrown += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
    }

    pub(super) fn fd(&self) -> &Fd {
        &self.fd
    }

    /// Raises the send buffer, as far as the kernel grants it. The kernel doubles the value that it
    /// is given, and would shrink a buffer that it has itself sized beyond what it grants. Over TCP
    /// it may have made the buffer smaller than what is queued.
    pub(crate) fn raise_send_buffer(&self) {
        let Ok(memory) = send_memory(&self.fd) else { return };
        if !self.tcp {
            let _ = sockopt::set_socket_send_buffer_size(&self.fd, memory.limit / 2 + MORE);
            return;
        }
        let size = memory.limit.max(memory.queued);
        if memory.limit < 2 * (BUFFER + MORE) {
            let _ = sockopt::set_socket_send_buffer_size(&self.fd, size / 2 + 2 * MORE);
        }
        let _ = limit_unsent(&self.fd, usize::MAX);
    }

    /// The readiness of the source that a sender waits for.
    pub(crate) fn send_interest(&self) -> Interest {
        Interest::Writable
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

impl Drop for Stream {
    /// Takes descriptors out that are still there: left to the kernel, one that closes slowly would
    /// block this thread.
    fn drop(&mut self) {
        if !self.carries.load(Relaxed) || !self.fd.is_ours() {
            return;
        }
        // So that nothing more comes.
        let _ = shutdown(&self.fd, Shutdown::Both);
        self.discard();
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn prepare_tcp(fd: &Fd) -> io::Result<()> {
    socket::prepare_tcp(fd)
}
