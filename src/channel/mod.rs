pub(crate) mod message;
pub(crate) mod receiver;
pub(crate) mod sender;
#[cfg(feature = "serde")]
pub(crate) mod typed;

use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{DynHalves, Error, ErrorKind, Peer, Result};

use crate::address::Address;
use crate::address::settings::Settings;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::wait::select::{Member, Sleep};

/// What both halves of a channel share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: Address,
    pub(crate) peer: Peer,
    pub(crate) settings: Settings,
}

impl Link {
    /// Adds the address, except to the errors that a busy loop meets.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Closed => error,
            _ => error.at(&self.address),
        }
    }
}

/// How much went through a channel, or through one half of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Messages sent.
    pub messages_sent: u64,
    /// Bytes of the messages sent.
    pub bytes_sent: u64,
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of the messages received.
    pub bytes_received: u64,
    /// Calls that had to wait.
    pub waits: u64,
}

impl Add for Stats {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            messages_sent: self.messages_sent + other.messages_sent,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            messages_received: self.messages_received + other.messages_received,
            bytes_received: self.bytes_received + other.bytes_received,
            waits: self.waits + other.waits,
        }
    }
}

/// A duplex connection to one peer: whole messages, in order, each once.
///
/// Every call takes `&mut self`; to send and receive from two threads, [`split`](Self::split) it. Dropping
/// it closes it: the peer receives everything sent, then `Closed`.
///
/// `Ok` of a send means that the whole message is in memory that outlives this process.
#[derive(Debug)]
pub struct Channel {
    sender: Sender,
    receiver: Receiver,
}

impl Channel {
    pub(crate) fn new(
        (send, receive, peer): DynHalves,
        address: &Address,
        settings: &Settings,
    ) -> Self {
        let link = Arc::new(Link { address: address.clone(), peer, settings: settings.clone() });
        Self {
            sender: Sender::new(send, Arc::clone(&link)),
            receiver: Receiver::new(receive, link),
        }
    }

    pub(crate) fn receiver(&mut self) -> &mut Receiver {
        &mut self.receiver
    }

    /// Sends one message; waits while there is no room, without a limit of time. Two sides that both send before
    /// they receive can wait for each other for ever: see [`Sender::send`] for what to do.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message)
    }

    /// See [`Sender::try_send`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.try_send(message)
    }

    /// See [`Sender::send_timeout`].
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.sender.send_timeout(message, timeout)
    }

    /// See [`Sender::send_with`].
    pub fn send_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.sender.send_with(max, fill)
    }

    /// See [`Sender::send_many`].
    pub fn send_many<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.sender.send_many(messages)
    }

    /// See [`Sender::flush`].
    pub fn flush(&mut self) -> Result<()> {
        self.sender.flush()
    }

    /// See [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<Vec<u8>> {
        self.receiver.recv()
    }

    /// See [`Receiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<Vec<u8>> {
        self.receiver.try_recv()
    }

    /// See [`Receiver::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.receiver.recv_timeout(timeout)
    }

    /// See [`Receiver::recv_with`]: a message whose `read` panics is used up.
    #[inline]
    pub fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.receiver.recv_with(read)
    }

    /// See [`Receiver::try_recv_with`].
    #[inline]
    pub fn try_recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.receiver.try_recv_with(read)
    }

    /// See [`Receiver::recv_with_timeout`].
    #[inline]
    pub fn recv_with_timeout<R>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        self.receiver.recv_with_timeout(timeout, read)
    }

    /// See [`Receiver::recv_into`].
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.receiver.recv_into(buffer)
    }

    /// See [`Receiver::try_recv_into`].
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.receiver.try_recv_into(buffer)
    }

    /// See [`Receiver::recv_into_timeout`].
    #[inline]
    pub fn recv_into_timeout(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> Result<usize> {
        self.receiver.recv_into_timeout(buffer, timeout)
    }

    /// The two halves, each with the same methods, for two threads.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn join(sender: Sender, receiver: Receiver) -> Self {
        Self { sender, receiver }
    }

    /// Who is on the other side, as far as the transport tells.
    pub fn peer(&self) -> &Peer {
        self.sender.peer()
    }

    /// The address it came from.
    pub fn address(&self) -> &Address {
        self.sender.address()
    }

    /// The longest message that `send` takes: the lesser of both sides' `max_message`, in bytes.
    pub fn max_message(&self) -> usize {
        self.sender.max_message()
    }

    /// What went through so far.
    pub fn stats(&self) -> Stats {
        self.sender.stats() + self.receiver.stats()
    }

    /// Finishes what is left to send, within the address's `timeout`, and closes. The peer receives
    /// everything, then `Closed`.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush), and `TimedOut`.
    pub fn close(self) -> Result<()> {
        self.sender.close()
    }
}

impl Member for Channel {
    fn is_ready(&mut self) -> bool {
        self.receiver().is_ready()
    }
    fn sleep_on(&mut self, sleep: Sleep<'_>) -> Result<bool> {
        self.receiver().sleep_on(sleep)
    }
    fn stop_sleeping(&mut self) {
        self.receiver().stop_sleeping();
    }
    fn spins(&mut self) -> bool {
        self.receiver().spins()
    }
}
