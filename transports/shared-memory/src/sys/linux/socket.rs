use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

use anyipc_core::{Result, Source};
use anyipc_os::{Dir, Fd, Quiet};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recvmsg, send, sendmsg, socket_with,
};

use super::super::{Bells, Credentials};

/// How many connectors may queue before the owner looks.
const BACKLOG: i32 = 1024;
/// The most descriptors one message carries.
const MAX_FDS: usize = 4;
/// What the set calls the listening socket and those who have just come; the watched ones have smaller numbers.
const CONNECTOR: u64 = u64::MAX;
const FLAGS: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// A non-blocking local stream socket.
#[derive(Debug)]
pub(crate) struct Socket(Fd);

impl Socket {
    /// Connects to the listener at a name. `NotFound` or `ConnectionRefused`: nobody listens; `WouldBlock`:
    /// its queue is full.
    pub(crate) fn connect(dir: &Dir, name: &str) -> io::Result<Self> {
        let fd = Fd::make(|| Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?))?;
        connect(&fd, &address(dir, name)?)?;
        Ok(Self(fd))
    }

    /// The process and the user that called `connect` or `listen` on the other side.
    pub(crate) fn credentials(&self) -> io::Result<Credentials> {
        let (pid, uid) = anyipc_os::peer_of(&self.0)?;
        Ok(Credentials { pid, uid })
    }

    /// Sends bytes and, with the first of them, descriptors.
    pub(crate) fn send_with(&self, bytes: &[u8], fds: &[&Fd]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<BorrowedFd<'_>> = fds.iter().map(|fd| fd.as_fd()).collect();
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, flags)?)
    }

    /// Receives bytes, and appends the descriptors that came with them. 0: the other side hung up. An
    /// [exhausted](is_exhausted) table loses the descriptors, and the bytes with them.
    pub(crate) fn recv_with(&self, bytes: &mut [u8], fds: &mut Vec<Fd>) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let _quiet = Quiet::new();
        let got = recvmsg(&self.0, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received.map(Fd::new));
            }
        }
        // The kernel drops the descriptors that it finds no number for.
        if got.flags.contains(ReturnFlags::CTRUNC) { Err(Errno::MFILE.into()) } else { Ok(got.bytes) }
    }

    /// Whether the other side has hung up or died.
    pub(crate) fn hung_up(&self) -> bool {
        let mut fds = [PollFd::new(&self.0, PollFlags::RDHUP)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(poll(&mut fds, Some(&now)), Ok(1..))
    }

    /// Wakes the other side's reactor. False if there is no other side.
    pub(crate) fn ring_bell(&self) -> bool {
        let rung = send(&self.0, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        // A full socket is full of bells, and a system without memory tells nothing of the other side, which
        // looks again by itself.
        !matches!(rung, Err(error) if is_end(error))
    }

    /// Takes the bells that were rung, and appends the descriptors that came with them. More than a socket
    /// holds of them are left: a peer that never stops ringing must not hold us. A hang-up behind them may be told by
    /// the next call only; until then the socket stays readable.
    pub(crate) fn take_bells(&self, fds: &mut Vec<Fd>) -> Bells {
        let mut bells = Bells::default();
        let mut bytes = [0; 256];
        for _ in 0..64 {
            let before = fds.len();
            match self.recv_with(&mut bytes, fds) {
                Ok(0) => bells.hung_up = true,
                Ok(got) => {
                    bells.rung = true;
                    // There was no more. (A read ends behind descriptors, whatever follows.)
                    if got < bytes.len() && fds.len() == before {
                        break;
                    }
                    continue;
                }
                Err(error) if is_exhausted(&error) => {
                    bells.rung = true;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => bells.hung_up = Errno::from_io_error(&error).is_some_and(is_end),
            }
            break;
        }
        bells
    }

    #[cfg(test)]
    pub(crate) fn hang_up(&self) {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both).unwrap();
    }

    /// What a reactor registers.
    pub(crate) fn source(self: &Arc<Self>) -> Result<Source> {
        Ok(Arc::clone(self) as Source)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A listening local socket and the set of sockets its owner waits for.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Fd,
    set: Arc<Set>,
}

#[derive(Debug)]
struct Set(Fd);

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    /// Listens at a name; `AddrInUse` if something stands there.
    pub(crate) fn bind(dir: &Dir, name: &str) -> io::Result<Self> {
        let socket = Fd::make(|| Ok(socket_with(AddressFamily::UNIX, SocketType::STREAM, FLAGS, None)?))?;
        bind(&socket, &address(dir, name)?)?;
        listen(&socket, BACKLOG)?;
        let set = Fd::make(|| Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?))?;
        epoll::add(&set, &socket, epoll::EventData::new_u64(CONNECTOR), epoll::EventFlags::IN)?;
        Ok(Self { socket, set: Arc::new(Set(set)) })
    }

    /// Whether a waiting connector makes the source ready. One that cannot be let in must not, all the time.
    pub(crate) fn heed(&self, connectors: bool) {
        let flags = if connectors { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        // The set has the socket since `bind`; if this fails, waiting costs more, and that is all.
        let _ = epoll::modify(&self.set, &self.socket, epoll::EventData::new_u64(CONNECTOR), flags);
    }

    /// The next connector, if one is waiting.
    pub(crate) fn accept(&self) -> io::Result<Option<Socket>> {
        loop {
            match Fd::make(|| Ok(accept_with(&self.socket, FLAGS)?)) {
                Ok(fd) => return Ok(Some(Socket(fd))),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::WOULDBLOCK) => return Ok(None),
                    Some(Errno::INTR | Errno::CONNABORTED) => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// From now on the source is ready as if a connector were waiting while this one has something to say.
    pub(crate) fn expect(&self, socket: &Socket) -> io::Result<()> {
        Ok(epoll::add(&self.set, socket, epoll::EventData::new_u64(CONNECTOR), epoll::EventFlags::IN)?)
    }

    /// Ends that.
    pub(crate) fn forget(&self, socket: &Socket) {
        let _ = epoll::delete(&self.set, socket);
    }

    /// From now on the source is ready when something new arrives on this socket, under this number.
    pub(crate) fn watch(&self, socket: &Socket, number: u32) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&self.set, socket, epoll::EventData::new_u64(number.into()), flags)?)
    }

    /// Names the watched sockets that have told something since; a waiting connector stays told.
    pub(crate) fn clear(&self, told: &mut dyn FnMut(u32)) {
        let mut events = [const { MaybeUninit::uninit() }; 64];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Not without end: peers may ring faster than we look.
        for _ in 0..16 {
            match epoll::wait(&self.set.0, &mut events, Some(&now)) {
                Ok((some, _)) => {
                    some.iter().filter_map(|event| event.data.u64().try_into().ok()).for_each(&mut *told);
                    if some.len() < 64 {
                        return;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// What a reactor registers.
    pub(crate) fn source(&self) -> Result<Source> {
        Ok(Arc::clone(&self.set) as Source)
    }
}

/// True if there is no other side, and none of an error of another kind.
fn is_end(error: Errno) -> bool {
    matches!(error, Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN | Errno::SHUTDOWN)
}

/// True if the process or the system has run out of descriptors or of memory for them.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// The directory by descriptor: as long as a path may be, the address stays short, and means this directory.
fn address(dir: &Dir, name: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", dir.as_fd().as_raw_fd()))?)
}
