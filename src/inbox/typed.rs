//! An inbox of values. The handshake compares their types.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use anyipc_core::{Error, Operation, Peer, Result};
use serde::{Serialize, de::DeserializeOwned};

use super::sender::InboxSender;
use super::{Event, Inbox, PeerId, TURNS};
use crate::channel::encoder::Encoder;
use crate::channel::message::Message;
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::wait::select::select_as;

/// As [`Inbox`], for values: `In` from the peers, `Out` to each.
///
/// A connector with other types or another codec is turned away, and told so by `Mismatch`. One
/// that names no types (`connect`) is let in.
///
/// **A message that is no `In` ends its connection**: [`next_event`](Self::next_event) reports
/// [`Event::Disconnected`] with the kind `Codec` and the codec's reason, the peer's calls return
/// `Closed`, and what it sent after that message is not received. No peer stops the owner, and none
/// goes on that is misunderstood. The messages before it were received.
///
/// ```
/// # #[cfg(all(feature = "in-process", feature = "postcard"))]
/// # fn main() -> anyipc::Result<()> {
/// # let compiler = std::thread::spawn(|| -> anyipc::Result<String> {
/// #     let mut channel = anyipc::connect_typed::<(u32, String), _>("inproc://inbox.typed")?;
/// #     channel.send(&(7, "unused variable".into()))?;
/// #     channel.recv()
/// # });
/// let owner = anyipc::create("inproc://inbox.typed")?;
/// let mut inbox = anyipc::TypedInbox::<str, (u32, String)>::new(owner)?;
/// let (compiler_id, (line, text)) = inbox.recv()?;
/// assert_eq!((line, text.as_str()), (7, "unused variable"));
/// inbox.send(compiler_id, "thank you")?;
/// # assert_eq!(compiler.join().unwrap()?, "thank you");
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "in-process", feature = "postcard")))]
/// # fn main() {}
/// ```
pub struct TypedInbox<Out: ?Sized, In> {
    inner: Inbox,
    encoder: Encoder<Out>,
    marker: PhantomData<fn() -> In>,
}

impl<Out, In> TypedInbox<Out, In>
where
    Out: Message + Serialize + ?Sized,
    In: Message + DeserializeOwned,
{
    /// The inbox of an owner, without connections at first. The codec is that of its address.
    ///
    /// # Errors
    /// Those of [`Inbox::new`]; `Unsupported` if the codec was not compiled in.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        let hello = endpoint.typed_hello::<Out, In>(Operation::Accept)?;
        let codec = endpoint.settings().codec.unwrap_or_default();
        Ok(Self {
            inner: Inbox::with_hello(endpoint, hello)?,
            encoder: Encoder::new(codec),
            marker: PhantomData,
        })
    }

    /// Receives the next value of any peer. Blocks until there is one, without a limit of time.
    /// Meanwhile it accepts connectors and removes connections that end, also those of peers that
    /// sent no `In`; [`next_event`](Self::next_event) reports each.
    ///
    /// # Errors
    /// Those of [`Inbox::recv`].
    pub fn recv(&mut self) -> Result<(PeerId, In)> {
        let codec = self.codec();
        self.inner.wait_for(None, |inbox| try_value(inbox, codec))
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(PeerId, In)> {
        let codec = self.codec();
        self.inner.wait_for(Some(timeout), |inbox| try_value(inbox, codec))
    }

    /// As [`recv`](Self::recv), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if there is no value, and those of `recv`.
    pub fn try_recv(&mut self) -> Result<(PeerId, In)> {
        let codec = self.codec();
        self.inner.attempt(|inbox| try_value(inbox, codec))
    }

    /// The next event: a value, a new connection, or the end of one. Blocks until there is one,
    /// without a limit of time.
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    pub fn next_event(&mut self) -> Result<Event<In>> {
        let codec = self.codec();
        self.inner.wait_for(None, |inbox| inbox.try_event_as(|bytes| codec.decode(bytes)))
    }

    /// As [`next_event`](Self::next_event), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn next_event_timeout(&mut self, timeout: Duration) -> Result<Event<In>> {
        let codec = self.codec();
        self.inner.wait_for(Some(timeout), |inbox| inbox.try_event_as(|bytes| codec.decode(bytes)))
    }

    /// As [`next_event`](Self::next_event), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if there is no event, and those of `recv`.
    pub fn try_next_event(&mut self) -> Result<Event<In>> {
        let codec = self.codec();
        self.inner.attempt(|inbox| inbox.try_event_as(|bytes| codec.decode(bytes)))
    }

    /// Sends a value to one peer. Blocks as [`Inbox::send`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, and those of [`Inbox::send`].
    pub fn send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint.address()))?;
        self.inner.send(to, bytes)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, to: PeerId, value: &Out, timeout: Duration) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint.address()))?;
        self.inner.send_timeout(to, bytes, timeout)
    }

    /// As [`send`](Self::send) for a value of one frame, without blocking.
    ///
    /// # Errors
    /// `Codec`, and those of [`Inbox::try_send`].
    pub fn try_send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint.address()))?;
        self.inner.try_send(to, bytes)
    }

    /// Sends a value to every peer that has room for it now. Returns the peers that do not get it,
    /// each with the reason, as [`Inbox::broadcast`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub fn broadcast(&mut self, value: &Out) -> Result<Vec<(PeerId, Error)>> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint.address()))?;
        Ok(self.inner.broadcast(bytes))
    }

    /// As [`broadcast`](Self::broadcast), but waits for the peers without room, for `timeout` at
    /// most in all, as [`Inbox::broadcast_timeout`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub fn broadcast_timeout(
        &mut self,
        value: &Out,
        timeout: Duration,
    ) -> Result<Vec<(PeerId, Error)>> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.endpoint.address()))?;
        Ok(self.inner.broadcast_timeout(bytes, timeout))
    }

    /// A handle with which other threads answer the peers, and the inbox, which goes on with all
    /// its calls, as [`Inbox::split`].
    pub fn split(self) -> (TypedInboxSender<Out>, Self) {
        let Self { inner, encoder, marker } = self;
        let (sender, inner) = inner.split();
        let sender = TypedInboxSender { inner: sender, encoder: Encoder::new(encoder.codec) };
        (sender, Self { inner, encoder, marker })
    }

    /// The inbox of bytes and the codec of the values.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_untyped(self) -> (Inbox, CodecId) {
        (self.inner, self.encoder.codec)
    }

    /// The values of an inbox that compares these types.
    #[cfg(feature = "tokio")]
    pub(crate) fn from_untyped(inner: Inbox, codec: CodecId) -> Self {
        Self { inner, encoder: Encoder::new(codec), marker: PhantomData }
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

    /// The codec in use.
    pub fn codec(&self) -> CodecId {
        self.encoder.codec
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        self.inner.endpoint()
    }

    /// Ends all connections and returns the endpoint.
    pub fn into_endpoint(self) -> Endpoint {
        self.inner.into_endpoint()
    }
}

