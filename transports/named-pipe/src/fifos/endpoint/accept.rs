use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Name, Operation, Peer, Rejections, Reply, Result,
    Source,
};
use anyipc_os::half_open::{Admission, HalfOpen, Listening, Next, Reserve, Step};
use anyipc_os::{Set, is_shortage};

use super::PipeChannel;
use super::owner_handshake::OwnerHandshake;
use crate::fifos::request::{Line, Requests};
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// The descriptors of a channel: four FIFOs, and a set for its sender. The set's is not reserved
/// for each connector: an honest one has sent its hello before it asks, and is admitted at once.
const DESCRIPTORS: usize = 5;

/// The owner's side of all handshakes at one name.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// The FIFO in which connectors ask for the owner. A writing end, too, so that it never ends.
    listener: Fifo,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requests: Requests,
    /// The connection id of a request that could not be served for want of descriptors or memory.
    postponed: Option<String>,
    half_open: HalfOpen<OwnerHandshake>,
}

/// What one call of `try_accept` works with.
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

    /// Takes every handshake one step further. Returns the first channel that is complete.
    pub(crate) fn try_accept(
        &self,
        name: &Name,
        settings: &Settings,
        attempt: &Attempt,
    ) -> Result<PipeChannel> {
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
    type Channel = PipeChannel;
    type Listener = Fifo;

    fn listener(&self) -> &Fifo {
        self.listener
    }

    fn next(&mut self, set: &Set) -> io::Result<Next<OwnerHandshake>> {
        let connection_id = match self.postponed.take() {
            Some(connection_id) => connection_id,
            None => match self.requests.next(self.listener)? {
                Some(Line::Request(connection_id)) => connection_id,
                Some(Line::Garbage) => {
                    return Ok(Next::Rejected(corrupt(
                        "what was written into the FIFO is no request of ours",
                    )));
                }
                None => return Ok(Next::NoConnector),
            },
        };
        // All or none: a connector that sees some of its FIFOs opened and closed again takes its
        // owner for dead.
        let room = Reserve::new(DESCRIPTORS, set).map(drop);
        let joined =
            room.and_then(|()| OwnerHandshake::join(self.settings, self.name, &connection_id));
        match joined {
            Ok(handshake) => Ok(Next::Begun(handshake)),
            // The connector gave up before, which is no fault.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Next::Left),
            Err(error) if is_shortage(&error) => {
                *self.postponed = Some(connection_id);
                Err(error)
            }
            Err(error) => {
                Ok(Next::Rejected(corrupt(&format!("its FIFOs cannot be opened: {error}"))))
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
            handshake.resize(self.settings)?;
        }
        Ok(step)
    }

    /// Makes the channel, and sends the welcome as its first bytes.
    fn admit(
        &mut self,
        handshake: OwnerHandshake,
        _set: &Set,
    ) -> Admission<OwnerHandshake, PipeChannel> {
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

fn corrupt(why: &str) -> Error {
    Error::new(Operation::Accept, ErrorKind::Corrupt).because(why)
}
