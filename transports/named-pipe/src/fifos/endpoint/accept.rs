use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, Name, Operation, Peer, Rejections, Reply, Result,
    Source,
};
use anyipc_os::Set;

use crate::fifos::connection::{Connection, Receiver, Sender};
use crate::fifos::request::{Heard, Requests};
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// The longest that a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);
/// The most handshakes that are kept half-open; more wait in the door's FIFO.
const MAX_HALF_OPEN: usize = 256;
/// The most lines that are read at once, so that who never stops writing them does not hold the owner.
const MAX_LINES: usize = 1024;
/// How soon to look again while no more can be taken in.
const CROWDED: Duration = Duration::from_millis(5);

/// The owner's side of the handshakes.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// Where connectors ask for the owner. It writes there, too, so that it never sees their end.
    door: Fifo,
    set: Arc<Set>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    requests: Requests,
    /// A request that could not be answered for want of descriptors or memory.
    postponed: Option<String>,
    half_open: VecDeque<Guest>,
    rejections: Rejections,
}

/// A connector on its way in. What it makes the owner keep is bounded: four descriptors and the longest hello.
#[derive(Debug)]
struct Guest {
    connection: Connection,
    /// Its hello, as far as it is here.
    said: Vec<u8>,
    deadline: Instant,
}

/// What came of a guest's step.
enum Step {
    /// It has to say more.
    Waits,
    /// It left without a word.
    Left,
    Said(Hello),
}

impl Acceptor {
    pub(crate) fn new(door: Fifo, operation: Operation) -> Result<Self> {
        let fail = |error| Error::io(operation, "preparing to accept", error);
        let set = Set::new().map_err(fail)?;
        set.watch(&door, Interest::Readable).map_err(fail)?;
        Ok(Self { door, set, state: Mutex::default() })
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
    ) -> Result<(Sender, Receiver, Peer)> {
        let state = &mut *self.state();
        self.welcome_newcomers(name, settings, state)?;
        let ours = settings.owner_hello(&attempt.hello);
        for _ in 0..state.half_open.len() {
            let Some(guest) = state.half_open.pop_front() else { break };
            if let Some(done) = self.attend(guest, &ours, settings, state) {
                return Ok(done);
            }
        }
        Err(Error::new(Operation::Accept, ErrorKind::WouldBlock))
    }

    fn welcome_newcomers(&self, name: &Name, settings: &Settings, state: &mut State) -> Result<()> {
        for _ in 0..MAX_LINES {
            if state.half_open.len() >= MAX_HALF_OPEN {
                break;
            }
            let ticket = match state.postponed.take() {
                Some(ticket) => ticket,
                None => match state.requests.next(&self.door) {
                    Ok(Some(Heard::Request(ticket))) => ticket,
                    Ok(Some(Heard::Garbage)) => {
                        state.reject(None, &strange("what was written into the FIFO is no request of ours"));
                        continue;
                    }
                    Ok(None) => break,
                    Err(error) => return Err(Error::io(Operation::Accept, "reading requests", error)),
                },
            };
            match self.join(settings, name, &ticket) {
                Ok(guest) => state.half_open.push_back(guest),
                // It gave up before we looked: no offence.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_ours(&error) => {
                    state.postponed = Some(ticket);
                    return Err(Error::io(Operation::Accept, "opening a connector's FIFOs", error));
                }
                Err(error) => state.reject(None, &strange(&format!("its FIFOs cannot be opened: {error}"))),
            }
        }
        Ok(())
    }

    fn join(&self, settings: &Settings, name: &Name, ticket: &str) -> io::Result<Guest> {
        let connection = Connection::join(&settings.dir, name, ticket)?;
        self.set.watch(connection.incoming(), Interest::Readable)?;
        Ok(Guest { connection, said: Vec::new(), deadline: Instant::now() + HANDSHAKE })
    }

    /// One guest's next step; a channel if that was the last.
    fn attend(
        &self,
        mut guest: Guest,
        ours: &Hello,
        settings: &Settings,
        state: &mut State,
    ) -> Option<(Sender, Receiver, Peer)> {
        // Whether it is late is judged by what it has said until now.
        let now = Instant::now();
        match guest.step() {
            Ok(Step::Waits) if now < guest.deadline => state.half_open.push_back(guest),
            Ok(Step::Waits) => state.reject(
                Some(&guest),
                &Error::new(Operation::Accept, ErrorKind::TimedOut)
                    .because("the connector did not finish its handshake within 1 s"),
            ),
            Ok(Step::Left) => {}
            Ok(Step::Said(theirs)) => match ours.check(&theirs).and_then(|()| guest.prepare(settings)) {
                Ok(()) => match self.admit(guest, theirs, ours) {
                    Ok(channel) => return Some(channel),
                    Err(error) => state.reject(None, &error),
                },
                Err(error) => state.reject(Some(&guest), &error),
            },
            Err(error) => state.reject(Some(&guest), &error),
        }
        None
    }

    /// Makes a channel of a guest, and welcomes it.
    fn admit(&self, guest: Guest, theirs: Hello, ours: &Hello) -> Result<(Sender, Receiver, Peer)> {
        let welcome = Reply::Welcome(ours.clone()).encode()?;
        self.set.forget(guest.connection.incoming());
        let (sender, receiver) = guest
            .connection
            .halves(&welcome)
            .map_err(|error| Error::io(Operation::Accept, "making a channel", error))?;
        Ok((sender, receiver, Peer { pid: None, uid: None, hello: theirs }))
    }

    pub(crate) fn arm(&self) -> Result<Armed> {
        let state = &mut *self.state();
        if state.half_open.len() >= MAX_HALF_OPEN || state.postponed.is_some() {
            return Ok(Armed::After(CROWDED));
        }
        if state.requests.has_more() {
            return Ok(Armed::Ready);
        }
        self.set
            .ring_at(state.half_open.iter().map(|guest| guest.deadline).min())
            .map_err(|error| Error::io(Operation::Accept, "setting the clock", error))?;
        Ok(Armed::Source(Interest::Readable))
    }

    pub(crate) fn source(&self) -> Source {
        self.set.source()
    }

    pub(crate) fn rejections(&self) -> Rejections {
        self.state().rejections.clone()
    }
}

impl State {
    /// Counts and logs the rejection and tells the connector, if there is one to tell.
    fn reject(&mut self, guest: Option<&Guest>, error: &Error) {
        tracing::warn!(%error, "connector rejected");
        if let (Some(guest), Ok(reply)) = (guest, Reply::reject(error).encode()) {
            let _ = guest.say(&reply);
        }
        self.rejections.count += 1;
        self.rejections.last = Some(error.to_string());
    }
}

impl Guest {
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
                Err(error) => return Err(Error::io(Operation::Accept, "reading a handshake", error)),
            }
            if let Some((hello, _)) = Hello::decode(&self.said)? {
                return Ok(Step::Said(hello));
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

    /// What is said on a fresh connection has room.
    fn say(&self, bytes: &[u8]) -> Result<()> {
        match self.connection.outgoing().write(bytes) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => Err(strange("it left no room for the answer")),
            Err(error) => Err(Error::io(Operation::Accept, "answering a connector", error)),
        }
    }
}

/// Whether it is no fault of the connector's: descriptors or memory are used up.
fn is_ours(error: &io::Error) -> bool {
    const NFILE: i32 = 23;
    const MFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(NFILE | MFILE)) || ErrorKind::of_io(error) == ErrorKind::OutOfMemory
}

fn strange(why: &str) -> Error {
    Error::new(Operation::Accept, ErrorKind::Corrupt).because(why)
}
