//! The FIFOs of one connection, and what a channel's halves make of them.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_byte_stream::{BYE, Incoming, MARK, MAX_FRAME, Outgoing, STOP, TAKEN};
use anyipc_core::{Error, ErrorKind, FRAME_HEADER, Interest, Name, Operation, Result, Source};
use anyipc_os::{Dir, Lock, Set, generation, hold, same_file, try_lock};

use crate::fifos::files::{CONNECTION, DOWN, DOWN_STOP, UP, UP_STOP, of_connection};
use crate::fifos::request::TICKET;
use crate::fifos::room::Pages;
use crate::fifos::sys::{Fifo, page_size, rough_time};

/// The sending half of a channel.
pub type Sender = anyipc_byte_stream::Sender<SendEnd>;
/// The receiving half of a channel.
pub type Receiver = anyipc_byte_stream::Receiver<RecvEnd>;

/// How often a sender that finds room looks whether anyone receives. Nothing else tells it: it keeps a reading
/// end itself, so that writing is never a signal.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What has room after each frame: a mark, and a goodbye.
const RESERVE: usize = MARK.len() + BYE.len();

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
        set.watch(&back, Interest::Readable)?;
        let mut pages = Pages::new(data.capacity()?, page_size());
        let max_frame = MAX_FRAME.min(pages.most(RESERVE).saturating_sub(FRAME_HEADER));
        if !greeting.is_empty()
            && (!pages.take(greeting.len(), RESERVE) || data.write(greeting)? != greeting.len())
        {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let data = Some(data);
        let end = SendEnd { data, pages, max_frame, back, set, marked: false, looked: None, stopped: false };
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
    /// `None` once this direction has ended.
    data: Option<Fifo>,
    pages: Pages,
    max_frame: usize,
    /// The receiver writes [`STOP`] here, answers a [`MARK`], and keeps it open while it lives.
    back: Fifo,
    set: Arc<Set>,
    /// A mark was written and not answered yet.
    marked: bool,
    /// When the receiver was last seen, by [`rough_time`].
    looked: Option<Duration>,
    /// It said that it leaves.
    stopped: bool,
}

impl SendEnd {
    fn data(&self) -> io::Result<&Fifo> {
        self.data.as_ref().ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }

    fn written(&mut self, write: impl FnOnce(&Fifo) -> io::Result<usize>) -> io::Result<usize> {
        let now = rough_time();
        if self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY) {
            self.look()?;
            self.looked = Some(now);
        }
        write(self.data()?)
    }

    /// `BrokenPipe` if nobody receives any more.
    fn look(&mut self) -> io::Result<()> {
        let mut said = [0; 64];
        loop {
            match self.back.read(&mut said) {
                Ok(got @ 1..) => {
                    for word in said.get(..got).unwrap_or_default() {
                        if *word != TAKEN {
                            self.stopped |= *word == STOP;
                            return Err(io::ErrorKind::BrokenPipe.into());
                        }
                        self.marked = false;
                    }
                    return Ok(());
                }
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// As [`has_room`](Outgoing::has_room), after asking. A FIFO is writable as soon as a page is free, so its readiness is
    /// nothing to wait for: who finds no room leaves a mark instead, and the receiver answers when it has taken all before.
    #[cold]
    fn ask(&mut self, len: usize) -> io::Result<bool> {
        // In this order: what an answer was given for counts as read.
        self.look()?;
        let unread = self.data()?.unread()?;
        self.pages.are_unread(unread);
        if self.pages.take(len, RESERVE) {
            return Ok(true);
        }
        if !self.marked && self.pages.take(MARK.len(), BYE.len()) {
            self.marked = self.data()?.write(&MARK)? == MARK.len();
        }
        Ok(false)
    }
}

impl Outgoing for SendEnd {
    #[inline]
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        if self.pages.take(len, RESERVE) { Ok(true) } else { self.ask(len) }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written(|data| data.write(bytes))
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.written(|data| data.write_two(first, second))
    }

    fn enlarge(&mut self) {
        if let Some(data) = &self.data
            && let Ok(capacity) = data.capacity()
        {
            let _ = data.resize(2 * capacity);
        }
    }

    fn stopped(&mut self) -> bool {
        self.stopped
    }

    fn heard(&mut self) -> bool {
        !self.stopped && !self.back.hung_up()
    }

    fn end(&mut self) {
        self.data = None;
    }

    fn max_frame(&self) -> usize {
        self.max_frame
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

    fn answer_mark(&mut self) -> bool {
        let _ = self.stop.write(&[TAKEN]);
        true
    }

    /// Only the answers to marks are written there, too, one at a time, so there is room.
    fn stop(&mut self) {
        let _ = self.stop.write(&[STOP]);
    }

    fn source(&self) -> Source {
        self.fifo.source()
    }
}
