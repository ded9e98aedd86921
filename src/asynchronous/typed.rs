//! Channels of values with async calls.

use std::fmt;
use std::marker::PhantomData;

use anyipc_core::{Operation, Peer, Result, Role};
use serde::{Serialize, de::DeserializeOwned};

use super::channel::{AsyncChannel, AsyncReceiver, AsyncSender};
use crate::address::{Address, IntoAddress};
use crate::channel::Channel;
use crate::channel::Stats;
use crate::channel::encoder::Encoder;
use crate::channel::message::Message;
use crate::channel::typed::TypedChannel;
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::registry::Registry;
use crate::wait::deadline;

/// A [`TypedChannel`] with async calls in place of the blocking ones.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
pub struct AsyncTypedChannel<Out: ?Sized, In> {
    sender: AsyncTypedSender<Out>,
    receiver: AsyncTypedReceiver<In>,
}

/// The sending half of an [`AsyncTypedChannel`].
pub struct AsyncTypedSender<Out: ?Sized> {
    inner: AsyncSender,
    encoder: Encoder<Out>,
}

/// The receiving half of an [`AsyncTypedChannel`].
pub struct AsyncTypedReceiver<In> {
    inner: AsyncReceiver,
    codec: CodecId,
    marker: PhantomData<fn() -> In>,
}

impl<Out: Serialize + ?Sized, In: DeserializeOwned> TypedChannel<Out, In> {
    /// Makes the channel async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncTypedChannel<Out, In>> {
        let codec = self.codec();
        let (sender, receiver) = self.into_untyped().into_async()?.split();
        Ok(AsyncTypedChannel {
            sender: AsyncTypedSender { inner: sender, encoder: Encoder::new(codec) },
            receiver: AsyncTypedReceiver { inner: receiver, codec, marker: PhantomData },
        })
    }
}

impl Endpoint {
    /// As [`accept_typed`](Self::accept_typed), async. Cancel-safe.
    ///
    /// # Errors
    /// Those of `accept_typed`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn accept_typed_async<Out, In>(&self) -> Result<AsyncTypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        let hello = self.typed_hello::<Out, In>(Operation::Accept)?;
        self.next_async(Role::Owner, hello, None).await?.typed()?.into_async()
    }

    /// As [`connect_typed`](Self::connect_typed), async. Cancel-safe.
    ///
    /// # Errors
    /// Those of `connect_typed`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn connect_typed_async<Out, In>(&self) -> Result<AsyncTypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        let hello = self.typed_hello::<Out, In>(Operation::Connect)?;
        let deadline = deadline(Some(self.settings().timeout));
        self.next_async(Role::Opener, hello, deadline).await?.typed()?.into_async()
    }
}

impl Registry {
    /// Opens and connects for values, as [`connect_typed_async`] with this registry. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`connect_typed_async`].
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn connect_typed_async<Out, In>(
        &self,
        address: impl IntoAddress,
    ) -> Result<AsyncTypedChannel<Out, In>>
    where
        Out: Message + Serialize + ?Sized,
        In: Message + DeserializeOwned,
    {
        let (endpoint, deadline) = self.opened_async(address).await?;
        let hello = endpoint.typed_hello::<Out, In>(Operation::Connect)?;
        endpoint.next_async(Role::Opener, hello, deadline).await?.typed()?.into_async()
    }
}

/// As [`connect_typed`](crate::connect_typed), async. Cancel-safe. What may block, such as looking
/// up the name of a host, runs on a thread of the runtime for blocking calls.
///
/// # Errors
/// Those of `connect_typed`; `Unsupported` outside of a tokio runtime.
///
/// # Panics
/// In a tokio runtime without I/O and time.
pub async fn connect_typed_async<Out, In>(
    address: impl IntoAddress,
) -> Result<AsyncTypedChannel<Out, In>>
where
    Out: Message + Serialize + ?Sized,
    In: Message + DeserializeOwned,
{
    Registry::global().connect_typed_async(address).await
}

