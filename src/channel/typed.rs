//! Values instead of bytes: a channel with a codec.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use anyipc_core::{Error, Peer, Result};
use serde::{Serialize, de::DeserializeOwned};

use super::encoder::Encoder;
use super::receiver::Receiver;
use super::sender::Sender;
use super::{Channel, Stats};
use crate::address::Address;
use crate::codec::CodecId;
use crate::wait::select::select_as;

/// A channel that sends values of one type and receives values of another.
///
/// `Out` may be what a sender lends: `TypedChannel<str, String>` sends a `&str`.
pub struct TypedChannel<Out: ?Sized, In> {
    sender: TypedSender<Out>,
    receiver: TypedReceiver<In>,
}

/// The sending half of a [`TypedChannel`].
pub struct TypedSender<Out: ?Sized> {
    inner: Sender,
    encoder: Encoder<Out>,
}

/// The receiving half of a [`TypedChannel`].
pub struct TypedReceiver<In> {
    inner: Receiver,
    codec: CodecId,
    marker: PhantomData<fn() -> In>,
}

impl Channel {
    /// Turns the channel into one for values, with the codec of the address (`codec=`, by default
    /// `postcard`).
    ///
    /// Unchecked: the handshake has not compared the types.
    /// [`Endpoint::connect_typed`](crate::Endpoint::connect_typed) compares them.
    ///
    /// # Errors
    /// `Unsupported` if the codec was not compiled in.
    pub fn typed<Out, In>(self) -> Result<TypedChannel<Out, In>>
    where
        Out: Serialize + ?Sized,
        In: DeserializeOwned,
    {
        let codec = self.sender.settings().codec.unwrap_or_default();
        let codec = codec.available().map_err(|e| e.at(self.address()))?;
        Ok(TypedChannel::new(self, codec))
    }
}

impl<Out: Serialize + ?Sized, In: DeserializeOwned> TypedChannel<Out, In> {
    /// The codec is available.
    pub(crate) fn new(channel: Channel, codec: CodecId) -> Self {
        let (sender, receiver) = channel.split();
        Self {
            sender: TypedSender { inner: sender, encoder: Encoder::new(codec) },
            receiver: TypedReceiver { inner: receiver, codec, marker: PhantomData },
        }
    }

    /// Sends one value. Blocks while there is no room, without a limit of time.
    ///
    /// # Errors
    /// Those of [`TypedSender::send`].
    pub fn send(&mut self, value: &Out) -> Result<()> {
        self.sender.send(value)
    }

    /// Sends one value of one frame, without blocking.
    ///
    /// # Errors
    /// Those of [`TypedSender::try_send`].
    pub fn try_send(&mut self, value: &Out) -> Result<()> {
        self.sender.try_send(value)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`TypedSender::send_timeout`].
    pub fn send_timeout(&mut self, value: &Out, timeout: Duration) -> Result<()> {
        self.sender.send_timeout(value, timeout)
    }

    /// Receives one value. Blocks until there is one, without a limit of time.
    ///
    /// # Errors
    /// Those of [`TypedReceiver::recv`].
    pub fn recv(&mut self) -> Result<In> {
        self.receiver.recv()
    }

    /// Receives one value if there is one, without blocking.
    ///
    /// # Errors
    /// Those of [`TypedReceiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<In> {
        self.receiver.try_recv()
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`TypedReceiver::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<In> {
        self.receiver.recv_timeout(timeout)
    }

    /// The two halves, for two threads.
    pub fn split(self) -> (TypedSender<Out>, TypedReceiver<In>) {
        (self.sender, self.receiver)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn into_untyped(self) -> Channel {
        Channel::join(self.sender.inner, self.receiver.inner)
    }

    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        self.sender.inner.peer()
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        self.sender.inner.address()
    }

    /// The codec in use.
    pub fn codec(&self) -> CodecId {
        self.receiver.codec
    }

    /// Messages and bytes that went through so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        self.sender.inner.stats() + self.receiver.inner.stats()
    }

    /// Flushes and closes. Blocks as long as the address's `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Channel::close`].
    pub fn close(self) -> Result<()> {
        self.sender.close()
    }
}

impl<Out: Serialize + ?Sized> TypedSender<Out> {
    /// Sends one value. Blocks while there is no room, without a limit of time. Two sides that both
    /// send before they receive can wait for each other forever: [`Sender::send`] says what to do.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, and those of [`Sender::send`].
    pub fn send(&mut self, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| self.inner.explain(e))?;
        self.inner.send(bytes)
    }

    /// Sends one value of one frame, without blocking.
    ///
    /// # Errors
    /// `Codec`, and those of [`Sender::try_send`].
    pub fn try_send(&mut self, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| self.inner.explain(e))?;
        self.inner.try_send(bytes)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, value: &Out, timeout: Duration) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| self.inner.explain(e))?;
        self.inner.send_timeout(bytes, timeout)
    }

    /// Flushes and closes this direction. Blocks as long as the address's `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Sender::close`].
    pub fn close(self) -> Result<()> {
        self.inner.close()
    }
}

impl<In: DeserializeOwned> TypedReceiver<In> {
    /// Receives one value. Blocks until there is one, without a limit of time.
    ///
    /// # Errors
    /// `Codec` if the message is no `In` (it is used up, and the next call receives the next one),
    /// and those of [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<In> {
        let codec = self.codec;
        let value = self.inner.recv_with(|bytes| codec.decode(bytes))?;
        value.map_err(|e| self.explain(e))
    }

    /// Receives one value if there is one, without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<In> {
        let codec = self.codec;
        let value = self.inner.try_recv_with(|bytes| codec.decode(bytes))?;
        value.map_err(|e| self.explain(e))
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<In> {
        let codec = self.codec;
        let value = self.inner.recv_with_timeout(timeout, |bytes| codec.decode(bytes))?;
        value.map_err(|e| self.explain(e))
    }

    fn explain(&self, error: Error) -> Error {
        self.inner.explain(error)
    }
}

impl<Out: ?Sized, In> fmt::Debug for TypedChannel<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Channel::show(f, "TypedChannel", &self.sender.inner, &self.receiver.inner)
    }
}

impl<Out: ?Sized> fmt::Debug for TypedSender<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed{:?}", self.inner)
    }
}

impl<In> fmt::Debug for TypedReceiver<In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed{:?}", self.inner)
    }
}

// A message that is no `In` is ready, too: the next call returns `Codec`.
select_as!([In] TypedReceiver<In>, inner);
select_as!([Out: ?Sized, In] TypedChannel<Out, In>, receiver);
