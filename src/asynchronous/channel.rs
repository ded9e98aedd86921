//! Channels with async calls in place of the blocking ones.

use std::fmt;
use std::time::Instant;

use anyipc_core::{Operation, Peer, Result};

use super::reactor::{Reactor, check_runtime};
use super::registration::Retained;
use super::turn::Turn;
use super::wait::wait;
use crate::address::Address;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::channel::{Channel, Stats};
use crate::wait::deadline;
#[cfg(feature = "tokio-util")]
use crate::wait::done;

/// A [`Channel`] with async calls in place of the blocking ones.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
pub struct AsyncChannel {
    sender: AsyncSender,
    receiver: AsyncReceiver,
}

/// The sending half of an [`AsyncChannel`].
pub struct AsyncSender {
    inner: Sender,
    /// Shared with the receiving half: both may have the same source.
    reactor: Reactor,
    retained: Retained,
}

/// The receiving half of an [`AsyncChannel`].
pub struct AsyncReceiver {
    inner: Receiver,
    reactor: Reactor,
    retained: Retained,
}

impl Channel {
    /// Makes the channel async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncChannel> {
        check_runtime().map_err(|e| e.at(self.address()))?;
        let reactor = Reactor::default();
        let (sender, receiver) = self.split();
        Ok(AsyncChannel {
            sender: AsyncSender {
                inner: sender,
                reactor: reactor.clone(),
                retained: Retained::default(),
            },
            receiver: AsyncReceiver { inner: receiver, reactor, retained: Retained::default() },
        })
    }
}

impl AsyncChannel {
    /// Sends one message. Waits while there is no room, without a limit of time. Cancel-safe as
    /// [`AsyncSender::send`].
    ///
    /// # Errors
    /// Those of [`AsyncSender::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message).await
    }

    /// Sends one message of at most `max` bytes that `fill` writes. Cancel-safe as
    /// [`AsyncSender::send`].
    ///
    /// # Errors
    /// Those of [`AsyncSender::send_with`].
    pub async fn send_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.sender.send_with(max, fill).await
    }

    /// Sends messages in order, in batches where the transport can, and returns their number. Of a
    /// dropped future, the first messages were sent, each whole.
    ///
    /// # Errors
    /// Those of [`AsyncSender::send_many`].
    pub async fn send_many<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.sender.send_many(messages).await
    }

    /// Waits until everything that was sent has left this process. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`AsyncSender::flush`].
    pub async fn flush(&mut self) -> Result<()> {
        self.sender.flush().await
    }

    /// Receives one message. Waits until there is one, without a limit of time. Cancel-safe as
    /// [`AsyncReceiver::recv`].
    ///
    /// # Errors
    /// Those of [`AsyncReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Vec<u8>> {
        self.receiver.recv().await
    }

    /// Receives one message into `buffer`, replacing its content, and returns the length.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Those of [`AsyncReceiver::recv_into`].
    pub async fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.receiver.recv_into(buffer).await
    }

    /// Receives one message and shows it to `read` where it lies. Cancel-safe. If `read` panics,
    /// the message is used up.
    ///
    /// # Errors
    /// Those of [`AsyncReceiver::recv_with`].
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.receiver.recv_with(read).await
    }

    /// The two halves, for two tasks.
    pub fn split(self) -> (AsyncSender, AsyncReceiver) {
        (self.sender, self.receiver)
    }

    #[cfg(feature = "serde")]
    pub(super) fn join(sender: AsyncSender, receiver: AsyncReceiver) -> Self {
        Self { sender, receiver }
    }

    /// Makes the channel blocking again.
    pub fn into_sync(self) -> Channel {
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

    /// Messages and bytes that went through so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        self.sender.inner.stats() + self.receiver.inner.stats()
    }

    /// Flushes and closes. Waits as long as the address's `timeout` at most. The peer receives
    /// everything, then `Closed`.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush), and `TimedOut`.
    pub async fn close(mut self) -> Result<()> {
        let timeout = self.sender.inner.settings().timeout;
        self.sender.flush_until(deadline(Some(timeout))).await
    }
}

