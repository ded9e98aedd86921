//! The FIFOs of one connection, and what a channel's halves make of them.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_byte_stream::{Incoming, MAX_FRAME, Outgoing, STOP};
use anyipc_core::{Error, ErrorKind, FRAME_HEADER, Interest, Name, Operation, Result, Source};
use anyipc_os::{Dir, Lock, Set, generation, hold, same_file, try_lock};

use crate::fifos::files::{CONNECTION, DOWN, DOWN_STOP, UP, UP_STOP, of_connection};
use crate::fifos::request::TICKET;
use crate::fifos::sys::{Fifo, rough_time};

/// The sending half of a channel.
pub type Sender = anyipc_byte_stream::Sender<SendEnd>;
/// The receiving half of a channel.
pub type Receiver = anyipc_byte_stream::Receiver<RecvEnd>;

/// How often a sender that finds room looks whether anyone receives. Nothing else tells it: it keeps a reading
/// end itself, so that writing is never a signal.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// How many times its usual size a FIFO may grow: twice for a frame that it took in part, and once more to close.
pub(crate) const ROOM_TO_GROW: usize = 4;

/// One side's ends of a connection's FIFOs: two of each direction.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The way out, which this side writes, and where it hears that nobody receives any more.
    out: (Fifo, Fifo),
    /// The way in, which this side reads, and where it says that it receives no more.
    into: (Arc<Fifo>, Fifo),
}

impl Connection {
    /// The owner's ends. `NotFound`: the connector gave up.
    pub(crate) fn join(dir: &Dir, name: &Name, ticket: &str) -> io::Result<Self> {
        let path = |end| of_connection(name, ticket, end);
        let connection = Self {
            out: (Fifo::writer(dir, &path(DOWN))?, Fifo::reader(dir, &path(DOWN_STOP))?),
            into: (Arc::new(Fifo::reader(dir, &path(UP))?), Fifo::writer(dir, &path(UP_STOP))?),
        };
        // Both sides have them open: nothing is left whoever dies now.
        remove(dir, name, ticket);
        Ok(connection)
    }

    /// Where the other side's handshake is read.
    pub(crate) fn incoming(&self) -> &Arc<Fifo> {
        &self.into.0
    }

    /// Where ours is written.
    pub(crate) fn outgoing(&self) -> &Fifo {
        &self.out.0
    }

    /// Makes both directions hold this many bytes.
    pub(crate) fn resize(&self, capacity: usize) -> io::Result<()> {
        self.out.0.resize(capacity)?;
        self.into.0.resize(capacity)
    }

    /// The halves of the channel. What is said before its first frame is said last, when nothing else can fail.
    pub(crate) fn halves(self, greeting: &[u8]) -> io::Result<(Sender, Receiver)> {
        let ((data, back), (fifo, stop)) = (self.out, self.into);
        let set = Set::new()?;
        set.watch(&data, Interest::Writable)?;
        set.watch(&back, Interest::Readable)?;
        let capacity = data.capacity()?;
        if !greeting.is_empty() && data.write(greeting)? != greeting.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let end = SendEnd { data, back, set, capacity, shrinks: false, looked: None, stopped: false };
        Ok((Sender::new(end), Receiver::new(RecvEnd { fifo, stop })))
    }
}

/// Takes a connection's names away.
pub(crate) fn remove(dir: &Dir, name: &Name, ticket: &str) {
    for end in CONNECTION {
        let _ = dir.unlink(&of_connection(name, ticket, end));
    }
}

/// A connector's connection whose names still stand: they go with it.
#[derive(Debug)]
pub(crate) struct Offer {
    dir: Arc<Dir>,
    name: Name,
    ticket: String,
    generation: u32,
    /// Until the owner has welcomed us.
    connection: Option<Connection>,
}

impl Offer {
    /// Makes the FIFOs and opens the connector's ends.
    pub(crate) fn make(dir: &Arc<Dir>, name: &Name) -> Result<Self> {
        let fail = |error| Error::io(Operation::Connect, "making the FIFOs of a connection", error);
        loop {
            let (dir, name, ticket) = (Arc::clone(dir), name.clone(), ticket()?);
            let mut offer = Self { dir, name, ticket, generation: generation(), connection: None };
            if let Some(connection) = offer.begin().map_err(fail)? {
                offer.connection = Some(connection);
                return Ok(offer);
            }
        }
    }

