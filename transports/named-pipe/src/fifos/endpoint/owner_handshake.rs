use std::io;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Hello, Name, Operation, Reply, Result};
use anyipc_os::half_open::{Handshake, Step};

use crate::fifos::connection::Connection;
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// The limit of a handshake: from its beginning for the owner, from the owner's first byte for the
/// opener.
pub(super) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(1);

/// The owner's side of a half-open handshake. What it makes the owner keep is bounded: four
/// descriptors and the longest hello.
#[derive(Debug)]
pub(super) struct OwnerHandshake {
    pub(super) connection: Connection,
    /// The hello, as far as it has arrived.
    received: Vec<u8>,
    /// The hello, once it is complete.
    pub(super) hello: Option<Hello>,
    deadline: Instant,
}

impl OwnerHandshake {
    /// Opens the FIFOs of a connector. `NotFound`: it gave up.
    pub(super) fn join(settings: &Settings, name: &Name, connection_id: &str) -> io::Result<Self> {
        let connection = Connection::join(&settings.dir, name, connection_id)?;
        let deadline = Instant::now() + HANDSHAKE_LIMIT;
        Ok(Self { connection, received: Vec::new(), hello: None, deadline })
    }

    /// Goes as far as what has arrived allows. Reads nothing beyond the hello: what follows it
    /// belongs to the channel.
    pub(super) fn step(&mut self) -> Result<Step> {
        loop {
            let mut bytes = [0; 512];
            let missing = Reply::missing(&self.received).min(bytes.len());
            let room = bytes.get_mut(..missing).unwrap_or_default();
            match self.connection.incoming().read(room) {
                Ok(0) if self.received.is_empty() => return Ok(Step::Left),
                Ok(0) => {
                    return Err(Error::new(Operation::Accept, ErrorKind::PeerGone)
                        .because("the connector left in the middle of its handshake"));
                }
                Ok(got) => self.received.extend_from_slice(room.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Waits),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Error::io(Operation::Accept, "reading a handshake", error));
                }
            }
            if let Some((hello, _)) = Hello::decode(&self.received)? {
                self.hello = Some(hello);
                return Ok(Step::Complete);
            }
        }
    }

    /// Resizes the FIFOs to the capacity in the owner's address, if it has one.
    pub(super) fn resize(&self, settings: &Settings) -> Result<()> {
        let Some(capacity) = settings.capacity() else { return Ok(()) };
        self.connection.resize(capacity).map_err(|error| {
            let kind = if error.kind() == io::ErrorKind::PermissionDenied {
                ErrorKind::OutOfMemory
            } else {
                ErrorKind::of_io(&error)
            };
            Error::new(Operation::Accept, kind).because(format!(
                "the system gives this user no FIFO of {capacity} bytes now ({error}); close some, \
                 ask for less capacity, or raise /proc/sys/fs/pipe-user-pages-soft"
            ))
        })
    }
}

impl Handshake for OwnerHandshake {
    type Wire = Fifo;

    fn wire(&self) -> &Fifo {
        self.connection.incoming()
    }

    fn deadline(&self) -> Instant {
        self.deadline
    }

    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut)
            .because("the connector did not finish its handshake within 1 s")
    }

    fn refuse(&self, error: &Error) {
        if let Ok(reply) = Reply::reject(error).encode() {
            let _ = self.connection.outgoing().write(&reply);
        }
    }

    fn has_spoken(&self) -> bool {
        !self.received.is_empty()
    }
}
