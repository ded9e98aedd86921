use std::io;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Hello, MAX_HELLO, Operation, Reply, Result};
use anyipc_os::half_open::{Handshake, Reserve, Step};

use super::ready::ReadySlot;
use super::{HANDSHAKE, MAPPED};
use crate::region::Region;
use crate::sys::{Credentials, Fd, Socket};

/// The time in which a connector that was welcomed must have mapped the memory. Longer than a
/// hello's: it has shown that it may come in, and may run on a busy machine. While the list is full
/// it has as long as for its hello.
const MAPPING: Duration = Duration::from_secs(10);

/// The owner's side of one handshake. What a connector makes the owner keep is bounded: a socket,
/// the descriptors that its channel needs, the longest hello, and from the welcome on the memory of
/// one channel.
#[derive(Debug)]
pub(super) struct OwnerHandshake {
    pub(super) socket: Socket,
    pub(super) credentials: Credentials,
    /// Descriptors that its channel needs beside the socket, until the welcome.
    pub(super) reserve: Reserve,
    received: Vec<u8>,
    /// Set once it is complete: then the handshake waits for the channel's memory.
    pub(super) hello: Option<Hello>,
    /// Set once the welcome is out: then the handshake waits until the connector has mapped the
    /// memory.
    pub(super) welcomed: Option<Welcomed>,
    /// When the present part began: the hello, the memory, the mapping.
    since: Instant,
}

/// What a connector was promised with its welcome.
#[derive(Debug)]
pub(super) struct Welcomed {
    /// The hello in the welcome.
    pub(super) ours: Hello,
    pub(super) region: Region,
    pub(super) ready: Option<ReadySlot>,
    pub(super) extra: u64,
    pub(super) extras: Vec<Fd>,
}

impl OwnerHandshake {
    pub(super) fn new(socket: Socket, credentials: Credentials, reserve: Reserve) -> Self {
        Self {
            socket,
            credentials,
            reserve,
            received: Vec::new(),
            hello: None,
            welcomed: None,
            since: Instant::now(),
        }
    }

    /// True from the hello to the welcome.
    pub(super) fn awaits_memory(&self) -> bool {
        self.hello.is_some() && self.welcomed.is_none()
    }

    /// The connector cannot be late while the owner makes its memory.
    pub(super) fn wait_for_memory(&mut self) {
        self.since = Instant::now();
    }

    /// The welcome is out.
    pub(super) fn wait_for_mapping(&mut self, welcomed: Welcomed) {
        self.welcomed = Some(welcomed);
        self.since = Instant::now();
    }

    /// Sends the welcome: how many of its bytes went out.
    pub(super) fn send_welcome(&self, bytes: &[u8], fds: &[&Fd]) -> io::Result<usize> {
        self.socket.take_descriptors();
        self.socket.send_with(bytes, fds)
    }

    /// Reads the hello. Complete if it is all there, and nothing after it.
    pub(super) fn hear_hello(&mut self) -> Result<Step> {
        let mut descriptors = Vec::new();
        loop {
            let mut bytes = [0; 512];
            match self.hear(&mut bytes, &mut descriptors)? {
                None => return Ok(Step::Waits),
                // A process that connects only to see whether an owner lives sends nothing.
                Some(0) if self.received.is_empty() => return Ok(Step::Left),
                Some(0) => return Err(left()),
                Some(got) => self.received.extend_from_slice(&bytes[..got]),
            }
            if let Some((hello, used)) = Hello::decode(&self.received)? {
                if used == self.received.len() && descriptors.is_empty() {
                    self.hello = Some(hello);
                    return Ok(Step::Complete);
                }
                return Err(corrupt("the connector said more than its hello"));
            }
            if self.received.len() >= MAX_HELLO {
                return Err(corrupt("the hello is too long"));
            }
        }
    }

    /// Reads the byte by which a connector says that it has mapped the memory. Exactly one:
    /// doorbell bytes of the channel, and its descriptors, may follow.
    pub(super) fn hear_mapped(&mut self) -> Result<Step> {
        let (mut byte, mut descriptors) = ([0], Vec::new());
        match self.hear(&mut byte, &mut descriptors)? {
            None => Ok(Step::Waits),
            Some(0) => Err(left()),
            Some(_) if byte == [MAPPED] && descriptors.is_empty() => Ok(Step::Complete),
            Some(_) => Err(corrupt("the connector did not say that it has mapped the memory")),
        }
    }

    /// `None`: nothing has arrived; 0: the connector has left.
    fn hear(&self, bytes: &mut [u8], descriptors: &mut Vec<Fd>) -> Result<Option<usize>> {
        loop {
            return match self.socket.recv_with(bytes, descriptors) {
                Ok(got) => Ok(Some(got)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(None),
                    io::ErrorKind::Interrupted => continue,
                    // It left what we sent in its socket.
                    io::ErrorKind::ConnectionReset => Ok(Some(0)),
                    _ => Err(Error::io(Operation::Accept, "reading a connector's bytes", error)),
                },
            };
        }
    }
}

fn left() -> Error {
    Error::new(Operation::Accept, ErrorKind::PeerGone)
        .because("the connector left in the middle of its handshake")
}

fn corrupt(why: &str) -> Error {
    Error::new(Operation::Accept, ErrorKind::Corrupt).because(why)
}

impl Handshake for OwnerHandshake {
    type Wire = Socket;

    fn wire(&self) -> &Socket {
        &self.socket
    }

    fn deadline(&self) -> Instant {
        self.since + if self.welcomed.is_some() { MAPPING } else { HANDSHAKE }
    }

    fn deadline_if_full(&self) -> Instant {
        self.since + HANDSHAKE
    }

    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut).because(match self.welcomed {
            None => "the connector did not finish its hello within 1 s",
            Some(_) => {
                "the connector did not map the channel's memory within 10 s, or within 1 s while \
                 others wait for its place"
            }
        })
    }

    fn refuse(&self, error: &Error) {
        // After the welcome the connector listens for doorbell bytes only.
        if self.welcomed.is_none()
            && let Ok(reply) = Reply::reject(error).encode()
        {
            let _ = self.socket.send_with(&reply, &[]);
        }
    }

    fn has_spoken(&self) -> bool {
        !self.received.is_empty()
    }
}
