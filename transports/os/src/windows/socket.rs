use std::io;
use std::os::windows::io::{AsRawSocket, OwnedHandle};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyipc_core::{Handles, Interest, Source};
use windows_sys::Win32::Networking::WinSock::{
    FD_ACCEPT, FD_CLOSE, FD_READ, FD_SET, FD_WRITE, SIO_TCP_INITIAL_RTO, SO_EXCLUSIVEADDRUSE,
    SOCKET, SOCKET_ERROR, SOL_SOCKET, TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS,
    TCP_INITIAL_RTO_PARAMETERS, TIMEVAL, WSAEventSelect, WSAIoctl, select, setsockopt,
};

use super::event::Event;

/// A socket's event. It reports one thing at a time, and stays signalled until
/// [`watch`](Self::watch).
#[derive(Debug)]
pub struct SocketEvent {
    event: Arc<Event>,
    /// True if it reports connections to accept or bytes to receive.
    for_reading: AtomicBool,
}

impl SocketEvent {
    /// Makes the socket's calls non-blocking, and its event report what it can accept or receive.
    pub fn new(socket: &impl AsRawSocket) -> io::Result<Self> {
        let event = Self { event: Event::new()?, for_reading: AtomicBool::new(false) };
        event.watch(socket, Interest::Readable)?;
        Ok(event)
    }

    /// From now on it is signalled when there may be something to accept or receive, or when there
    /// may be room; at once, if that is so already. For a caller that has found nothing: it looks
    /// once more afterwards.
    pub fn watch(&self, socket: &impl AsRawSocket, interest: Interest) -> io::Result<()> {
        let wanted = match interest {
            Interest::Readable => FD_ACCEPT | FD_READ | FD_CLOSE,
            Interest::Writable => FD_WRITE | FD_CLOSE,
        };
        self.for_reading.store(false, Ordering::Relaxed);
        self.event.reset();
        // SAFETY: socket and event are open for the call; closing either ends the association.
        let code = unsafe { WSAEventSelect(raw(socket), self.event.raw() as isize, wanted as i32) };
        if code != 0 {
            return Err(io::Error::last_os_error());
        }
        self.for_reading.store(interest == Interest::Readable, Ordering::Relaxed);
        Ok(())
    }

    /// True if nothing has arrived to be accepted or received since the watcher found nothing: one
    /// call, where finding nothing again takes four.
    pub fn is_quiet(&self) -> bool {
        self.for_reading.load(Ordering::Relaxed) && !self.event.is_set()
    }

    /// What a reactor registers.
    pub fn source(&self) -> Source {
        self.event.source()
    }
}

impl Handles for SocketEvent {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.event.each(see);
    }
}

/// Whether a socket takes more bytes, or is connected, or knows that neither will ever be.
pub fn is_writable(socket: &impl AsRawSocket) -> bool {
    let one = || {
        let mut set = FD_SET { fd_count: 1, ..FD_SET::default() };
        set.fd_array[0] = raw(socket);
        set
    };
    let (mut room, mut failed) = (one(), one());
    let now = TIMEVAL { tv_sec: 0, tv_usec: 0 };
    // SAFETY: the socket is open for the call, the sets are ours to write, and the call does not
    // wait.
    unsafe { select(0, ptr::null_mut(), &mut room, &mut failed, &now) > 0 }
}

/// Keeps others from listening where this socket will, which they otherwise may.
pub fn claim_port(socket: &impl AsRawSocket) -> io::Result<()> {
    let on = 1_i32.to_ne_bytes();
    // SAFETY: the socket is open for the call, and the value has the size that is said.
    let code = unsafe {
        setsockopt(
            raw(socket),
            SOL_SOCKET,
            SO_EXCLUSIVEADDRUSE,
            on.as_ptr(),
            size_of_val(&on) as i32,
        )
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Connecting fails at once without a listener; the system would ask again for 2 s. As far as it
/// grants that.
pub fn ask_once(socket: &impl AsRawSocket) {
    let once = TCP_INITIAL_RTO_PARAMETERS {
        // As it is.
        Rtt: u16::MAX,
        MaxSynRetransmissions: TCP_INITIAL_RTO_NO_SYN_RETRANSMISSIONS as u8,
    };
    let mut used = 0;
    // SAFETY: the socket is open for the call, the parameters have the size that is said, and
    // nothing is overlapped.
    let code = unsafe {
        WSAIoctl(
            raw(socket),
            SIO_TCP_INITIAL_RTO,
            (&raw const once).cast(),
            size_of_val(&once) as u32,
            ptr::null_mut(),
            0,
            &mut used,
            ptr::null_mut(),
            None,
        )
    };
    debug_assert!(code == 0 || code == SOCKET_ERROR);
}

fn raw(socket: &impl AsRawSocket) -> SOCKET {
    socket.as_raw_socket() as SOCKET
}
