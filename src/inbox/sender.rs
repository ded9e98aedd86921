//! The sending side of an inbox: of each peer on its own, or shared by threads and tasks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Peer, Result};
use anyipc_os::generation;

use super::sending::{Broadcast, Sending};
use super::shared_sender::{SharedSender, Turn};
use super::{Inbox, PeerId};
use crate::address::Address;
use crate::channel::sender::Sender;
use crate::wait::deadline;

/// Answers the peers of an [`Inbox`] from other threads, from [`Inbox::split`].
///
/// Clones answer the same peers, and all calls take `&self`. Two messages to one peer are sent one
/// after the other, in the order in which the calls came; a peer without room delays no call to
/// another one. It knows a peer from the [`Connected`](super::Event::Connected) on, for as long as
/// the inbox does.
#[derive(Clone)]
pub struct InboxSender(Arc<Senders>);

impl InboxSender {
    /// Sends a message to one peer. Blocks while the peer has no room, without a limit of time. It
    /// returns within 100 ms after the inbox has ended the connection.
    ///
    /// # Errors
    /// `PeerGone` if the peer is not connected (any more), and those of [`Sender::send`].
    pub fn send(&self, to: PeerId, message: &[u8]) -> Result<()> {
        self.sending(to)?.send(message, None)
    }

    /// As [`send`](Self::send), for `timeout` at most. After `TimedOut` nothing of the message
    /// arrives.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&self, to: PeerId, message: &[u8], timeout: Duration) -> Result<()> {
        self.sending(to)?.send(message, deadline(Some(timeout)))
    }

    /// As [`send`](Self::send) for a message of one frame, without blocking.
    ///
    /// # Errors
    /// `WouldBlock` (no room now, or another thread is sending to this peer), and those of
    /// [`Inbox::try_send`].
    pub fn try_send(&self, to: PeerId, message: &[u8]) -> Result<()> {
        let sender = self.0.get(to)?;
        try_send_shared(&sender, message)
    }

    /// As [`Inbox::broadcast`], except that it skips no peer that another thread is sending to: it
    /// reports `WouldBlock` for it.
    pub fn broadcast(&self, message: &[u8]) -> Vec<(PeerId, Error)> {
        self.begin_broadcast(message).try_all()
    }

    /// As [`Inbox::broadcast_timeout`].
    pub fn broadcast_timeout(&self, message: &[u8], timeout: Duration) -> Vec<(PeerId, Error)> {
        self.begin_broadcast(message).send(deadline(Some(timeout)))
    }

    /// The peers that can be sent to, those included that have ended their sending half and still
    /// receive.
    pub fn peers(&self) -> Vec<PeerId> {
        self.0.all().into_iter().map(|(id, _)| id).collect()
    }

    /// What the transport reports about a peer.
    pub fn peer(&self, id: PeerId) -> Option<Peer> {
        self.0.get(id).ok().map(|sender| sender.peer().clone())
    }

    pub(crate) fn sending(&self, to: PeerId) -> Result<Sending<'static>> {
        self.0.get(to).map(|sender| Sending::shared(Turn::new(sender)))
    }

    pub(crate) fn begin_broadcast<'m>(&self, message: &'m [u8]) -> Broadcast<'static, 'm> {
        let all = self.0.all().into_iter();
        Broadcast::new(message, all.map(|(id, sender)| (id, Sending::shared(Turn::new(sender)))))
    }

    /// The address of the owner's endpoint.
    pub fn address(&self) -> &Address {
        &self.0.address
    }
}

impl fmt::Debug for InboxSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InboxSender({}, {} peers)", self.0.address, self.0.all().len())
    }
}

impl Inbox {
    /// A handle with which other threads answer the peers, and the inbox, which goes on with all
    /// its calls. Once split, each send takes a lock, also those of the inbox itself.
    ///
    /// ```
    /// # #[cfg(feature = "in-process")]
    /// # fn main() -> anyipc::Result<()> {
    /// # let owner = anyipc::create("inproc://inbox.split")?;
    /// # let client = std::thread::spawn(|| -> anyipc::Result<Vec<u8>> {
    /// #     let mut channel = anyipc::connect("inproc://inbox.split")?;
    /// #     channel.send(b"6 * 7")?;
    /// #     channel.recv()
    /// # });
    /// let (answers, mut inbox) = anyipc::Inbox::new(owner)?.split();
    /// let (peer, question) = inbox.recv()?;
    /// // The inbox can receive the next question meanwhile.
    /// let worker = std::thread::spawn(move || answers.send(peer, b"42"));
    /// # assert_eq!(question, b"6 * 7");
    /// # worker.join().unwrap()?;
    /// # assert_eq!(client.join().unwrap()?, b"42");
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "in-process"))]
    /// # fn main() {}
    /// ```
    pub fn split(mut self) -> (InboxSender, Self) {
        let address = self.endpoint.address().clone();
        let senders = self.peers.share(|| Senders {
            address,
            generation: generation(),
            peers: Mutex::default(),
        });
        (InboxSender(senders), self)
    }
}

