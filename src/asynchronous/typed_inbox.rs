//! Inboxes of values with async calls.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use anyipc_core::{Error, Peer, Result};
use serde::{Serialize, de::DeserializeOwned};

use super::inbox::{AsyncInbox, AsyncInboxSender};
use crate::channel::encoder::Encoder;
use crate::channel::message::Message;
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::inbox::typed::{TypedInbox, try_value};
use crate::inbox::{Event, PeerId};

/// A [`TypedInbox`] with async calls in place of the blocking ones, all of them cancel-safe.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
pub struct AsyncTypedInbox<Out: ?Sized, In> {
    inner: AsyncInbox,
    encoder: Encoder<Out>,
    marker: PhantomData<fn() -> In>,
}

/// Answers the peers of an [`AsyncTypedInbox`] from other tasks, from [`AsyncTypedInbox::split`].
/// Each clone has a buffer of its own.
pub struct AsyncTypedInboxSender<Out: ?Sized> {
    inner: AsyncInboxSender,
    encoder: Encoder<Out>,
}

impl<Out, In> TypedInbox<Out, In>
where
    Out: Message + Serialize + ?Sized,
    In: Message + DeserializeOwned,
{
    /// Makes the inbox async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncTypedInbox<Out, In>> {
        let (inbox, codec) = self.into_untyped();
        Ok(AsyncTypedInbox {
            inner: inbox.into_async()?,
            encoder: Encoder::new(codec),
            marker: PhantomData,
        })
    }
}

impl<Out, In> AsyncTypedInbox<Out, In>
where
    Out: Message + Serialize + ?Sized,
    In: Message + DeserializeOwned,
{
    /// The async inbox of an owner, as [`TypedInbox::new`].
    ///
    /// # Errors
    /// Those of [`TypedInbox::new`]; `Unsupported` outside of a tokio runtime.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        TypedInbox::new(endpoint)?.into_async()
    }

    /// The next event, as [`TypedInbox::next_event`]. Waits until there is one, without a limit of
    /// time. A dropped future has taken no event.
    ///
    /// # Errors
    /// Those of [`TypedInbox::recv`].
    pub async fn next_event(&mut self) -> Result<Event<In>> {
        let codec = self.codec();
        self.inner.next(|inbox| inbox.try_event_as(|bytes| codec.decode(bytes))).await
    }

    /// The next value of any peer, as [`TypedInbox::recv`]. Waits until there is one, without a
    /// limit of time. A dropped future has taken no value.
    ///
    /// # Errors
    /// Those of [`TypedInbox::recv`].
    pub async fn recv(&mut self) -> Result<(PeerId, In)> {
        let codec = self.codec();
        self.inner.next(|inbox| try_value(inbox, codec)).await
    }

    /// Sends a value to one peer. Waits while the peer has no room, as [`AsyncInbox::send`]. Of a
    /// dropped future the value is sent whole or not at all.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, and those of [`AsyncInbox::send`].
    pub async fn send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes =
            self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint().address()))?;
        self.inner.send(to, bytes).await
    }

    /// Sends a value of one frame to one peer, without waiting.
    ///
    /// # Errors
    /// `Codec`, and those of [`AsyncInbox::try_send`].
    pub fn try_send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes =
            self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint().address()))?;
        self.inner.try_send(to, bytes)
    }

    /// Sends a value to every peer that has room for it now, as [`TypedInbox::broadcast`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub fn broadcast(&mut self, value: &Out) -> Result<Vec<(PeerId, Error)>> {
        let bytes =
            self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint().address()))?;
        Ok(self.inner.broadcast(bytes))
    }

    /// Sends a value to every peer, as [`AsyncInbox::broadcast_timeout`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub async fn broadcast_timeout(
        &mut self,
        value: &Out,
        timeout: Duration,
    ) -> Result<Vec<(PeerId, Error)>> {
        let bytes =
            self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint().address()))?;
        Ok(self.inner.broadcast_timeout(bytes, timeout).await)
    }

    /// A handle with which other tasks answer the peers, and the inbox, as [`AsyncInbox::split`].
    pub fn split(self) -> (AsyncTypedInboxSender<Out>, Self) {
        let Self { inner, encoder, marker } = self;
        let (sender, inner) = inner.split();
        let sender = AsyncTypedInboxSender { inner: sender, encoder: Encoder::new(encoder.codec) };
        (sender, Self { inner, encoder, marker })
    }

    /// Makes the inbox blocking again.
    pub fn into_sync(self) -> TypedInbox<Out, In> {
        TypedInbox::from_untyped(self.inner.into_sync(), self.encoder.codec)
    }

    /// The peers that are connected and have not ended their sending half.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.inner.peers()
    }

    /// What the transport reports about a peer.
    pub fn peer(&self, id: PeerId) -> Option<&Peer> {
        self.inner.peer(id)
    }

    /// Ends one connection, as [`Inbox::disconnect`](crate::Inbox::disconnect).
    pub fn disconnect(&mut self, id: PeerId) -> bool {
        self.inner.disconnect(id)
    }

    /// The codec in use.
    pub fn codec(&self) -> CodecId {
        self.encoder.codec
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        self.inner.endpoint()
    }
}

impl<Out: Serialize + ?Sized> AsyncTypedInboxSender<Out> {
    /// Sends a value to one peer. Waits while the peer has no room, as [`AsyncInboxSender::send`].
    /// Of a dropped future the value is sent whole or not at all.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, and those of [`AsyncInboxSender::send`].
    pub async fn send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| explain(&self.inner, e))?;
        self.inner.send(to, bytes).await
    }

    /// Sends a value of one frame to one peer, without waiting.
    ///
    /// # Errors
    /// `Codec`, and those of [`AsyncInboxSender::try_send`].
    pub fn try_send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| explain(&self.inner, e))?;
        self.inner.try_send(to, bytes)
    }

    /// As [`AsyncTypedInbox::broadcast`]; a peer that another task is sending to is `WouldBlock`.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub fn broadcast(&mut self, value: &Out) -> Result<Vec<(PeerId, Error)>> {
        let bytes = self.encoder.encode(value).map_err(|e| explain(&self.inner, e))?;
        Ok(self.inner.broadcast(bytes))
    }

    /// As [`AsyncTypedInbox::broadcast_timeout`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub async fn broadcast_timeout(
        &mut self,
        value: &Out,
        timeout: Duration,
    ) -> Result<Vec<(PeerId, Error)>> {
        let bytes = self.encoder.encode(value).map_err(|e| explain(&self.inner, e))?;
        Ok(self.inner.broadcast_timeout(bytes, timeout).await)
    }
}

/// Adds the address.
fn explain(sender: &AsyncInboxSender, error: Error) -> Error {
    error.at(sender.to_sync().address())
}

impl<Out: Serialize + ?Sized> Clone for AsyncTypedInboxSender<Out> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), encoder: Encoder::new(self.encoder.codec) }
    }
}

impl<Out: ?Sized, In> fmt::Debug for AsyncTypedInbox<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncTypedInbox({:?})", self.inner)
    }
}

impl<Out: ?Sized> fmt::Debug for AsyncTypedInboxSender<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncTypedInboxSender({:?})", self.inner)
    }
}
