//! Inboxes with async calls in place of the blocking ones.

use std::fmt;
use std::time::Duration;

use anyipc_core::{Error, Operation, Peer, Result};

use super::reactor::{Reactor, check_runtime};
use super::registration::Retained;
use super::wait::wait;
use crate::endpoint::Endpoint;
use crate::inbox::sender::InboxSender;
use crate::inbox::sending::{Broadcast, Sending};
use crate::inbox::{Event, Inbox, PeerId};
use crate::wait::deadline;

/// An [`Inbox`] with async calls in place of the blocking ones, all of them cancel-safe: one task
/// for many peers.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
pub struct AsyncInbox {
    inner: Inbox,
    reactor: Reactor,
    retained: Retained,
}

/// An [`InboxSender`] with async calls in place of the blocking ones, from [`AsyncInbox::split`].
/// Clones answer the same peers. All calls take `&self` and are cancel-safe.
#[derive(Clone)]
pub struct AsyncInboxSender {
    inner: InboxSender,
    reactor: Reactor,
}

impl Inbox {
    /// Makes the inbox async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncInbox> {
        check_runtime().map_err(|e| e.at(self.endpoint().address()))?;
        Ok(AsyncInbox { inner: self, reactor: Reactor::default(), retained: Retained::default() })
    }
}

impl AsyncInbox {
    /// The async inbox of an owner, as [`Inbox::new`].
    ///
    /// # Errors
    /// Those of [`Inbox::new`]; `Unsupported` outside of a tokio runtime.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        Inbox::new(endpoint)?.into_async()
    }

    /// The next event, as [`Inbox::next_event`]. Waits until there is one, without a limit of time.
    /// A dropped future has taken no event.
    ///
    /// # Errors
    /// Those of [`Inbox::recv`].
    pub async fn next_event(&mut self) -> Result<Event> {
        self.next(Inbox::try_event).await
    }

    /// The next message of any peer, as [`Inbox::recv`]. Waits until there is one, without a limit
    /// of time. A dropped future has taken no message.
    ///
    /// # Errors
    /// Those of [`Inbox::recv`].
    pub async fn recv(&mut self) -> Result<(PeerId, Vec<u8>)> {
        self.recv_with(|id, message| (id, message.to_vec())).await
    }

    /// As [`recv`](Self::recv), but shows the message where it lies. If `read` panics, the message
    /// is used up.
    ///
    /// # Errors
    /// Those of `recv`; `read` was not called then.
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(PeerId, &[u8]) -> R) -> Result<R> {
        let mut read = Some(read);
        self.next(|inbox| inbox.try_message(&mut read)).await
    }

    /// What an attempt finds, once it finds something.
    pub(super) async fn next<R>(
        &mut self,
        attempt: impl FnMut(&mut Inbox) -> Result<R>,
    ) -> Result<R> {
        let Self { inner, reactor, retained } = self;
        wait(inner, reactor, retained, Operation::Receive, None, attempt)
            .await
            .map_err(|error| self.inner.explain(error))
    }

    /// As [`next_event`](Self::next_event), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no event, and those of [`Inbox::recv`].
    pub fn try_next_event(&mut self) -> Result<Event> {
        self.inner.try_next_event()
    }

    /// Sends a message to one peer, as [`Inbox::send`]. Waits while the peer has no room, without a
    /// limit of time; other tasks answer others meanwhile after a [`split`](Self::split). A dropped
    /// future has sent the message whole or not at all.
    ///
    /// # Errors
    /// Those of [`Inbox::send`].
    pub async fn send(&mut self, to: PeerId, message: &[u8]) -> Result<()> {
        let Self { inner, reactor, .. } = self;
        send(inner.begin_send(to)?, reactor, message).await
    }

    /// Sends a message of one frame to one peer, without waiting.
    ///
    /// # Errors
    /// Those of [`Inbox::try_send`].
    pub fn try_send(&mut self, to: PeerId, message: &[u8]) -> Result<()> {
        self.inner.try_send(to, message)
    }

    /// Sends a message to every peer that has room for it now, as [`Inbox::broadcast`].
    pub fn broadcast(&mut self, message: &[u8]) -> Vec<(PeerId, Error)> {
        self.inner.broadcast(message)
    }

    /// Sends a message to every peer, as [`Inbox::broadcast_timeout`]. Of a dropped future, each
    /// peer gets the whole message or none of it.
    pub async fn broadcast_timeout(
        &mut self,
        message: &[u8],
        timeout: Duration,
    ) -> Vec<(PeerId, Error)> {
        let Self { inner, reactor, .. } = self;
        broadcast(inner.begin_broadcast(message), reactor, timeout).await
    }

    /// A handle with which other tasks answer the peers, and the inbox, which goes on with all its
    /// calls. Once split, each send takes a lock, also those of the inbox itself.
    pub fn split(self) -> (AsyncInboxSender, Self) {
        let Self { inner, reactor, retained } = self;
        let (sender, inner) = inner.split();
        let sender = AsyncInboxSender { inner: sender, reactor: reactor.clone() };
        (sender, Self { inner, reactor, retained })
    }

    /// The peers that are connected and have not ended their sending half.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.inner.peers()
    }

    /// What the transport reports about a peer.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.inner.peer(id)
    }

    /// Ends one connection, as [`Inbox::disconnect`].
    pub fn disconnect(&mut self, id: PeerId) -> bool {
        self.inner.disconnect(id)
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        self.inner.endpoint()
    }

    /// Makes the inbox blocking again.
    pub fn into_sync(self) -> Inbox {
        self.inner
    }
}

