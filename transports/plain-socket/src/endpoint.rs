use std::ffi::CStr;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyipc_byte_stream::{BareIncoming, BareOutgoing, Credentials, Stream, bare};
use anyipc_core::{
    Armed, Attempt, Endpoint, Error, ErrorKind, Hello, Name, Operation, Peer, Rejections, Result,
    Role, Source, Waiter,
};
use anyipc_os::{Pace, check_generation, generation, user};

use crate::accept::Acceptor;
use crate::framing::{Decoder, Framing};
use crate::receiver::PlainReceiver;
use crate::sender::PlainSender;
use crate::sys::{self, SocketFile};

/// How soon to try again where no event tells: for an owner, and for room in its queue.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// A channel: its halves and its peer.
pub(crate) type PlainChannel = (PlainSender<BareOutgoing>, PlainReceiver<BareIncoming>, Peer);

/// What an address says.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) framing: Framing,
    /// Bytes of this side's send buffer; 0 leaves it to the system.
    pub(crate) capacity: u64,
    /// The users of `allow_uid`.
    pub(crate) others: Arc<[u32]>,
}

impl Settings {
    /// True if other users may connect.
    pub(crate) fn is_shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// `PermissionDenied` for a user that is neither this one nor named.
    pub(crate) fn check(&self, peer: &Credentials, operation: Operation) -> Result<()> {
        match peer.uid.filter(|uid| *uid != user() && !self.others.contains(uid)) {
            None => Ok(()),
            Some(uid) => Err(Error::new(operation, ErrorKind::PermissionDenied).because(format!(
                "the other side is user {uid}, and this one user {}; allow_uid={uid} admits it",
                user()
            ))),
        }
    }

    /// The halves over a stream to a peer that was checked. `max` is the longest message in bytes.
    pub(crate) fn channel(
        &self,
        stream: Stream,
        peer: Credentials,
        hello: &Hello,
    ) -> io::Result<PlainChannel> {
        let max = if hello.max_message == 0 { u64::MAX } else { hello.max_message };
        let (outgoing, incoming) = bare(stream, self.capacity)?;
        let theirs = Hello { transport: hello.transport.clone(), ..Hello::default() };
        Ok((
            PlainSender::new(outgoing, self.framing),
            PlainReceiver::new(incoming, Decoder::new(self.framing, max)),
            Peer { pid: peer.pid, uid: peer.uid, hello: theirs },
        ))
    }
}

/// A handle of a name or a path.
#[derive(Debug)]
pub struct PlainEndpoint {
    name: Name,
    settings: Settings,
    /// The owner's, of a path. Dropped before the listener: a path that leads to no listener would
    /// look like a dead owner's.
    file: Option<SocketFile>,
    /// The owner's.
    acceptor: Option<Acceptor>,
    /// When to check that the path still leads to the owner.
    pace: Pace,
    /// The connection that `open` made, for the first channel.
    first: Mutex<Option<Stream>>,
    /// The fork generation of the process that made the handle.
    generation: u32,
}

impl PlainEndpoint {
    pub(crate) fn owner(
        name: Name,
        settings: Settings,
        acceptor: Acceptor,
        file: Option<SocketFile>,
    ) -> Self {
        Self { acceptor: Some(acceptor), file, ..Self::opener(name, settings, None) }
    }

    pub(crate) fn opener(name: Name, settings: Settings, first: Option<Stream>) -> Self {
        Self {
            name,
            settings,
            acceptor: None,
            file: None,
            pace: Pace::default(),
            first: Mutex::new(first),
            generation: generation(),
        }
    }

    /// Gives the handle up.
    ///
    /// # Errors
    /// `StatFailed` if the socket's path was removed or replaced, `Forked`. The handle is released
    /// in either case.
    pub(crate) fn close(self) -> Result<()> {
        check_generation(self.generation, Operation::Close)?;
        match &self.file {
            Some(file) if !file.is_there() => {
                Err(Error::new(Operation::Close, ErrorKind::StatFailed).because(
                    "the path was removed or replaced from outside; the handle is released",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Once a second: `Removed` if the path no longer leads to this owner.
    fn check_path(&self) -> Result<()> {
        match &self.file {
            Some(file) if self.pace.is_due() && !file.is_there() => {
                Err(Error::new(Operation::Accept, ErrorKind::Removed).because(format!(
                    "{} was removed or replaced from outside, so no connector finds this owner: \
                     close it and create it again",
                    self.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// The connection that `open` made, unless its peer has left without a word.
    fn take_first(&self) -> Option<Stream> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.filter(|stream| stream.has_bytes().is_ok())
    }

    fn connect(&self, attempt: &Attempt) -> Result<PlainChannel> {
        let operation = Operation::Connect;
        let stream = match self.take_first() {
            Some(stream) => stream,
            None => sys::connect(&self.name).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => Error::new(operation, ErrorKind::WouldBlock),
                _ => sys::unreachable(&self.name, operation, ErrorKind::NoOwner, error),
            })?,
        };
        let peer = stream
            .credentials()
            .map_err(|error| Error::io(operation, "asking for the peer's user", error))?;
        self.settings.check(&peer, operation)?;
        self.settings
            .channel(stream, peer, &attempt.hello)
            .map_err(|error| Error::io(operation, "sizing a channel", error))
    }
}

/// `Unsupported` for a side that insists on types, which no peer confirms here.
fn check_untyped(hello: &Hello, operation: Operation) -> Result<()> {
    if hello.sends.is_none() && hello.receives.is_none() {
        return Ok(());
    }
    Err(Error::new(operation, ErrorKind::Unsupported).because(
        "plain:// has no handshake in which types could be compared: connect without types, then \
         say Channel::typed()",
    ))
}

impl Endpoint for PlainEndpoint {
    type Sender = PlainSender<BareOutgoing>;
    type Receiver = PlainReceiver<BareIncoming>;

    fn role(&self) -> Role {
        if self.acceptor.is_some() { Role::Owner } else { Role::Opener }
    }

    fn try_connect(&self, attempt: &mut Attempt) -> Result<PlainChannel> {
        let Some(acceptor) = &self.acceptor else {
            check_generation(self.generation, Operation::Connect)?;
            check_untyped(&attempt.hello, Operation::Connect)?;
            return self.connect(attempt);
        };
        check_generation(self.generation, Operation::Accept)?;
        check_untyped(&attempt.hello, Operation::Accept)?;
        let accepted = acceptor.try_accept(&self.settings, &attempt.hello);
        if accepted.as_ref().is_err_and(Error::is_would_block) {
            self.check_path()?;
        }
        accepted
    }

    fn arm(&self, _attempt: &mut Attempt, _waiter: Waiter<'_>) -> Result<Armed> {
        match &self.acceptor {
            Some(acceptor) => acceptor.arm(),
            None => Ok(Armed::After(RETRY_AFTER)),
        }
    }

    fn source(&self, _attempt: &Attempt) -> Result<Source> {
        match &self.acceptor {
            Some(acceptor) => Ok(acceptor.source()),
            None => Err(Error::new(Operation::Connect, ErrorKind::Unsupported)),
        }
    }

    fn read_lpsz(&self, _read: &mut dyn FnMut(&CStr)) -> Result<()> {
        Err(Error::new(Operation::ReadLpsz, ErrorKind::Unsupported)
            .because("plain:// is a socket and nothing beside it; local:// keeps texts"))
    }

    fn rejections(&self) -> Rejections {
        self.acceptor.as_ref().map(Acceptor::rejections).unwrap_or_default()
    }
}
