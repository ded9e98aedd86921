//! The async calls, for tokio. They use the transports' own non-blocking calls: no thread is added.

mod open;
mod queue;
mod reactor;
mod spin;
mod turn;
mod wait;

use std::time::Instant;

use anyipc_core::{Operation, Peer, Result, Role};

use crate::address::{Address, IntoAddress};
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::channel::{Channel, Stats};
use crate::endpoint::Endpoint;
use crate::endpoint::connect::Attempting;
use crate::registry::Registry;
use crate::wait::deadline;
pub use queue::AsyncQueue;
pub(crate) use reactor::SharedReactor;
use reactor::{Reactor, check_runtime};
use turn::Turn;
use wait::{Kept, wait};

/// A [`Channel`] whose waiting calls are async.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
#[derive(Debug)]
pub struct AsyncChannel {
    sender: AsyncSender,
    receiver: AsyncReceiver,
}

/// The sending half of an [`AsyncChannel`].
#[derive(Debug)]
pub struct AsyncSender {
    inner: Sender,
    reactor: Reactor,
    kept: Kept,
}

/// The receiving half of an [`AsyncChannel`].
#[derive(Debug)]
pub struct AsyncReceiver {
    inner: Receiver,
    reactor: Reactor,
    kept: Kept,
}

impl Channel {
    /// The same channel, async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncChannel> {
        check_runtime().map_err(|e| e.at(self.address()))?;
        let reactor = Reactor::default();
        let (sender, receiver) = self.split();
        Ok(AsyncChannel {
            sender: AsyncSender { inner: sender, reactor: reactor.clone(), kept: Kept::default() },
            receiver: AsyncReceiver { inner: receiver, reactor, kept: Kept::default() },
        })
    }
}

impl AsyncChannel {
    /// See [`AsyncSender::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message).await
    }

    /// See [`AsyncSender::send_with`].
    pub async fn send_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.sender.send_with(max, fill).await
    }

    /// See [`AsyncSender::send_many`].
    pub async fn send_many<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.sender.send_many(messages).await
    }

    /// See [`AsyncSender::flush`].
    pub async fn flush(&mut self) -> Result<()> {
        self.sender.flush().await
    }

    /// See [`AsyncReceiver::recv`].
    pub async fn recv(&mut self) -> Result<Vec<u8>> {
        self.receiver.recv().await
    }

    /// See [`AsyncReceiver::recv_into`].
    pub async fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.receiver.recv_into(buffer).await
    }

    /// See [`AsyncReceiver::recv_with`].
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.receiver.recv_with(read).await
    }

    /// The two halves, for two tasks.
    pub fn split(self) -> (AsyncSender, AsyncReceiver) {
        (self.sender, self.receiver)
    }

    /// The same channel, blocking.
    pub fn into_sync(self) -> Channel {
        Channel::join(self.sender.inner, self.receiver.inner)
    }

    /// Who is on the other side, as far as the transport tells.
    pub fn peer(&self) -> &Peer {
        self.sender.inner.peer()
    }

    /// The address it came from.
    pub fn address(&self) -> &Address {
        self.sender.inner.address()
    }

    /// What went through so far.
    pub fn stats(&self) -> Stats {
        self.sender.inner.stats() + self.receiver.inner.stats()
    }

    /// Finishes what is left to send, within the address's `timeout`, and closes. The peer receives everything, then
    /// `Closed`.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush), and `TimedOut`.
    pub async fn close(mut self) -> Result<()> {
        let timeout = self.sender.inner.settings().timeout;
        self.sender.flush_until(deadline(Some(timeout))).await
    }
}