impl AsyncSender {
    /// Sends one message. Waits while there is no room, without a limit of time. Two sides that
    /// both send before they receive can wait for each other, as with [`Sender::send`]: limit the
    /// call with the runtime's timeout, or send and receive in two tasks ([`AsyncChannel::split`]).
    ///
    /// Cancel safety: a future that is dropped before the first frame went out sends nothing. If it
    /// is dropped later, the next send calls its fragments off, and the peer never sees the
    /// message.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.inner.check_len(message.len())?;
        let mut offset = 0;
        let Self { inner, reactor, retained } = self;
        wait(inner, reactor, retained, Operation::Send, None, |sender| {
            sender.try_send_rest(message, &mut offset)
        })
        .await
        .map_err(|e| self.inner.explain(e))
    }

    /// Sends one message of at most `max` bytes that `fill` writes, in place where the transport
    /// allows it. [`Sender::send_with`] says where. Cancel-safe as [`send`](Self::send).
    ///
    /// # Errors
    /// Those of [`Sender::send_with`].
    pub async fn send_with(
        &mut self,
        max: usize,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        if max > self.inner.direct() && !self.inner.reserve(max) {
            let Some(message) = self.inner.write_scratch(max, &mut fill)? else { return Ok(()) };
            let sent = self.send(&message).await;
            self.inner.return_scratch(message);
            return sent;
        }
        let Self { inner, reactor, retained } = self;
        wait(inner, reactor, retained, Operation::Send, None, |sender| {
            sender.try_fill(max, &mut fill)
        })
        .await
        .map_err(|e| self.inner.explain(e))
    }

    /// Sends messages in order, in batches where the transport can, flushes, and returns their
    /// number. Of a dropped future, the first messages were sent, each whole. The runtime's other
    /// tasks have their turn in between, also if the iterator takes long.
    ///
    /// # Errors
    /// Those of [`Sender::send_many`].
    pub async fn send_many<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        let mut count = 0;
        let mut turn = Turn::new();
        for message in messages {
            if !self.inner.try_batch(message.as_ref()) {
                self.flush().await?;
                self.send(message.as_ref()).await?;
            }
            count += 1;
            if turn.is_over() {
                self.flush().await?;
                turn.yield_now().await;
                turn = Turn::new();
            }
        }
        self.flush().await?;
        Ok(count)
    }

    /// Sends one message of one frame, without waiting.
    ///
    /// # Errors
    /// Those of [`Sender::try_send`].
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.inner.try_send(message)
    }

    /// Sends one message of one frame, of at most `max` bytes that `fill` writes, without waiting.
    ///
    /// # Errors
    /// Those of [`Sender::try_send_with`].
    pub fn try_send_with(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.inner.try_send_with(max, fill)
    }

    /// Waits until everything that was sent has left this process. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Sender::flush`].
    pub async fn flush(&mut self) -> Result<()> {
        self.flush_until(None).await
    }

    async fn flush_until(&mut self, deadline: Option<Instant>) -> Result<()> {
        let Self { inner, reactor, retained } = self;
        wait(inner, reactor, retained, Operation::Send, deadline, Sender::try_flush)
            .await
            .map_err(|e| self.inner.explain(e))
    }

    /// Adds the message to the current batch. False if it must be sent on its own.
    ///
    /// # Errors
    /// `MessageTooLarge`.
    #[cfg(feature = "futures")]
    pub(super) fn try_batch(&mut self, message: &[u8]) -> Result<bool> {
        self.inner.check_len(message.len())?;
        Ok(self.inner.try_batch(message))
    }

    /// Flushes if that is possible without waiting.
    #[cfg(feature = "futures")]
    pub(super) fn try_flush_at_once(&mut self) -> Option<Result<()>> {
        done(self.inner.try_flush()).map(|flushed| flushed.map_err(|e| self.inner.explain(e)))
    }

    /// The part of `len` bytes that goes into one frame, in bytes.
    #[cfg(feature = "tokio-util")]
    pub(super) fn frame_for(&mut self, len: usize) -> usize {
        if len <= self.inner.direct() || self.inner.reserve(len) {
            len
        } else {
            self.inner.direct()
        }
    }

    /// Messages and bytes sent so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    #[cfg(feature = "serde")]
    pub(super) fn sender(&self) -> &Sender {
        &self.inner
    }
}

impl AsyncReceiver {
    /// Receives one message. Waits until there is one, without a limit of time.
    ///
    /// Cancel-safe: a dropped future takes no message. A future that is polled only once may miss a
    /// message that has come but that the runtime's reactor has not reported yet;
    /// [`try_recv_into`](Self::try_recv_into) looks at once.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`].
    pub async fn recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.recv_into(&mut message).await?;
        Ok(message)
    }

    /// Receives one message into `buffer`, replacing its content, and returns the length.
    /// Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_into`].
    pub async fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        let Self { inner, reactor, retained } = self;
        wait(inner, reactor, retained, Operation::Receive, None, |receiver| {
            receiver.try_into(buffer)?;
            Ok(buffer.len())
        })
        .await
        .map_err(|e| self.inner.explain(e))
    }

    /// Receives one message and shows it to `read` where it lies. Cancel-safe. If `read` panics,
    /// the message is used up.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_with`].
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut read = Some(read);
        let Self { inner, reactor, retained } = self;
        wait(inner, reactor, retained, Operation::Receive, None, |receiver| {
            receiver.try_with(&mut read)
        })
        .await
        .map_err(|e| self.inner.explain(e))
    }

    /// Receives one message into `buffer` if there is one, without waiting.
    ///
    /// # Errors
    /// Those of [`Receiver::try_recv_into`].
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.inner.try_recv_into(buffer)
    }

    /// Receives one message if there is one and shows it to `read` where it lies, without waiting.
    /// If `read` panics, the message is used up.
    ///
    /// # Errors
    /// Those of [`Receiver::try_recv_with`].
    pub fn try_recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.inner.try_recv_with(read)
    }

    /// Receives a message and shows it to `read` if there is one, and if that is worth a try.
    #[cfg(feature = "tokio-util")]
    pub(super) fn try_at_once<R, F: FnOnce(&[u8]) -> R>(
        &mut self,
        read: &mut Option<F>,
    ) -> Option<Result<R>> {
        if self.retained.makes_try_useless(&mut self.inner) {
            return None;
        }
        done(self.inner.try_with(read)).map(|received| received.map_err(|e| self.inner.explain(e)))
    }

    /// Messages and bytes received so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    #[cfg(feature = "serde")]
    pub(super) fn receiver(&self) -> &Receiver {
        &self.inner
    }
}

impl fmt::Debug for AsyncChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Channel::show(f, "AsyncChannel", &self.sender.inner, &self.receiver.inner)
    }
}

impl fmt::Debug for AsyncSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async{:?}", self.inner)
    }
}

impl fmt::Debug for AsyncReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async{:?}", self.inner)
    }
}