impl<Out: Serialize + ?Sized, In: DeserializeOwned> AsyncTypedChannel<Out, In> {
    /// Sends one value. Waits while there is no room, without a limit of time. Cancel-safe as
    /// [`AsyncSender::send`].
    ///
    /// # Errors
    /// Those of [`AsyncTypedSender::send`].
    pub async fn send(&mut self, value: &Out) -> Result<()> {
        self.sender.send(value).await
    }

    /// Sends one value of one frame, without waiting.
    ///
    /// # Errors
    /// Those of [`AsyncTypedSender::try_send`].
    pub fn try_send(&mut self, value: &Out) -> Result<()> {
        self.sender.try_send(value)
    }

    /// Receives one value. Waits until there is one, without a limit of time. Cancel-safe as
    /// [`AsyncReceiver::recv`].
    ///
    /// # Errors
    /// Those of [`AsyncTypedReceiver::recv`].
    pub async fn recv(&mut self) -> Result<In> {
        self.receiver.recv().await
    }

    /// Receives one value if there is one, without waiting.
    ///
    /// # Errors
    /// Those of [`AsyncTypedReceiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<In> {
        self.receiver.try_recv()
    }

    /// The two halves, for two tasks.
    pub fn split(self) -> (AsyncTypedSender<Out>, AsyncTypedReceiver<In>) {
        (self.sender, self.receiver)
    }

    /// Makes the channel blocking again.
    pub fn into_sync(self) -> TypedChannel<Out, In> {
        let codec = self.codec();
        let channel = AsyncChannel::join(self.sender.inner, self.receiver.inner);
        TypedChannel::new(channel.into_sync(), codec)
    }

    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        self.sender.inner.sender().peer()
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        self.sender.inner.sender().address()
    }

    /// The codec in use.
    pub fn codec(&self) -> CodecId {
        self.receiver.codec
    }

    /// Messages and bytes that went through so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        self.sender.inner.stats() + self.receiver.inner.stats()
    }

    /// Flushes and closes. Waits as long as the address's `timeout` at most. The peer receives
    /// everything, then `Closed`.
    ///
    /// # Errors
    /// Those of [`AsyncChannel::close`].
    pub async fn close(self) -> Result<()> {
        AsyncChannel::join(self.sender.inner, self.receiver.inner).close().await
    }
}

impl<Out: Serialize + ?Sized> AsyncTypedSender<Out> {
    /// Sends one value. Waits while there is no room, without a limit of time. Cancel-safe as
    /// [`AsyncSender::send`]: of a dropped future the value arrives whole or not at all.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, and those of [`AsyncSender::send`].
    pub async fn send(&mut self, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| self.inner.sender().explain(e))?;
        self.inner.send(bytes).await
    }

    /// Sends one value of one frame, without waiting.
    ///
    /// # Errors
    /// `Codec`, and those of [`AsyncSender::try_send`].
    pub fn try_send(&mut self, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| self.inner.sender().explain(e))?;
        self.inner.try_send(bytes)
    }
}

impl<In: DeserializeOwned> AsyncTypedReceiver<In> {
    /// Receives one value. Waits until there is one, without a limit of time. Cancel-safe as
    /// [`AsyncReceiver::recv`].
    ///
    /// # Errors
    /// `Codec` if the message is no `In` (it is used up, and the next call receives the next one),
    /// and those of [`AsyncReceiver::recv`].
    pub async fn recv(&mut self) -> Result<In> {
        let codec = self.codec;
        let value = self.inner.recv_with(|bytes| codec.decode(bytes)).await?;
        value.map_err(|e| self.inner.receiver().explain(e))
    }

    /// Receives one value if there is one, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<In> {
        let codec = self.codec;
        let value = self.inner.try_recv_with(|bytes| codec.decode(bytes))?;
        value.map_err(|e| self.inner.receiver().explain(e))
    }
}

impl<Out: ?Sized, In> fmt::Debug for AsyncTypedChannel<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sender, receiver) = (self.sender.inner.sender(), self.receiver.inner.receiver());
        Channel::show(f, "AsyncTypedChannel", sender, receiver)
    }
}

impl<Out: ?Sized> fmt::Debug for AsyncTypedSender<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncTyped{:?}", self.inner.sender())
    }
}

impl<In> fmt::Debug for AsyncTypedReceiver<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsyncTyped{:?}", self.inner.receiver())
    }
}
