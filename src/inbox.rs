use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Interest, Operation, Peer, Result, Role, Source, Wait, Waiter,
};

use crate::sys::{self, Bell};
use crate::wait::{SLICE, Spinner, Waitable, deadline, wait};
use crate::{Channel, Endpoint, Receiver, Sender};

/// Messages of the queued peers, at least, between two looks at who else has some.
const ROUND: usize = 8;

/// Turns between two looks at the door and at the clock while there is always something to do.
const TURNS: u32 = 64;

/// Turns without a message in one attempt, at most, before the caller looks at its clock.
const CROWD: usize = 16;

/// An owner that cannot accept says so this often at most: its peers are there, and are served.
const FAULT: Duration = Duration::from_millis(100);

/// How long an inbox sleeps at most while its owner cannot accept.
const RETRY: Duration = Duration::from_millis(10);

/// One connection of an [`Inbox`]. Never used again for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happens in an [`Inbox`].
#[derive(Debug)]
pub enum Event {
    /// Someone connected.
    Connected(PeerId),
    /// Someone sent a message.
    Message(PeerId, Vec<u8>),
    /// A connection ended, after everything that arrived on it was received. The reason is `Closed` (in
    /// order), `PeerGone` (it died) or `Corrupt` (it broke the protocol).
    Disconnected(PeerId, Error),
}

/// The owner's side of many connections: accepts whoever connects, receives from all of them in turn, and
/// answers each.
///
/// Messages of one peer come in its order; peers take turns, one message each. Only the channels that have
/// something are touched where the transport tells which; all of them are looked at every 100 ms.
pub struct Inbox {
    endpoint: Endpoint,
    attempt: Attempt,
    peers: BTreeMap<PeerId, Connection>,
    tokens: HashMap<u64, PeerId>,
    /// Whom to try, in this order.
    queue: VecDeque<PeerId>,
    /// Messages left until the next look at who else has some.
    round: usize,
    last_id: u64,
    turn: u32,
    accept_due: bool,
    /// Those inside come before the next one at the door.
    inside_first: bool,
    scan_due: bool,
    scanned: Instant,
    /// The last attempt ended with more to do.
    busy: bool,
    /// Whether the last accept failed.
    door_stuck: bool,
    /// Why it failed, to be told when the queue is empty, and when that was told last.
    fault: Option<Error>,
    fault_told: Option<Instant>,
    spinner: Spinner,
    bell: Arc<Bell>,
    waker: Waker,
    /// What the next sleep ends by.
    sources: Vec<(Source, Interest)>,
    nap: Duration,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    receiver: Receiver,
    queued: bool,
}

enum Turn<R> {
    Message(R),
    Connected(PeerId),
    Disconnected(PeerId, Error),
}