impl AsyncInboxSender {
    /// Sends a message to one peer. Waits while the peer has no room, without a limit of time;
    /// returns when the inbox ends the connection. A dropped future has sent the message whole or
    /// not at all.
    ///
    /// # Errors
    /// Those of [`InboxSender::send`].
    pub async fn send(&self, to: PeerId, message: &[u8]) -> Result<()> {
        send(self.inner.sending(to)?, &self.reactor, message).await
    }

    /// Sends a message of one frame to one peer, without waiting.
    ///
    /// # Errors
    /// Those of [`InboxSender::try_send`].
    pub fn try_send(&self, to: PeerId, message: &[u8]) -> Result<()> {
        self.inner.try_send(to, message)
    }

    /// Sends a message to every peer that has room for it now, as [`InboxSender::broadcast`].
    pub fn broadcast(&self, message: &[u8]) -> Vec<(PeerId, Error)> {
        self.inner.broadcast(message)
    }

    /// Sends a message to every peer, as [`Inbox::broadcast_timeout`]. Of a dropped future, each
    /// peer gets the whole message or none of it.
    pub async fn broadcast_timeout(
        &self,
        message: &[u8],
        timeout: Duration,
    ) -> Vec<(PeerId, Error)> {
        broadcast(self.inner.begin_broadcast(message), &self.reactor, timeout).await
    }

    /// The same peers with blocking calls, for threads.
    pub fn to_sync(&self) -> InboxSender {
        self.inner.clone()
    }
}

async fn send(mut sending: Sending<'_>, reactor: &Reactor, message: &[u8]) -> Result<()> {
    wait(&mut sending, reactor, &mut Retained::default(), Operation::Send, None, |sending| {
        sending.attempt(message)
    })
    .await
    .map_err(|error| sending.explain(error))
}

async fn broadcast(
    mut broadcast: Broadcast<'_, '_>,
    reactor: &Reactor,
    timeout: Duration,
) -> Vec<(PeerId, Error)> {
    let (mut retained, deadline) = (Retained::default(), deadline(Some(timeout)));
    let ended =
        wait(&mut broadcast, reactor, &mut retained, Operation::Send, deadline, Broadcast::attempt)
            .await;
    broadcast.end(ended)
}

impl fmt::Debug for AsyncInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async{:?}", self.inner)
    }
}

impl fmt::Debug for AsyncInboxSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async{:?}", self.inner)
    }
}