/// The shared senders of all peers.
#[derive(Debug)]
pub(super) struct Senders {
    address: Address,
    /// Of the process that may use them. A child may have been forked while a lock was held.
    generation: u32,
    peers: Mutex<BTreeMap<PeerId, Arc<SharedSender>>>,
}

impl Senders {
    fn get(&self, id: PeerId) -> Result<Arc<SharedSender>> {
        anyipc_os::check_generation(self.generation, Operation::Send)
            .map_err(|error| error.at(&self.address))?;
        self.peers().get(&id).cloned().ok_or_else(|| not_connected(id, &self.address))
    }

    /// In order of their ids. None in a forked child.
    fn all(&self) -> Vec<(PeerId, Arc<SharedSender>)> {
        if self.generation != generation() {
            return Vec::new();
        }
        self.peers().iter().map(|(id, sender)| (*id, Arc::clone(sender))).collect()
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<PeerId, Arc<SharedSender>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn not_connected(id: PeerId, address: &Address) -> Error {
    Error::new(Operation::Send, ErrorKind::PeerGone)
        .because(format!("peer {id} is not connected"))
        .at(address)
}

fn try_send_shared(sender: &Arc<SharedSender>, message: &[u8]) -> Result<()> {
    let mut turn = Turn::new(Arc::clone(sender));
    turn.take().and_then(|sender| sender.try_send(message)).map_err(|error| sender.explain(error))
}

/// The sender of one peer in an inbox.
#[derive(Debug)]
pub(super) enum PeerSender {
    Own(Sender),
    Shared(Listed),
}

/// A shared sender in its list. It leaves the list and ends when it is dropped.
#[derive(Debug)]
pub(super) struct Listed {
    list: Arc<Senders>,
    id: PeerId,
    sender: Arc<SharedSender>,
}

impl PeerSender {
    /// Puts the sender on the list, if there is one.
    pub(super) fn new(id: PeerId, sender: Sender, list: Option<&Arc<Senders>>) -> Self {
        let Some(list) = list else { return Self::Own(sender) };
        let sender = SharedSender::new(sender);
        list.peers().insert(id, Arc::clone(&sender));
        Self::Shared(Listed { list: Arc::clone(list), id, sender })
    }

    /// The same, on the list.
    pub(super) fn share(self, id: PeerId, list: &Arc<Senders>) -> Self {
        match self {
            Self::Own(sender) => Self::new(id, sender, Some(list)),
            shared @ Self::Shared(_) => shared,
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        match self {
            Self::Own(sender) => sender.peer(),
            Self::Shared(listed) => listed.sender.peer(),
        }
    }

    /// False if the receiver is known to have left or died.
    pub(super) fn is_heard(&mut self) -> bool {
        match self {
            Self::Own(sender) => sender.is_heard(),
            Self::Shared(listed) => listed.sender.is_heard(),
        }
    }

    pub(super) fn send(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        match (self, timeout) {
            (Self::Own(sender), None) => sender.send(message),
            (Self::Own(sender), Some(timeout)) => sender.send_timeout(message, timeout),
            (shared, timeout) => shared.sending().send(message, deadline(timeout)),
        }
    }

    pub(super) fn try_send(&mut self, message: &[u8]) -> Result<()> {
        match self {
            Self::Own(sender) => sender.try_send(message),
            Self::Shared(listed) => try_send_shared(&listed.sender, message),
        }
    }

    pub(super) fn sending(&mut self) -> Sending<'_> {
        match self {
            Self::Own(sender) => Sending::own(sender),
            Self::Shared(listed) => Sending::shared(Turn::new(Arc::clone(&listed.sender))),
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        if self.list.generation == generation() {
            self.list.peers().remove(&self.id);
            self.sender.end();
        }
    }
}