impl AsyncSender {
    /// Sends one message; waits while there is no room, without a limit of time: as with [`Sender::send`], two
    /// sides that both send before they receive can wait for each other. Bound it with the runtime's timeout, or
    /// send and receive in two tasks ([`AsyncChannel::split`]).
    ///
    /// Cancel safety: a future dropped before the first frame went out sends nothing; one dropped later
    /// has its fragments called off before the next send, and the peer never sees the message.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn send(&mut self, message: &[u8]) -> Result<()> {
        self.inner.check(message.len())?;
        let mut offset = 0;
        let sent =
            wait(&mut self.inner, &self.reactor, &mut self.kept, Operation::Send, None, |sender| {
                sender.try_rest(message, &mut offset)
            });
        sent.await.map_err(|e| self.inner.explain(e))
    }

    /// Sends one message that `fill` writes in place; see [`Sender::send_with`]. Cancel-safe as
    /// [`send`](Self::send).
    ///
    /// # Errors
    /// Those of [`Sender::send_with`].
    pub async fn send_with(
        &mut self,
        max: usize,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        if max > self.inner.direct() && !self.inner.makes_room(max) {
            let Some(message) = self.inner.write_scratch(max, &mut fill)? else { return Ok(()) };
            let sent = self.send(&message).await;
            self.inner.keep_scratch(message);
            return sent;
        }
        let sent =
            wait(&mut self.inner, &self.reactor, &mut self.kept, Operation::Send, None, |sender| {
                sender.try_fill(max, &mut fill)
            });
        sent.await.map_err(|e| self.inner.explain(e))
    }

    /// Sends messages one after the other, as many at once as the transport can; see [`Sender::send_many`]. Of a
    /// dropped future, a beginning of the messages was sent, each whole. The runtime's other tasks have their turn in
    /// between, also where the iterator takes long.
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
                turn.give().await;
                turn = Turn::new();
            }
        }
        self.flush().await?;
        Ok(count)
    }

    /// See [`Sender::try_send`].
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.inner.try_send(message)
    }

    /// Waits until everything sent has left this process. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Sender::flush`].
    pub async fn flush(&mut self) -> Result<()> {
        self.flush_until(None).await
    }

    async fn flush_until(&mut self, deadline: Option<Instant>) -> Result<()> {
        let Self { inner, reactor, kept } = self;
        wait(inner, reactor, kept, Operation::Send, deadline, Sender::try_flush)
            .await
            .map_err(|e| self.inner.explain(e))
    }

    /// What went out so far.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

impl AsyncReceiver {
    /// Receives one message; waits for it. Cancel-safe: a dropped future takes no message. One that is polled only once
    /// may find nothing although a message has come, as long as the runtime's reactor has not heard of it;
    /// [`try_recv_into`](Self::try_recv_into) looks at once.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`].
    pub async fn recv(&mut self) -> Result<Vec<u8>> {
        let mut message = Vec::new();
        self.recv_into(&mut message).await?;
        Ok(message)
    }

    /// Receives one message into `buffer`; see [`Receiver::recv_into`]. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`].
    pub async fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        let got = wait(
            &mut self.inner,
            &self.reactor,
            &mut self.kept,
            Operation::Receive,
            None,
            |receiver| {
                receiver.try_into(buffer)?;
                Ok(buffer.len())
            },
        );
        got.await.map_err(|e| self.inner.explain(e))
    }

    /// Receives one message and shows it to `read`; see [`Receiver::recv_with`]. Cancel-safe. A message
    /// whose `read` panics is used up.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`].
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let mut read = Some(read);
        let got = wait(
            &mut self.inner,
            &self.reactor,
            &mut self.kept,
            Operation::Receive,
            None,
            |receiver| receiver.try_with(&mut read),
        );
        got.await.map_err(|e| self.inner.explain(e))
    }

    /// See [`Receiver::try_recv_into`].
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.inner.try_recv_into(buffer)
    }

    /// What came in so far.
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

impl Endpoint {
    /// As [`accept`](Self::accept), async. Cancel-safe.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    ///
    /// # Errors
    /// Those of `accept`; `Unsupported` outside of a tokio runtime.
    pub async fn accept_async(&self) -> Result<AsyncChannel> {
        self.attempt_async(Role::Owner, None).await
    }

    /// As [`connect`](Self::connect), async. Cancel-safe.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    ///
    /// # Errors
    /// Those of `connect`; `Unsupported` outside of a tokio runtime.
    pub async fn connect_async(&self) -> Result<AsyncChannel> {
        self.attempt_async(Role::Opener, deadline(Some(self.settings().timeout))).await
    }

    async fn attempt_async(&self, role: Role, deadline: Option<Instant>) -> Result<AsyncChannel> {
        check_runtime().map_err(|e| e.at(self.address()))?;
        let mut attempting = Attempting::new(self, role, self.hello())?;
        let operation = attempting.operation();
        wait(
            &mut attempting,
            &self.reactor,
            &mut Kept::default(),
            operation,
            deadline,
            Attempting::attempt,
        )
        .await
        .map_err(|error| attempting.explain(error))?
        .into_async()
    }
}

impl Registry {
    /// Opens and connects, async; see [`connect_async`].
    pub async fn connect_async(&self, address: impl IntoAddress) -> Result<AsyncChannel> {
        check_runtime()?;
        let opening = self.opening(address)?;
        let deadline = opening.deadline();
        open::open(opening).await?.attempt_async(Role::Opener, deadline).await
    }
}

/// As [`connect`](crate::connect()), async. Cancel-safe. What may block, such as looking up the name of a host, happens
/// on a thread of the runtime for blocking calls.
///
/// # Panics
/// In a tokio runtime without I/O and time.
///
/// # Errors
/// Those of `connect`; `Unsupported` outside of a tokio runtime.
pub async fn connect_async(address: impl IntoAddress) -> Result<AsyncChannel> {
    Registry::global().connect_async(address).await
}