/// Answers the peers of a [`TypedInbox`] from other threads, from [`TypedInbox::split`]; an
/// [`InboxSender`] for values. Each clone has a buffer of its own.
pub struct TypedInboxSender<Out: ?Sized> {
    inner: InboxSender,
    encoder: Encoder<Out>,
}

impl<Out: Serialize + ?Sized> TypedInboxSender<Out> {
    /// Sends a value to one peer. Blocks as [`InboxSender::send`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded, and those of [`InboxSender::send`].
    pub fn send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.address()))?;
        self.inner.send(to, bytes)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, to: PeerId, value: &Out, timeout: Duration) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.address()))?;
        self.inner.send_timeout(to, bytes, timeout)
    }

    /// As [`send`](Self::send) for a value of one frame, without blocking.
    ///
    /// # Errors
    /// `Codec`, and those of [`InboxSender::try_send`].
    pub fn try_send(&mut self, to: PeerId, value: &Out) -> Result<()> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.address()))?;
        self.inner.try_send(to, bytes)
    }

    /// As [`TypedInbox::broadcast`]; a peer that another thread is sending to is `WouldBlock`.
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub fn broadcast(&mut self, value: &Out) -> Result<Vec<(PeerId, Error)>> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.address()))?;
        Ok(self.inner.broadcast(bytes))
    }

    /// As [`TypedInbox::broadcast_timeout`].
    ///
    /// # Errors
    /// `Codec` if the value cannot be encoded.
    pub fn broadcast_timeout(
        &mut self,
        value: &Out,
        timeout: Duration,
    ) -> Result<Vec<(PeerId, Error)>> {
        let bytes = self.encoder.encode(value).map_err(|e| e.at(self.inner.address()))?;
        Ok(self.inner.broadcast_timeout(bytes, timeout))
    }
}

impl<Out: Serialize + ?Sized> Clone for TypedInboxSender<Out> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), encoder: Encoder::new(self.encoder.codec) }
    }
}

/// The next value of any peer if there is one within some events.
pub(crate) fn try_value<In: DeserializeOwned>(
    inbox: &mut Inbox,
    codec: CodecId,
) -> Result<(PeerId, In)> {
    for _ in 0..TURNS {
        if let Event::Message(id, value) = inbox.try_event_as(|bytes| codec.decode(bytes))? {
            return Ok((id, value));
        }
    }
    Err(inbox.interrupt())
}

impl<Out: ?Sized, In> fmt::Debug for TypedInbox<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed{:?}", self.inner)
    }
}

impl<Out: ?Sized> fmt::Debug for TypedInboxSender<Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Typed{:?}", self.inner)
    }
}

select_as!([Out: ?Sized, In] TypedInbox<Out, In>, inner);
