use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Name, Operation, Peer, Rejections, Reply, Result,
    Source,
};
use anyipc_os::half_open::{Admission, HalfOpen, Handshake, Listening, Next, Reserve, Step};
use anyipc_os::{Set, is_shortage};

use crate::fifos::connection::{Connection, PipeReceiver, PipeSender};
use crate::fifos::request::{Heard, Requests};
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// The longest that a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);

/// The descriptors of a channel: four FIFOs, and a set for its sender. The last one is not kept for each connector: an
/// honest one has said its hello when it asks, and is admitted at once.
const DESCRIPTORS: usize = 5;

/// The owner's side of the handshakes.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// Where connectors ask for the owner. It writes there, too, so that it never sees their end.
    listener: Fifo,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requests: Requests,
    /// A request that could not be answered for want of descriptors or memory.
    postponed: Option<String>,
    half_open: HalfOpen<OwnerHandshake>,
}

/// A connector on its way in. What it makes the owner keep is bounded: four descriptors and the longest hello.
#[derive(Debug)]
struct OwnerHandshake {
    connection: Connection,
    /// Its hello, as far as it is here.
    said: Vec<u8>,
    hello: Option<Hello>,
    deadline: Instant,
}

/// The owner's part in one call.
struct Accepting<'a> {
    listener: &'a Fifo,
    requests: &'a mut Requests,
    postponed: &'a mut Option<String>,
    name: &'a Name,
    settings: &'a Settings,
    ours: Hello,
}

impl Acceptor {
    pub(crate) fn new(listener: Fifo, operation: Operation) -> Result<Self> {
        let state = State {
            requests: Requests::default(),
            postponed: None,
            half_open: HalfOpen::new(operation)?,
        };
        Ok(Self { listener, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every handshake a step further; gives the first that is complete.
    pub(crate) fn try_accept(
        &self,
        name: &Name,
        settings: &Settings,
        attempt: &Attempt,
    ) -> Result<(PipeSender, PipeReceiver, Peer)> {
        let State { requests, postponed, half_open } = &mut *self.state();
        let ours = settings.owner_hello(&attempt.hello);
        half_open.try_accept(&mut Accepting {
            listener: &self.listener,
            requests,
            postponed,
            name,
            settings,
            ours,
        })
    }

    pub(crate) fn arm(&self) -> Result<Armed> {
        self.state().half_open.arm()
    }

    pub(crate) fn source(&self) -> Source {
        self.state().half_open.source()
    }

    pub(crate) fn rejections(&self) -> Rejections {
        self.state().half_open.rejections()
    }
}

impl Listening for Accepting<'_> {
    type Handshake = OwnerHandshake;
    type Channel = (PipeSender, PipeReceiver, Peer);
    type Listener = Fifo;

    fn listener(&self) -> &Fifo {
        self.listener
    }

    fn next(&mut self, set: &Set) -> io::Result<Next<OwnerHandshake>> {
        let connection_id = match self.postponed.take() {
            Some(connection_id) => connection_id,
            None => match self.requests.next(self.listener)? {
                Some(Heard::Request(connection_id)) => connection_id,
                Some(Heard::Garbage) => {
                    return Ok(Next::Rejected(strange(
                        "what was written into the FIFO is no request of ours",
                    )));
                }
                None => return Ok(Next::Nobody),
            },
        };
        // A connector that sees some of its FIFOs opened and closed again takes its owner for dead.
        let room = Reserve::new(DESCRIPTORS, set).map(drop);
        match room.and_then(|()| OwnerHandshake::join(self.settings, self.name, &connection_id)) {
            Ok(handshake) => Ok(Next::Begun(handshake)),
            // It gave up before we looked: no offence.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Next::Left),
            Err(error) if is_shortage(&error) => {
                *self.postponed = Some(connection_id);
                Err(error)
            }
            Err(error) => {
                Ok(Next::Rejected(strange(&format!("its FIFOs cannot be opened: {error}"))))
            }
        }
    }

    fn has_more(&self) -> bool {
        self.requests.has_more()
    }

    fn step(
        &mut self,
        handshake: &mut OwnerHandshake,
        _others: &mut HalfOpen<OwnerHandshake>,
    ) -> Result<Step> {
        let step = handshake.step()?;
        if let Some(theirs) = &handshake.hello {
            self.ours.check(theirs)?;
            handshake.prepare(self.settings)?;
        }
        Ok(step)
    }

    /// Makes a channel of a handshake, and welcomes it.
    fn admit(
        &mut self,
        handshake: OwnerHandshake,
        _set: &Set,
    ) -> Admission<OwnerHandshake, (PipeSender, PipeReceiver, Peer)> {
        let OwnerHandshake { connection, hello, .. } = handshake;
        let welcome = Reply::Welcome(self.ours.clone()).encode();
        let made = welcome.and_then(|welcome| {
            let halves = connection.halves(&welcome, self.ours.capacity);
            halves.map_err(|error| Error::io(Operation::Accept, "making a channel", error))
        });
        match made {
            Ok((sender, receiver)) => {
                let peer = Peer { pid: None, uid: None, hello: hello.unwrap_or_default() };
                Admission::Channel((sender, receiver, peer))
            }
            Err(error) => Admission::Refused(None, error),
        }
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

    fn tell(&self, error: &Error) {
        if let Ok(reply) = Reply::reject(error).encode() {
            let _ = self.connection.outgoing().write(&reply);
        }
    }

    fn has_spoken(&self) -> bool {
        !self.said.is_empty()
    }
}

impl OwnerHandshake {
    fn join(settings: &Settings, name: &Name, connection_id: &str) -> io::Result<Self> {
        let connection = Connection::join(&settings.dir, name, connection_id)?;
        let deadline = Instant::now() + HANDSHAKE;
        Ok(Self { connection, said: Vec::new(), hello: None, deadline })
    }

    /// Goes as far as what has arrived allows. Reads nothing beyond the hello: what follows is the channel's.
    fn step(&mut self) -> Result<Step> {
        loop {
            let mut bytes = [0; 512];
            let missing = Reply::missing(&self.said).min(bytes.len());
            let room = bytes.get_mut(..missing).unwrap_or_default();
            match self.connection.incoming().read(room) {
                Ok(0) if self.said.is_empty() => return Ok(Step::Left),
                Ok(0) => {
                    return Err(Error::new(Operation::Accept, ErrorKind::PeerGone)
                        .because("the connector left in the middle of its handshake"));
                }
                Ok(got) => self.said.extend_from_slice(room.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Waits),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Err(Error::io(Operation::Accept, "reading a handshake", error));
                }
            }
            if let Some((hello, _)) = Hello::decode(&self.said)? {
                self.hello = Some(hello);
                return Ok(Step::Complete);
            }
        }
    }

    /// Gives the connection the size that the owner's address says.
    fn prepare(&self, settings: &Settings) -> Result<()> {
        let Some(capacity) = settings.resized() else { return Ok(()) };
        self.connection.resize(capacity).map_err(|error| {
            let kind = if error.kind() == io::ErrorKind::PermissionDenied {
                ErrorKind::OutOfMemory
            } else {
                ErrorKind::of_io(&error)
            };
            Error::new(Operation::Accept, kind).because(format!(
                "the system gives this user no FIFO of {capacity} bytes now ({error}); close some, ask for less \
                 capacity, or raise /proc/sys/fs/pipe-user-pages-soft"
            ))
        })
    }
}

fn strange(why: &str) -> Error {
    Error::new(Operation::Accept, ErrorKind::Corrupt).because(why)
}
