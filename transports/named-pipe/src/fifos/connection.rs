//! The FIFOs of one connection, and what a channel's halves make of them.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_byte_stream::{Incoming, MARK, MAX_FRAME, Outgoing, STOP, TAKEN};
use anyipc_core::{Error, ErrorKind, FRAME_HEADER, Interest, Name, Operation, Result, Source};
use anyipc_os::{Dir, Lock, Set, generation, hold, same_file, try_lock};

use crate::fifos::files::{CONNECTION, DOWN, DOWN_STOP, UP, UP_STOP, of_connection};
use crate::fifos::pages::Pages;
use crate::fifos::request::CONNECTION_ID;
use crate::fifos::sys::{Fifo, largest, page_size, rough_time};

/// The sending half of a channel.
pub type PipeSender = anyipc_byte_stream::FrameSender<SendEnd>;
/// The receiving half of a channel.
pub type PipeReceiver = anyipc_byte_stream::FrameReceiver<RecvEnd>;

/// How often a sender that finds room looks whether anyone receives. Nothing else tells it: it keeps a reading
/// end itself, so that writing is never a signal.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Frames over this length may have a larger FIFO: shorter ones would gain little, and what FIFOs can hold counts against
/// the user's share.
const LONG: usize = 4096;

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
    pub(crate) fn join(dir: &Dir, name: &Name, connection_id: &str) -> io::Result<Self> {
        let path = |end| of_connection(name, connection_id, end);
        let connection = Self {
            out: (Fifo::writer(dir, &path(DOWN))?, Fifo::reader(dir, &path(DOWN_STOP))?),
            into: (Arc::new(Fifo::reader(dir, &path(UP))?), Fifo::writer(dir, &path(UP_STOP))?),
        };
        // Both sides have them open: nothing is left whoever dies now.
        remove(dir, name, connection_id);
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

    /// The halves of the channel, of which each direction may come to hold `capacity` bytes. What is said before the first
    /// frame is said last, when nothing else can fail.
    pub(crate) fn halves(
        self,
        greeting: &[u8],
        capacity: u64,
    ) -> io::Result<(PipeSender, PipeReceiver)> {
        let ((data, back), (fifo, stop)) = (self.out, self.into);
        let set = Set::new()?;
        set.watch(&back, Interest::Readable)?;
        let mut pages = Pages::new(data.capacity()?, page_size());
        let max_frame = MAX_FRAME.min(pages.capacity().saturating_sub(FRAME_HEADER));
        if !greeting.is_empty()
            && (!pages.take(greeting.len()) || data.write(greeting)? != greeting.len())
        {
            return Err(io::ErrorKind::WriteZero.into());
        }
        // The owner says how much: no more than a user may ask for.
        let most = usize::try_from(capacity).unwrap_or(usize::MAX).min(largest());
        let room = Room { pages, most, lack: Lack::None, set };
        let end = SendEnd { data: Some(data), room, max_frame, back, looked: None, stopped: false };
        Ok((PipeSender::new(end), PipeReceiver::new(RecvEnd { fifo, stop })))
    }
}

/// Takes a connection's names away.
pub(crate) fn remove(dir: &Dir, name: &Name, connection_id: &str) {
    for end in CONNECTION {
        let _ = dir.unlink(&of_connection(name, connection_id, end));
    }
}

/// A connector's connection whose names still stand: they go with it.
#[derive(Debug)]
pub(crate) struct Offer {
    dir: Arc<Dir>,
    name: Name,
    connection_id: String,
    generation: u32,
    /// Until the owner has welcomed us.
    connection: Option<Connection>,
}

impl Offer {
    /// Makes the FIFOs and opens the connector's ends.
    pub(crate) fn make(dir: &Arc<Dir>, name: &Name) -> Result<Self> {
        let fail = |error| Error::io(Operation::Connect, "making the FIFOs of a connection", error);
        loop {
            let (dir, name, connection_id) = (Arc::clone(dir), name.clone(), connection_id()?);
            let mut offer =
                Self { dir, name, connection_id, generation: generation(), connection: None };
            if let Some(connection) = offer.begin().map_err(fail)? {
                offer.connection = Some(connection);
                return Ok(offer);
            }
        }
    }

    /// `None` if a sweeper took the first FIFO for a leftover before it was locked.
    fn begin(&self) -> io::Result<Option<Connection>> {
        let dir = &*self.dir;
        let path = |end| of_connection(&self.name, &self.connection_id, end);
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

    pub(crate) fn connection_id(&self) -> &str {
        &self.connection_id
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
            remove(&self.dir, &self.name, &self.connection_id);
        }
    }
}