impl Inbox {
    /// The inbox of an owner.
    ///
    /// # Errors
    /// `WrongRole` for an opener's endpoint, `Io` if the process has no descriptor left.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        if endpoint.role() != Role::Owner {
            return Err(Error::new(Operation::Accept, ErrorKind::WrongRole)
                .because("an inbox is the owner's; an opener connects")
                .at(endpoint.address()));
        }
        let bell = Bell::new().map(Arc::new).map_err(|error| {
            Error::io(Operation::Accept, "making the inbox's waker", error).at(endpoint.address())
        })?;
        let mut attempt = Attempt::new(endpoint.hello());
        attempt.inbox = true;
        Ok(Self {
            attempt,
            peers: BTreeMap::new(),
            tokens: HashMap::new(),
            queue: VecDeque::new(),
            round: 0,
            last_id: 0,
            turn: 0,
            accept_due: true,
            inside_first: false,
            scan_due: false,
            scanned: Instant::now(),
            busy: false,
            door_stuck: false,
            fault: None,
            fault_told: None,
            spinner: Spinner::new(endpoint.settings().wait),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            sources: Vec::new(),
            nap: SLICE,
            endpoint,
        })
    }

    /// Receives the next message of anyone; waits for it. Who connects meanwhile is let in, and whose
    /// connection ends is forgotten; [`next_event`](Self::next_event) tells of both.
    ///
    /// # Errors
    /// `Forked`, `Io`: the owner's own. A peer's fault ends its connection, not this call.
    pub fn recv(&mut self) -> Result<(PeerId, Vec<u8>)> {
        self.recv_with(|id, message| (id, message.to_vec()))
    }

    /// As [`recv`](Self::recv), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(PeerId, Vec<u8>)> {
        self.message(Some(timeout), |id, message| (id, message.to_vec()))
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if nobody sent anything, and those of `recv`.
    pub fn try_recv(&mut self) -> Result<(PeerId, Vec<u8>)> {
        let mut read = Some(|id, message: &[u8]| (id, message.to_vec()));
        self.accept_due = true;
        self.try_message(&mut read).map_err(|e| self.explain(e))
    }

    /// As [`recv`](Self::recv), showing the message where it lies. A message whose `read` panics is used
    /// up.
    ///
    /// # Errors
    /// Those of `recv`; `read` was not called then.
    pub fn recv_with<R>(&mut self, read: impl FnOnce(PeerId, &[u8]) -> R) -> Result<R> {
        self.message(None, read)
    }

    /// Waits for what happens next: a message, a new connection, the end of one.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn next_event(&mut self) -> Result<Event> {
        self.event(None)
    }

    /// As [`next_event`](Self::next_event), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn next_event_timeout(&mut self, timeout: Duration) -> Result<Event> {
        self.event(Some(timeout))
    }

    /// Answers one peer; waits while it has no room, so a peer that does not receive holds everybody up:
    /// see [`send_timeout`](Self::send_timeout) and [`try_send`](Self::try_send).
    ///
    /// # Errors
    /// `PeerGone` if it is not connected (any more), and those of [`Sender::send`].
    pub fn send(&mut self, to: PeerId, message: &[u8]) -> Result<()> {
        self.sender(to)?.send(message)
    }

    /// As [`send`](Self::send), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, to: PeerId, message: &[u8], timeout: Duration) -> Result<()> {
        self.sender(to)?.send_timeout(message, timeout)
    }

    /// As [`send`](Self::send), without waiting; see [`Sender::try_send`].
    ///
    /// # Errors
    /// `WouldBlock`, and those of `send`.
    pub fn try_send(&mut self, to: PeerId, message: &[u8]) -> Result<()> {
        self.sender(to)?.try_send(message)
    }

    /// Who is connected.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.keys().copied()
    }

    /// What is known about one of them.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(&id).map(|connection| connection.sender.peer())
    }

    /// Ends one connection. What it sent and was not received yet is lost; it gets `Closed`. False if it
    /// was not connected.
    pub fn disconnect(&mut self, id: PeerId) -> bool {
        self.remove(id).is_some()
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends all connections and gives the endpoint back.
    pub fn into_endpoint(self) -> Endpoint {
        self.endpoint
    }

    fn sender(&mut self, id: PeerId) -> Result<&mut Sender> {
        match self.peers.get_mut(&id) {
            Some(connection) => Ok(&mut connection.sender),
            None => Err(Error::new(Operation::Send, ErrorKind::PeerGone)
                .because(format!("peer {id} is not connected"))
                .at(self.endpoint.address())),
        }
    }

    fn message<R>(&mut self, timeout: Option<Duration>, read: impl FnOnce(PeerId, &[u8]) -> R) -> Result<R> {
        let mut read = Some(read);
        match self.try_message(&mut read) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Receive, deadline(timeout), |inbox| inbox.try_message(&mut read))
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    fn try_message<R, F: FnOnce(PeerId, &[u8]) -> R>(&mut self, read: &mut Option<F>) -> Result<R> {
        for _ in 0..CROWD {
            if let Turn::Message(result) = self.turn(read)? {
                return Ok(result);
            }
        }
        self.accept_due = true;
        self.busy = true;
        Err(Error::new(Operation::Receive, ErrorKind::WouldBlock))
    }

    fn event(&mut self, timeout: Option<Duration>) -> Result<Event> {
        match self.try_event() {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Receive, deadline(timeout), Self::try_event)
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    fn try_event(&mut self) -> Result<Event> {
        let mut read = Some(|id, message: &[u8]| Event::Message(id, message.to_vec()));
        Ok(match self.turn(&mut read)? {
            Turn::Message(event) => event,
            Turn::Connected(id) => Event::Connected(id),
            Turn::Disconnected(id, reason) => Event::Disconnected(id, reason),
        })
    }

    fn explain(&self, error: Error) -> Error {
        let error = error.during(Operation::Receive);
        if error.is_would_block() { error } else { error.at(self.endpoint.address()) }
    }

    /// The next thing that happened, if anything did. The door and those inside take turns: neither a crowd
    /// of connectors nor a loud peer keeps the other waiting.
    fn turn<R, F: FnOnce(PeerId, &[u8]) -> R>(&mut self, read: &mut Option<F>) -> Result<Turn<R>> {
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(TURNS) {
            self.accept_due = true;
            self.scan_due = self.scanned.elapsed() >= SLICE;
        }
        if !std::mem::take(&mut self.inside_first)
            && let Some(id) = self.accept()?
        {
            return Ok(Turn::Connected(id));
        }
        if let Some(turn) = self.serve(read)? {
            return Ok(turn);
        }
        if let Some(id) = self.accept()? {
            return Ok(Turn::Connected(id));
        }
        if let Some(fault) = self.fault.take() {
            self.fault_told = Some(Instant::now());
            return Err(fault);
        }
        Err(Error::new(Operation::Receive, ErrorKind::WouldBlock))
    }

    /// What one of the peers has, if any has something.
    fn serve<R, F: FnOnce(PeerId, &[u8]) -> R>(&mut self, read: &mut Option<F>) -> Result<Option<Turn<R>>> {
        let mut looked = self.round == 0 || self.scan_due;
        if looked {
            self.refill();
        }
        loop {
            while let Some(id) = self.queue.pop_front() {
                let Some(connection) = self.peers.get_mut(&id) else { continue };
                // Before the call: it does not return from a panic of `read`.
                connection.queued = false;
                let mut show = Some(|message: &[u8]| read.take().map(|read| read(id, message)));
                match connection.receiver.try_with(&mut show) {
                    Ok(result) => {
                        connection.queued = true;
                        self.queue.push_back(id);
                        self.round = self.round.saturating_sub(1);
                        if let Some(result) = result {
                            return Ok(Some(Turn::Message(result)));
                        }
                    }
                    Err(error) if error.is_would_block() => {}
                    // Our own fault, not the peer's.
                    Err(error) if error.kind() == ErrorKind::Forked => {
                        connection.queued = true;
                        self.queue.push_back(id);
                        return Err(error);
                    }
                    Err(error) => {
                        let reason = connection.receiver.explain(error);
                        self.remove(id);
                        return Ok(Some(Turn::Disconnected(id, reason)));
                    }
                }
            }
            if std::mem::replace(&mut looked, true) {
                return Ok(None);
            }
            self.refill();
        }
    }

    /// Lets one in, if one is at the door. A failure to do so is kept for later, see [`FAULT`].
    fn accept(&mut self) -> Result<Option<PeerId>> {
        if !std::mem::take(&mut self.accept_due) {
            return Ok(None);
        }
        let accepted = self.endpoint.raw().try_connect(&mut self.attempt);
        self.door_stuck = false;
        let halves = match accepted {
            Ok(halves) => halves,
            Err(error) if error.is_would_block() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Forked => return Err(error),
            Err(error) => {
                self.stick(error);
                return Ok(None);
            }
        };
        // More may stand at the door.
        self.accept_due = true;
        self.inside_first = true;
        let (sender, receiver) =
            Channel::new(halves, self.endpoint.address(), self.endpoint.settings()).split();
        self.last_id += 1;
        let id = PeerId(self.last_id);
        if let Some(token) = receiver.token() {
            self.tokens.insert(token, id);
        }
        self.peers.insert(id, Connection { sender, receiver, queued: true });
        self.queue.push_back(id);
        Ok(Some(id))
    }

    fn stick(&mut self, error: Error) {
        self.door_stuck = true;
        if self.fault_told.is_none_or(|told| told.elapsed() >= FAULT) {
            self.fault = Some(error);
        }
    }

    fn remove(&mut self, id: PeerId) -> Option<Connection> {
        let connection = self.peers.remove(&id)?;
        if let Some(token) = connection.receiver.token() {
            self.tokens.remove(&token);
        }
        Some(connection)
    }

    /// Queues whoever may have something: by hint, or everybody when that is due.
    fn refill(&mut self) {
        let everybody = std::mem::take(&mut self.scan_due);
        let (peers, tokens, queue) = (&mut self.peers, &self.tokens, &mut self.queue);
        let mut add = |id: PeerId, connection: &mut Connection| {
            if !std::mem::replace(&mut connection.queued, true) {
                queue.push_back(id);
            }
        };
        let hinted = self.endpoint.raw().ready(&mut |token| {
            if let Some(id) = tokens.get(&token)
                && let Some(connection) = peers.get_mut(id)
            {
                add(*id, connection);
            }
        });
        if everybody {
            self.scanned = Instant::now();
        }
        if everybody || !hinted || tokens.len() < peers.len() {
            for (id, connection) in peers.iter_mut() {
                if everybody || !hinted || connection.receiver.token().is_none() {
                    add(*id, connection);
                }
            }
        }
        self.round = self.queue.len().max(ROUND);
    }
}

impl Wait for Inbox {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.accept_due = true;
        if self.scanned.elapsed() >= SLICE {
            self.scan_due = true;
            return Ok(Armed::Ready);
        }
        if std::mem::take(&mut self.busy) {
            return Ok(Armed::Ready);
        }
        self.bell.silence();
        self.sources.clear();
        self.nap = SLICE;
        let waker = self.waker.clone();
        let task = Waiter::Task(&waker);
        let armed = match self.endpoint.raw().arm(&mut self.attempt, task) {
            Err(error) if error.kind() != ErrorKind::Forked => {
                self.stick(error);
                Armed::After(RETRY)
            }
            armed => armed?,
        };
        // Where hints come with a source, that source tells of the channels, too.
        let mut covered = false;
        match armed {
            // Who stands at a stuck door would end every sleep at once. It is shut for a moment, and what
            // its source tells of those inside is found out then.
            _ if self.door_stuck => {
                self.nap = RETRY;
                covered = !self.tokens.is_empty();
            }
            Armed::Ready => return Ok(Armed::Ready),
            Armed::Waker | Armed::Park => {}
            Armed::Source(interest) => {
                self.sources.push((self.endpoint.raw().source(&self.attempt)?, interest));
                covered = !self.tokens.is_empty();
            }
            Armed::After(time) => {
                self.nap = self.nap.min(time);
                if let Ok(source) = self.endpoint.raw().source(&self.attempt) {
                    self.sources.push((source, Interest::Readable));
                    covered = !self.tokens.is_empty();
                }
            }
        }
        for (id, connection) in &mut self.peers {
            if covered && connection.receiver.token().is_some() {
                continue;
            }
            let half = connection.receiver.wait();
            match half.arm(task) {
                Ok(Armed::Source(interest)) => self.sources.push((half.source()?, interest)),
                Ok(Armed::After(time)) => self.nap = self.nap.min(time),
                Ok(Armed::Waker | Armed::Park) => {}
                // Something is there, or the next try tells what is wrong.
                Ok(Armed::Ready) | Err(_) => {
                    if !std::mem::replace(&mut connection.queued, true) {
                        self.queue.push_back(*id);
                    }
                    return Ok(Armed::Ready);
                }
            }
        }
        self.sources.extend(self.bell.source().map(|bell| (bell, Interest::Readable)));
        Ok(Armed::Park)
    }

    fn park(&mut self, timeout: Duration) {
        sys::poll(&self.sources, timeout.min(self.nap));
    }
}

impl Waitable for Inbox {
    fn wait(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn interrupted(&mut self) -> bool {
        std::mem::take(&mut self.busy)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("endpoint", &self.endpoint)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}
