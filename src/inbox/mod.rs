//! The owner's side of many connections, in one thread.
//!
//! `listener` accepts, `schedule` says which peer is tried next, `peers` holds the connections.
//! `turn` joins them to one step, and `sleep` waits for the next. `sender` answers, also from other
//! threads (`shared_sender`); `sending` is a message on its way. `typed` decodes.

mod listener;
mod peers;
mod schedule;
pub(crate) mod sender;
pub(crate) mod sending;
mod shared_sender;
mod sleep;
pub(crate) mod turn;
#[cfg(feature = "serde")]
pub(crate) mod typed;

use std::fmt;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Peer, Result, Role};

#[cfg(feature = "serde")]
use crate::channel::sender::Sender;
use crate::endpoint::Endpoint;
use crate::wait::sleeper::Sleeper;
use crate::wait::spin::Spinner;
use crate::wait::{deadline, wait};
use listener::Listener;
use peers::Peers;
use schedule::Schedule;
use sender::{PeerSender, not_connected};
use sending::Broadcast;
use turn::Turn;

/// The most turns without a message in one try of `recv`, before the caller looks at its clock.
const TURNS: usize = 16;

/// The id of one connection of an [`Inbox`]. No other connection of the inbox ever gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that happened in an [`Inbox`], or with values in a [`TypedInbox`](crate::TypedInbox).
#[derive(Debug)]
pub enum Event<M = Vec<u8>> {
    /// A peer connected.
    Connected(PeerId),
    /// A peer sent a message.
    Message(PeerId, M),
    /// A peer sends no more, and everything that arrived was received. The reason is `Closed` (in
    /// order), `PeerGone` (it died), `Corrupt` (it broke the protocol), or, of a typed inbox,
    /// `Codec` (it sent something else than a value of the type; what came after that was not
    /// received). After `Closed` it may still receive, if it has ended only its sending half:
    /// [`Inbox::send`] reaches it as long as it does.
    Disconnected(PeerId, Error),
}

/// The owner's side of many connections: accepts connectors, receives from all peers in turn, and
/// answers each.
///
/// The messages of one peer arrive in order; peers take turns, one message each. Where the
/// transport has hints, only channels with messages are touched. Every channel is looked at each
/// 100 ms in any case.
pub struct Inbox {
    endpoint: Endpoint,
    listener: Listener,
    schedule: Schedule,
    peers: Peers,
    /// The last try ended with more to do.
    interrupted: bool,
    spinner: Spinner,
    /// What ends the sleep of the thread: the listener and the peers.
    sleeper: Sleeper,
    /// What a [`Select`](crate::Select) found, an event or an error: the result of the next call.
    found: Option<Result<Event>>,
}

