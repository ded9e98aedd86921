mod peers;
mod sleep;
mod turns;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use anyipc_core::{Attempt, Error, ErrorKind, Operation, Peer, Result, Role};

use crate::channel::sender::Sender;
use crate::endpoint::Endpoint;
use crate::wait::sleep::Sleeper;
use crate::wait::{Spinner, deadline, wait};
use peers::{Connection, Peers};

/// Turns without a message in one attempt, at most, before the caller looks at its clock.
const CROWD: usize = 16;

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
    /// A peer sends no more, and everything that arrived was received. The reason is `Closed` (in order), `PeerGone` (it
    /// died) or `Corrupt` (it broke the protocol). After `Closed` it may still receive, if it has ended only its sending
    /// half: [`Inbox::send`] answers it as long as it does.
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
    peers: Peers,
    /// Whom to try, in this order, by their places.
    queue: VecDeque<usize>,
    /// Whose message came last, by its place.
    last: Option<usize>,
    /// It has spoken twice in a row, and we have not slept since: it is looked at all the time, so its hint may stay.
    steady: bool,
    /// Messages left until the next look at who else has some.
    round: usize,
    last_id: u64,
    turn: u32,
    accept_due: bool,
    /// When the door was looked at last.
    door_seen: Instant,
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
    sleeper: Sleeper,
    /// What a [`Select`](crate::Select) has found, until the next call asks for it: an event, or an error.
    found: Option<Result<Event>>,
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
        let sleeper = Sleeper::new().map_err(|error| {
            Error::io(Operation::Accept, "making the inbox's waker", error).at(endpoint.address())
        })?;
        let mut attempt = Attempt::new(endpoint.hello());
        attempt.inbox = true;
        Ok(Self {
            attempt,
            peers: Peers::default(),
            queue: VecDeque::new(),
            last: None,
            steady: false,
            round: 0,
            last_id: 0,
            turn: 0,
            accept_due: true,
            door_seen: Instant::now(),
            inside_first: false,
            scan_due: false,
            scanned: Instant::now(),
            busy: false,
            door_stuck: false,
            fault: None,
            fault_told: None,
            spinner: Spinner::new(endpoint.settings().wait),
            sleeper,
            found: None,
            endpoint,
        })
    }

    /// Receives the next message of anyone; waits for it. Who connects meanwhile is let in, and whose
    /// connection ends is forgotten; [`next_event`](Self::next_event) tells of both.
    ///
    /// # Errors
    /// `Forked`, `Io`, `Removed` (the name went away under the owner, see [`Endpoint::accept`]): the owner's own.
    /// After the last two the inbox goes on serving its peers. A peer's fault ends its connection, not this call.
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
        self.heed_door();
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

    /// As [`next_event`](Self::next_event), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if nothing happened, and those of `recv`.
    pub fn try_next_event(&mut self) -> Result<Event> {
        self.heed_door();
        self.try_event().map_err(|e| self.explain(e))
    }

    /// Whether [`try_next_event`](Self::try_next_event) has something to tell.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.found.is_none() {
            self.heed_door();
            match self.try_event() {
                Err(error) if error.is_would_block() => return false,
                found => self.found = Some(found),
            }
        }
        true
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

    /// Who is connected, and has not ended its sending half.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.ids()
    }

    /// What is known about one of them.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.sender(id).map(Sender::peer)
    }

    /// Ends one connection. What it sent and was not received yet is lost; it gets `Closed`. False if it
    /// was not connected.
    pub fn disconnect(&mut self, id: PeerId) -> bool {
        self.peers.disconnect(id)
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends all connections and gives the endpoint back.
    pub fn into_endpoint(self) -> Endpoint {
        self.endpoint
    }

    pub(crate) fn sleeper(&self) -> &Sleeper {
        &self.sleeper
    }

    fn sender(&mut self, id: PeerId) -> Result<&mut Sender> {
        match self.peers.sender_mut(id) {
            Some(sender) => Ok(sender),
            None => Err(Error::new(Operation::Send, ErrorKind::PeerGone)
                .because(format!("peer {id} is not connected"))
                .at(self.endpoint.address())),
        }
    }

    fn message<R>(
        &mut self,
        timeout: Option<Duration>,
        read: impl FnOnce(PeerId, &[u8]) -> R,
    ) -> Result<R> {
        let mut read = Some(read);
        match self.try_message(&mut read) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Receive, deadline(timeout), |inbox| {
                    inbox.try_message(&mut read)
                })
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
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("endpoint", &self.endpoint)
            .field("peers", &self.peers)
            .finish_non_exhaustive()
    }
}