/// A name that nobody else has or guesses.
fn connection_id() -> Result<String> {
    let mut bytes = [0; CONNECTION_ID / 2];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::io(Operation::Connect, "drawing a connection_id", io::Error::other(error))
    })?;
    Ok(bytes.iter().fold(String::with_capacity(CONNECTION_ID), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Where a sender's bytes go.
#[derive(Debug)]
pub struct SendEnd {
    /// `None` once this direction has ended.
    data: Option<Fifo>,
    room: Room,
    max_frame: usize,
    /// The receiver writes [`STOP`] here, answers a [`MARK`], and keeps it open while it lives.
    back: Fifo,
    /// When the receiver was last seen, by [`rough_time`].
    looked: Option<Duration>,
    /// It said that it leaves.
    stopped: bool,
}

/// The room in a sender's FIFO, and what tells of more.
#[derive(Debug)]
struct Room {
    pages: Pages,
    /// How many bytes the FIFO may come to hold.
    most: usize,
    lack: Lack,
    /// Ready when the receiver has said something, and while a [page](Lack::Page) is missing when one is free.
    set: Arc<Set>,
}

/// What a sender without room waits for. A FIFO is writable as soon as one page is free, which is no room for a long
/// frame, so its readiness is waited for only while there is none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    None,
    /// The answer to a mark, which the receiver gives when it has taken everything before.
    Answer,
    /// A free page: there is no room even for a mark.
    Page,
}

impl Room {
    /// Makes room for `len` bytes if the kernel has it by now, or the FIFO may hold more. If not, something will make the
    /// set ready.
    #[cold]
    fn ask(&mut self, data: &Fifo, len: usize) -> io::Result<bool> {
        self.pages.are_unread(data.unread()?);
        if self.pages.take(len) || self.grow(data, len) {
            return Ok(true);
        }
        if self.lack != Lack::Answer {
            // A mark is less than a page, so it is written whole or not at all.
            match data.write(&MARK) {
                Ok(_) => {
                    self.pages.was_written(MARK.len());
                    self.lacks(data, Lack::Answer)?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.lacks(data, Lack::Page)?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    fn lacks(&mut self, data: &Fifo, lack: Lack) -> io::Result<()> {
        match (self.lack == Lack::Page, lack == Lack::Page) {
            (false, true) => self.set.watch(data, Interest::Writable)?,
            (true, false) => self.set.forget(data),
            _ => {}
        }
        self.lack = lack;
        Ok(())
    }

    /// Lets the FIFO hold more for a long frame. False if it may not, or the system does not grant it.
    fn grow(&mut self, data: &Fifo, len: usize) -> bool {
        while len > LONG && self.pages.capacity() < self.most {
            let held = self.pages.capacity();
            let resized = data.resize((2 * held).min(self.most));
            match resized.and_then(|()| data.capacity()) {
                Ok(larger) if larger > held => self.pages.resized(larger),
                _ => {
                    self.most = held;
                    return false;
                }
            }
            if self.pages.take(len) {
                return true;
            }
        }
        false
    }
}

impl SendEnd {
    fn written(&mut self, write: impl FnOnce(&Fifo) -> io::Result<usize>) -> io::Result<usize> {
        let now = rough_time();
        if self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY) {
            self.look()?;
            self.looked = Some(now);
        }
        write(self.data.as_ref().ok_or(io::ErrorKind::BrokenPipe)?)
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
                        if self.room.lack == Lack::Answer {
                            self.room.lack = Lack::None;
                        }
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
}

impl Outgoing for SendEnd {
    #[inline]
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        if self.room.pages.take(len) {
            return Ok(true);
        }
        // Before the kernel is asked: what an answer was given for counts as read.
        self.look()?;
        self.room.ask(self.data.as_ref().ok_or(io::ErrorKind::BrokenPipe)?, len)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written(|data| data.write(bytes))
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.written(|data| data.write_two(first, second))
    }

    fn enlarge(&mut self) {
        if let Some(data) = &self.data {
            let larger = 2 * self.room.pages.capacity();
            if data.resize(larger).is_ok() {
                self.room.pages.resized(larger);
            }
        }
    }

    fn stopped(&mut self) -> bool {
        self.stopped
    }

    fn heard(&mut self) -> bool {
        !self.stopped && !self.back.hung_up()
    }

    /// A goodbye among the frames would need room.
    fn tells_end(&self) -> bool {
        true
    }

    fn end(&mut self, orderly: bool) {
        if let Some(data) = self.data.take().filter(|_| orderly) {
            let _ = data.mark_ended();
        }
    }

    fn max_frame(&self) -> usize {
        self.max_frame
    }

    fn source(&self) -> Source {
        self.room.set.source()
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

    fn ended_orderly(&mut self) -> bool {
        self.fifo.is_marked_ended()
    }

    /// Only the answers to marks are written there, too, one at a time, so there is room.
    fn stop(&mut self) {
        let _ = self.stop.write(&[STOP]);
    }

    fn source(&self) -> Source {
        self.fifo.source()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use anyipc_os::Scope;

    use super::*;

    /// An owner may say any capacity, also one that is no number of pages.
    #[test]
    fn a_fifo_grows_to_an_odd_capacity_and_no_further() {
        let (done, finished) = channel();
        std::thread::spawn(move || {
            let dir = Dir::open(Scope::User, Operation::Create).unwrap();
            let name = format!("pipe.grows.{}.fifo", std::process::id());
            Fifo::make(&dir, &name).unwrap();
            let data = Fifo::writer(&dir, &name).unwrap();
            dir.unlink(&name).unwrap();
            let pages = Pages::new(data.capacity().unwrap(), page_size());
            let mut room =
                Room { pages, most: 100_001, lack: Lack::None, set: Set::new().unwrap() };
            let frame = vec![0; 60_000];
            while room.pages.take(frame.len()) || room.ask(&data, frame.len()).unwrap() {
                assert_eq!(data.write(&frame).unwrap(), frame.len());
            }
            done.send(data.capacity().unwrap()).unwrap();
        });
        assert_eq!(finished.recv_timeout(Duration::from_secs(30)).unwrap(), 128 << 10);
    }
}
