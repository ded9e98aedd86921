use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, Name, Operation, Peer, Reply, Result, Source,
};
use anyipc_os::Set;

use super::PipeChannel;
use super::owner_handshake::HANDSHAKE_LIMIT;
use crate::fifos::files::listener;
use crate::fifos::offer::Offer;
use crate::fifos::request;
use crate::fifos::settings::Settings;
use crate::fifos::sys::Fifo;

/// How soon to try again where no event tells: for an owner, and for room in its FIFO.
const RETRY_AFTER: Duration = Duration::from_millis(1);

/// What an attempt stores. Taken out when the handshake is complete.
type Progress = Option<OpenerHandshake>;

/// The opener's side of a handshake.
#[derive(Debug)]
struct OpenerHandshake {
    offer: Offer,
    /// Hangs up when the owner leaves.
    listener: Fifo,
    /// Contains the listener and the FIFO in which the owner answers.
    set: Arc<Set>,
    /// The owner's reply, as far as it has arrived.
    received: Vec<u8>,
    /// Set when the owner's first byte arrives. Before that an owner that does not accept is waited
    /// for without a limit.
    deadline: Option<Instant>,
}

/// Takes one step of the handshake with the owner.
pub(super) fn try_connect(
    name: &Name,
    settings: &Settings,
    attempt: &mut Attempt,
) -> Result<PipeChannel> {
    let hello = settings.opener_hello(&attempt.hello);
    let progress: &mut Progress =
        attempt.progress(|| OpenerHandshake::begin(name, settings, &hello).map(Some))?;
    let Some(handshake) = progress else { return Err(no_owner()) };
    // Read before the step: what had arrived by the deadline counts.
    let now = Instant::now();
    let result = match handshake.step() {
        Ok(Some(theirs)) => hello.check(&theirs).and_then(|()| {
            let handshake = progress.take().ok_or_else(no_owner)?;
            handshake.into_channel(theirs)
        }),
        Ok(None) if handshake.deadline.is_none_or(|deadline| now < deadline) => {
            return Err(Error::new(Operation::Connect, ErrorKind::WouldBlock));
        }
        Ok(None) => Err(Error::new(Operation::Connect, ErrorKind::TimedOut)
            .because("the owner began to answer and did not finish within 1 s")),
        Err(error) => Err(error),
    };
    // The attempt ends here. The next call begins a new handshake.
    attempt.reset();
    result
}

fn stored(attempt: &Attempt) -> Option<&OpenerHandshake> {
    attempt.stored::<Progress>()?.as_ref()
}

pub(super) fn arm(attempt: &Attempt) -> Result<Armed> {
    let Some(handshake) = stored(attempt) else { return Ok(Armed::After(RETRY_AFTER)) };
    handshake
        .set
        .wake_at(handshake.deadline)
        .map_err(|error| Error::io(Operation::Connect, "setting the clock", error))?;
    Ok(Armed::Source(Interest::Readable))
}

pub(super) fn source(attempt: &Attempt) -> Result<Source> {
    match stored(attempt) {
        Some(handshake) => Ok(handshake.set.source()),
        None => Err(Error::new(Operation::Connect, ErrorKind::Unsupported)),
    }
}

impl OpenerHandshake {
    /// Makes a connection, sends the hello on it, and asks the owner to join.
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
        send_whole(connection.outgoing(), &hello.encode()?)?;
        // Open for this moment only: the end can read, too, and would make the connector look like
        // an owner.
        let asking = Fifo::writer(dir, &path).map_err(fail)?;
        let line = request::line(offer.connection_id());
        match asking.write(line.as_bytes()) {
            Ok(sent) if sent == line.len() => {}
            Ok(_) => {
                return Err(Error::new(Operation::Connect, ErrorKind::Io)
                    .because("a part of the request was not sent"));
            }
            Err(error) => return Err(fail(error)),
        }
        Ok(Self { offer, listener: watcher, set, received: Vec::new(), deadline: None })
    }

    /// The channel, once the owner has sent its welcome.
    fn into_channel(self, theirs: Hello) -> Result<PipeChannel> {
        let fail = |error| Error::io(Operation::Connect, "making a channel", error);
        let (sender, receiver) = self.offer.take()?.halves(&[], theirs.capacity).map_err(fail)?;
        Ok((sender, receiver, Peer { pid: None, uid: None, hello: theirs }))
    }

    /// Goes as far as what has arrived allows. Returns the owner's hello when the handshake is
    /// complete.
    fn step(&mut self) -> Result<Option<Hello>> {
        let connection = self.offer.connection()?;
        // Asked before reading: what an owner sent before it left counts.
        let gone = self.listener.hung_up() || connection.incoming().hung_up();
        loop {
            let mut bytes = [0; 512];
            let missing = Reply::missing(&self.received).min(bytes.len());
            // What follows the reply belongs to the channel.
            let room = bytes.get_mut(..missing).unwrap_or_default();
            match connection.incoming().read(room) {
                Ok(got) if got > 0 => {
                    self.received.extend_from_slice(room.get(..got).unwrap_or_default());
                    self.deadline.get_or_insert_with(|| Instant::now() + HANDSHAKE_LIMIT);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(Error::io(Operation::Connect, "reading the owner's answer", error));
                }
                _ if gone => return Err(no_owner()),
                _ => return Ok(None),
            }
            if let Some((reply, _)) = Reply::decode(&self.received)? {
                return reply.into_result().map(Some);
            }
        }
    }
}

fn send_whole(to: &Fifo, bytes: &[u8]) -> Result<()> {
    match to.write(bytes) {
        Ok(sent) if sent == bytes.len() => Ok(()),
        Ok(_) => Err(Error::new(Operation::Connect, ErrorKind::Io)
            .because("a part of the handshake was not sent")),
        Err(error) => Err(Error::io(Operation::Connect, "sending to the owner", error)),
    }
}

/// No owner listens, or it died or closed while the request waited in its FIFO.
fn no_owner() -> Error {
    Error::new(Operation::Connect, ErrorKind::NoOwner)
}