    /// `None` if a sweeper took the first FIFO for a leftover before it was locked.
    fn begin(&self) -> io::Result<Option<Connection>> {
        let dir = &*self.dir;
        let path = |end| of_connection(&self.name, &self.ticket, end);
        let made = |end, open: fn(&Dir, &str) -> io::Result<Fifo>| {
            Fifo::make(dir, &path(end))?;
            open(dir, &path(end))
        };
        let up = match made(UP, Fifo::writer) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            made => made?,
        };
        if !try_lock(up.fd(), Lock::Exclusive)? || !same_file(dir, &path(UP), up.fd())? {
            return Ok(None);
        }
        hold(up.fd())?;
        let (up_stop, down_stop) = (made(UP_STOP, Fifo::reader)?, made(DOWN_STOP, Fifo::writer)?);
        for stop in [&up_stop, &down_stop] {
            // One byte is all that they carry; what they could hold counts against the user's share.
            let _ = stop.resize(1);
        }
        let down = Arc::new(made(DOWN, Fifo::reader)?);
        Ok(Some(Connection { out: (up, up_stop), into: (down, down_stop) }))
    }

    pub(crate) fn ticket(&self) -> &str {
        &self.ticket
    }

    pub(crate) fn connection(&self) -> Result<&Connection> {
        self.connection.as_ref().ok_or_else(|| Error::new(Operation::Connect, ErrorKind::NoOwner))
    }

    /// The connection, which the owner has joined.
    pub(crate) fn take(mut self) -> Result<Connection> {
        self.connection.take().ok_or_else(|| Error::new(Operation::Connect, ErrorKind::NoOwner))
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.generation == generation() {
            remove(&self.dir, &self.name, &self.ticket);
        }
    }
}

/// A name that nobody else has or guesses.
fn ticket() -> Result<String> {
    let mut bytes = [0; TICKET / 2];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io(Operation::Connect, "drawing a ticket", io::Error::other(error)))?;
    Ok(bytes.iter().fold(String::with_capacity(TICKET), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Where a sender's bytes go.
#[derive(Debug)]
pub struct SendEnd {
    data: Fifo,
    /// The receiver writes [`STOP`] here and keeps it open while it lives.
    back: Fifo,
    set: Arc<Set>,
    /// What the FIFO holds unless stretched.
    capacity: usize,
    /// It holds more, and is to hold less again as soon as that is possible.
    shrinks: bool,
    /// When the receiver was last seen, by [`rough_time`].
    looked: Option<Duration>,
    /// It said that it leaves.
    stopped: bool,
}

impl SendEnd {
    fn written(&mut self, write: impl FnOnce(&Fifo) -> io::Result<usize>) -> io::Result<usize> {
        let now = rough_time();
        if self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY) {
            self.look()?;
            self.looked = Some(now);
            if self.shrinks {
                self.shrink();
            }
        }
        match write(&self.data) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.look()?;
                Err(error)
            }
            done => done,
        }
    }

    /// A FIFO that holds more than its usual size keeps it.
    fn shrink(&mut self) {
        self.shrinks = self.data.resize(self.capacity).is_err();
    }

    /// `BrokenPipe` if nobody receives any more.
    fn look(&mut self) -> io::Result<()> {
        loop {
            match self.back.read(&mut [0]) {
                Ok(got) => {
                    self.stopped = self.stopped || got > 0;
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Outgoing for SendEnd {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written(|data| data.write(bytes))
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.written(|data| data.write_two(first, second))
    }

    fn writable(&self) -> bool {
        self.data.writable() || self.back.hung_up()
    }

    fn stretch(&mut self, more: bool) {
        if more {
            self.shrinks = false;
            let _ = self.data.resize(2 * self.capacity);
        } else {
            self.shrink();
        }
    }

    /// It may be stretched and full again: the rest of a frame is less than its usual size.
    fn stretch_last(&mut self) {
        self.shrinks = false;
        let _ = self.data.resize(ROOM_TO_GROW * self.capacity);
    }

    fn stopped(&mut self) -> bool {
        self.stopped
    }

    fn heard(&mut self) -> bool {
        !self.stopped && !self.back.hung_up()
    }

    /// A frame that the FIFO can hold whole.
    fn max_frame(&self) -> usize {
        MAX_FRAME.min(self.capacity - FRAME_HEADER)
    }

    fn source(&self) -> Source {
        self.set.source()
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

/// Where a receiver's bytes come from.
#[derive(Debug)]
pub struct RecvEnd {
    fifo: Arc<Fifo>,
    stop: Fifo,
}

impl Incoming for RecvEnd {
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.fifo.read(bytes)
    }

    fn drains(&self) -> bool {
        true
    }

    /// Nothing else is ever written there, so there is room.
    fn stop(&mut self) {
        let _ = self.stop.write(&[STOP]);
    }

    fn source(&self) -> Source {
        self.fifo.source()
    }
}
