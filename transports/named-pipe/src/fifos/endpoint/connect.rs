use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, Name, Operation, Peer, Reply, Result, Source,
};
use anyipc_os::Set;

use super::accept::HANDSHAKE;
use crate::fifos::connection::{Offer, PipeReceiver, PipeSender};
use crate::fifos::files::listener;
use crate::fifos::request;
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// How soon to look again for an owner, or for room at its listener.
const SOON: Duration = Duration::from_millis(1);

/// What an attempt keeps: taken out when it is complete.
type Progress = Option<OpenerHandshake>;

/// A handshake on its way.
#[derive(Debug)]
struct OpenerHandshake {
    offer: Offer,
    /// Tells when the owner leaves.
    listener: Fifo,
    set: Arc<Set>,
    heard: Vec<u8>,
    /// Set by the owner's first byte.
    deadline: Option<Instant>,
}

/// Takes one step of the handshake with the owner.
pub(super) fn try_connect(
    name: &Name,
    settings: &Settings,
    attempt: &mut Attempt,
) -> Result<(PipeSender, PipeReceiver, Peer)> {
    let hello = settings.opener_hello(&attempt.hello);
    let progress: &mut Progress =
        attempt.progress(|| OpenerHandshake::begin(name, settings, &hello).map(Some))?;
    let Some(asked) = progress else { return Err(no_owner()) };
    // Whether it is late is judged by what it has said until now.
    let now = Instant::now();
    let result = match asked.step() {
        Ok(Some(theirs)) => hello.check(&theirs).and_then(|()| {
            let asked = progress.take().ok_or_else(no_owner)?;
            asked.enter(theirs)
        }),
        Ok(None) if asked.deadline.is_none_or(|deadline| now < deadline) => {
            return Err(Error::new(Operation::Connect, ErrorKind::WouldBlock));
        }
        Ok(None) => Err(Error::new(Operation::Connect, ErrorKind::TimedOut)
            .because("the owner began to answer, then said no more for 1 s")),
        Err(error) => Err(error),
    };
    // Whatever it came to, the next call begins anew.
    attempt.reset();
    result
}

fn stored(attempt: &Attempt) -> Option<&OpenerHandshake> {
    attempt.stored::<Progress>()?.as_ref()
}

pub(super) fn arm(attempt: &Attempt) -> Result<Armed> {
    let Some(asked) = stored(attempt) else { return Ok(Armed::After(SOON)) };
    asked
        .set
        .ring_at(asked.deadline)
        .map_err(|error| Error::io(Operation::Connect, "setting the clock", error))?;
    Ok(Armed::Source(Interest::Readable))
}

pub(super) fn source(attempt: &Attempt) -> Result<Source> {
    match stored(attempt) {
        Some(asked) => Ok(asked.set.source()),
        None => Err(Error::new(Operation::Connect, ErrorKind::Unsupported)),
    }
}

impl OpenerHandshake {
    /// Makes a connection, says hello on it, and asks the owner to join.
    fn begin(name: &Name, settings: &Settings, hello: &Hello) -> Result<Self> {
        let dir = &settings.dir;
        let path = listener(name);
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => no_owner(),
            io::ErrorKind::WouldBlock => Error::new(Operation::Connect, ErrorKind::WouldBlock),
            io::ErrorKind::InvalidData => Error::new(Operation::Connect, ErrorKind::Corrupt)
                .because(format!("{} is no FIFO of ours", dir.path().join(&path).display())),
            _ => Error::io(Operation::Connect, "reaching the owner", error),
        };
        let watcher = Fifo::watcher(dir, &path).map_err(fail)?;
        let offer = Offer::make(dir, name)?;
        let set = Set::new().map_err(fail)?;
        let connection = offer.connection()?;
        for fifo in [&watcher, connection.incoming()] {
            set.watch(fifo, Interest::Readable).map_err(fail)?;
        }
        whole(connection.outgoing(), &hello.encode()?)?;
        // Only for this moment: a connector that could read there would pass for an owner.
        let asking = Fifo::writer(dir, &path).map_err(fail)?;
        let line = request::line(offer.connection_id());
        match asking.write(line.as_bytes()) {
            Ok(sent) if sent == line.len() => {}
            Ok(_) => {
                return Err(
                    Error::new(Operation::Connect, ErrorKind::Io).because("asked only in part")
                );
            }
            Err(error) => return Err(fail(error)),
        }
        Ok(Self { offer, listener: watcher, set, heard: Vec::new(), deadline: None })
    }

    /// The halves, when the owner has welcomed us.
    fn enter(self, theirs: Hello) -> Result<(PipeSender, PipeReceiver, Peer)> {
        let fail = |error| Error::io(Operation::Connect, "making a channel", error);
        let (sender, receiver) = self.offer.take()?.halves(&[], theirs.capacity).map_err(fail)?;
        Ok((sender, receiver, Peer { pid: None, uid: None, hello: theirs }))
    }

    /// Goes as far as what has arrived allows; the owner's hello when it has let us in.
    fn step(&mut self) -> Result<Option<Hello>> {
        let connection = self.offer.connection()?;
        // OpenerHandshake before reading: what an owner said before it left counts.
        let gone = self.listener.hung_up() || connection.incoming().hung_up();
        loop {
            let mut bytes = [0; 512];
            let missing = Reply::missing(&self.heard).min(bytes.len());
            // Nothing may be read beyond the answer: what follows is the channel's.
            let room = bytes.get_mut(..missing).unwrap_or_default();
            match connection.incoming().read(room) {
                Ok(got) if got > 0 => {
                    self.heard.extend_from_slice(room.get(..got).unwrap_or_default());
                    self.deadline.get_or_insert_with(|| Instant::now() + HANDSHAKE);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(Error::io(Operation::Connect, "reading the owner's answer", error));
                }
                _ if gone => return Err(no_owner()),
                _ => return Ok(None),
            }
            if let Some((reply, _)) = Reply::decode(&self.heard)? {
                return reply.into_result().map(Some);
            }
        }
    }
}

fn whole(to: &Fifo, bytes: &[u8]) -> Result<()> {
    match to.write(bytes) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => {
            Err(Error::new(Operation::Connect, ErrorKind::Io).because("the hello went out in part"))
        }
        Err(error) => Err(Error::io(Operation::Connect, "speaking to the owner", error)),
    }
}

/// The owner died, or closed with our question at its listener.
fn no_owner() -> Error {
    Error::new(Operation::Connect, ErrorKind::NoOwner)
}