impl Inbox {
    /// The inbox of an owner, without connections at first.
    ///
    /// # Errors
    /// `WrongRole` for an opener's endpoint, `Io` if the process has no descriptor left.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        let hello = endpoint.hello();
        Self::with_hello(endpoint, hello)
    }

    /// As [`new`](Self::new), with another hello.
    pub(crate) fn with_hello(endpoint: Endpoint, hello: Hello) -> Result<Self> {
        if endpoint.role() != Role::Owner {
            return Err(Error::new(Operation::Accept, ErrorKind::WrongRole)
                .because("an inbox is the owner's; an opener connects")
                .at(endpoint.address()));
        }
        let sleeper = Sleeper::new().map_err(|error| {
            Error::io(Operation::Accept, "making the inbox's waker", error).at(endpoint.address())
        })?;
        Ok(Self {
            listener: Listener::new(hello),
            schedule: Schedule::new(),
            peers: Peers::default(),
            interrupted: false,
            spinner: Spinner::new(endpoint.settings().wait),
            sleeper,
            found: None,
            endpoint,
        })
    }

    /// Says another hello to the connectors that come from now on.
    #[cfg(feature = "serde")]
    pub(crate) fn set_hello(&mut self, hello: Hello) {
        self.listener = Listener::new(hello);
    }

    /// Receives the next message of any peer. Blocks until there is one, without a limit of time.
    /// Meanwhile it accepts connectors and removes connections that end;
    /// [`next_event`](Self::next_event) reports both.
    ///
    /// # Errors
    /// Those of the owner: `Forked`, `Io`, `Removed` (the name was removed, see
    /// [`Endpoint::accept`]). After the last two, the inbox continues to serve its peers. The fault
    /// of a peer ends its connection, not this call.
    pub fn recv(&mut self) -> Result<(PeerId, Vec<u8>)> {
        self.recv_with(|id, message| (id, message.to_vec()))
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(PeerId, Vec<u8>)> {
        self.message(Some(timeout), |id, message| (id, message.to_vec()))
    }

    /// As [`recv`](Self::recv), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if there is no message, and those of `recv`.
    pub fn try_recv(&mut self) -> Result<(PeerId, Vec<u8>)> {
        let mut read = Some(|id, message: &[u8]| (id, message.to_vec()));
        self.attempt(|inbox| inbox.try_message(&mut read))
    }

    /// As [`recv`](Self::recv), but shows the message where it lies. If `read` panics, the message
    /// is used up.
    ///
    /// # Errors
    /// Those of `recv`; `read` was not called then.
    pub fn recv_with<R>(&mut self, read: impl FnOnce(PeerId, &[u8]) -> R) -> Result<R> {
        self.message(None, read)
    }

    /// The next event: a message, a new connection, or the end of one. Blocks until there is one,
    /// without a limit of time.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn next_event(&mut self) -> Result<Event> {
        self.wait_for(None, Self::try_event)
    }

    /// As [`next_event`](Self::next_event), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn next_event_timeout(&mut self, timeout: Duration) -> Result<Event> {
        self.wait_for(Some(timeout), Self::try_event)
    }

    /// As [`next_event`](Self::next_event), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if there is no event, and those of `recv`.
    pub fn try_next_event(&mut self) -> Result<Event> {
        self.attempt(Self::try_event)
    }

    /// True if [`try_next_event`](Self::try_next_event) returns an event or an error.
    pub(crate) fn is_ready(&mut self) -> bool {
        if self.found.is_none() {
            self.listener.request();
            match self.try_event() {
                Err(error) if error.is_would_block() => return false,
                found => self.found = Some(found),
            }
        }
        true
    }

    /// Sends a message to one peer. Blocks while the peer has no room, without a limit of time: a
    /// peer that does not receive delays all others. [`send_timeout`](Self::send_timeout) and
    /// [`try_send`](Self::try_send) limit that.
    ///
    /// # Errors
    /// `PeerGone` if the peer is not connected (any more), and those of
    /// [`Sender::send`](crate::Sender::send).
    pub fn send(&mut self, to: PeerId, message: &[u8]) -> Result<()> {
        self.sender(to)?.send(message, None)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, to: PeerId, message: &[u8], timeout: Duration) -> Result<()> {
        self.sender(to)?.send(message, Some(timeout))
    }

    /// As [`send`](Self::send) for a message of one frame, without blocking.
    ///
    /// # Errors
    /// `PeerGone` as `send`, and those of [`Sender::try_send`](crate::Sender::try_send).
    pub fn try_send(&mut self, to: PeerId, message: &[u8]) -> Result<()> {
        self.sender(to)?.try_send(message)
    }

    /// Sends a message to every peer, also to those that have ended their sending half, without
    /// blocking. Returns the peers that do not get it, in order of their ids, each with the reason;
    /// none of its bytes arrives there.
    ///
    /// The reason is `WouldBlock` for a peer that has no room for the whole message now, and
    /// otherwise an error of [`send`](Self::send). A message longer than the channel's `capacity`
    /// reaches only peers that receive meanwhile: use
    /// [`broadcast_timeout`](Self::broadcast_timeout).
    pub fn broadcast(&mut self, message: &[u8]) -> Vec<(PeerId, Error)> {
        self.begin_broadcast(message).try_all()
    }

    /// As [`broadcast`](Self::broadcast), but waits for the peers without room, for `timeout` at
    /// most in all. No peer waits for another. The reason of those that have no room until then is
    /// `TimedOut`.
    pub fn broadcast_timeout(&mut self, message: &[u8], timeout: Duration) -> Vec<(PeerId, Error)> {
        self.begin_broadcast(message).send(deadline(Some(timeout)))
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn begin_send(&mut self, to: PeerId) -> Result<sending::Sending<'_>> {
        Ok(self.sender(to)?.sending())
    }

    pub(crate) fn begin_broadcast<'a, 'm>(&'a mut self, message: &'m [u8]) -> Broadcast<'a, 'm> {
        Broadcast::new(message, self.peers.sendings())
    }

    /// The peers that are connected and have not ended their sending half.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.ids()
    }

    /// What the transport reports about a peer.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.sender(id).map(PeerSender::peer)
    }

    /// False if the peer is known to receive nothing any more.
    #[cfg(feature = "single-instance")]
    pub(crate) fn is_heard(&mut self, id: PeerId) -> bool {
        self.peers.sender_mut(id).is_some_and(PeerSender::is_heard)
    }

    /// Ends one connection. Messages of the peer that were not received yet are lost; its calls
    /// return `Closed`. False if it was not connected.
    pub fn disconnect(&mut self, id: PeerId) -> bool {
        self.peers.disconnect(id)
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Ends all connections and returns the endpoint.
    pub fn into_endpoint(self) -> Endpoint {
        self.endpoint
    }

    /// The sender of one peer for its only user.
    ///
    /// # Errors
    /// `PeerGone` if the peer is not connected; `Unsupported` if the inbox was split.
    #[cfg(feature = "serde")]
    pub(crate) fn own_sender(&mut self, id: PeerId) -> Result<&mut Sender> {
        match self.sender(id)? {
            PeerSender::Own(sender) => Ok(sender),
            PeerSender::Shared(_) => Err(Error::new(Operation::Send, ErrorKind::Unsupported)
                .because("the inbox was split: others may send between two parts of a message")),
        }
    }

    fn sender(&mut self, id: PeerId) -> Result<&mut PeerSender> {
        let address = self.endpoint.address();
        self.peers.sender_mut(id).ok_or_else(|| not_connected(id, address))
    }

    fn message<R>(
        &mut self,
        timeout: Option<Duration>,
        read: impl FnOnce(PeerId, &[u8]) -> R,
    ) -> Result<R> {
        let mut read = Some(read);
        self.wait_for(timeout, |inbox| inbox.try_message(&mut read))
    }

    /// One attempt of a call that does not wait.
    fn attempt<R>(&mut self, attempt: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.listener.request();
        attempt(self).map_err(|e| self.explain(e))
    }

    /// Attempts until one returns anything but `WouldBlock`.
    fn wait_for<R>(
        &mut self,
        timeout: Option<Duration>,
        mut attempt: impl FnMut(&mut Self) -> Result<R>,
    ) -> Result<R> {
        match attempt(self) {
            Err(error) if error.is_would_block() => {
                wait(self, Operation::Receive, deadline(timeout), attempt)
            }
            done => done,
        }
        .map_err(|e| self.explain(e))
    }

    pub(crate) fn try_message<R, F: FnOnce(PeerId, &[u8]) -> R>(
        &mut self,
        read: &mut Option<F>,
    ) -> Result<R> {
        for _ in 0..TURNS {
            if let Turn::Message(result) = self.turn(read)? {
                return Ok(result);
            }
        }
        Err(self.interrupt())
    }

    /// The result of an attempt that stops early, so that its caller can look at its clock.
    fn interrupt(&mut self) -> Error {
        self.listener.due = true;
        self.interrupted = true;
        Error::new(Operation::Receive, ErrorKind::WouldBlock)
    }

    pub(crate) fn try_event(&mut self) -> Result<Event> {
        self.try_event_as(|message| Ok(message.to_vec()))
    }

    /// The next event, with the message as `read` makes it. A message that `read` refuses ends its
    /// connection.
    pub(crate) fn try_event_as<M>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Result<M>,
    ) -> Result<Event<M>> {
        let mut read = Some(|id, message: &[u8]| (id, read(message)));
        Ok(match self.turn(&mut read)? {
            Turn::Message((id, Ok(message))) => Event::Message(id, message),
            Turn::Message((id, Err(reason))) => {
                self.disconnect(id);
                Event::Disconnected(id, self.explain(reason))
            }
            Turn::Connected(id) => Event::Connected(id),
            Turn::Disconnected(id, reason) => Event::Disconnected(id, reason),
        })
    }

    pub(crate) fn explain(&self, error: Error) -> Error {
        let error = error.during(Operation::Receive);
        if error.is_would_block() { error } else { error.at(self.endpoint.address()) }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({}, {} peers)", self.endpoint.address(), self.peers().count())
    }
}
