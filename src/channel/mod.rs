//! Channels: whole messages between two sides, over the frames of a backend.
//!
//! `sender` and `receiver` are the two halves; `typed` sends values (`encoder` makes their bytes).
//! This module knows addresses (for error messages and limits) and waiting; it does not know how
//! channels are made.

#[cfg(feature = "serde")]
pub(crate) mod encoder;
pub(crate) mod message;
pub(crate) mod receiver;
pub(crate) mod sender;
#[cfg(feature = "serde")]
pub(crate) mod typed;

use std::fmt;
use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{DynHalves, Error, ErrorKind, Peer, Result};

use crate::address::Address;
use crate::address::settings::Settings;
use crate::wait::select::select_as;
use receiver::Receiver;
use sender::Sender;

/// What both halves of a channel share. Never changes.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) address: Address,
    pub(crate) peer: Peer,
    pub(crate) settings: Settings,
}

impl Link {
    /// Adds the address, but not to the errors that a busy loop meets: adding it allocates.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::Closed => error,
            _ => error.at(&self.address),
        }
    }
}

impl Link {
    /// `what(address, process 12, counts)`.
    pub(crate) fn show(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        counts: fmt::Arguments<'_>,
    ) -> fmt::Result {
        write!(f, "{what}({}", self.address)?;
        if let Some(pid) = self.peer.pid {
            write!(f, ", process {pid}")?;
        }
        write!(f, ", {counts})")
    }
}

/// Messages and bytes that went through a channel, or through one half of it.
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
/// Every call takes `&mut self`; to send and receive on two threads, [`split`](Self::split) the
/// channel. Dropping it closes it: the peer receives everything that was sent, then `Closed`.
///
/// `Ok` of a send means that the whole message is in memory that outlives this process: it arrives
/// even if this process is killed next.
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

    /// Sends one message. Blocks while there is no room, without a limit of time. Two sides that
    /// both send before they receive can wait for each other forever: [`Sender::send`] says what to
    /// do.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    #[inline]
    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.send(message)
    }

    /// Sends one message of one frame, without blocking.
    ///
    /// # Errors
    /// Those of [`Sender::try_send`].
    #[inline]
    pub fn try_send(&mut self, message: &[u8]) -> Result<()> {
        self.sender.try_send(message)
    }

    /// As [`send`](Self::send), for `timeout` at most. After `TimedOut` nothing of the message
    /// arrives.
    ///
    /// # Errors
    /// Those of [`Sender::send_timeout`].
    #[inline]
    pub fn send_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.sender.send_timeout(message, timeout)
    }

    /// Sends one message of at most `max` bytes that `fill` writes, in place where the transport
    /// allows it. [`Sender::send_with`] says where. Blocks as [`send`](Self::send).
    ///
    /// # Errors
    /// Those of [`Sender::send_with`].
    pub fn send_with(
        &mut self,
        max: usize,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.sender.send_with(max, fill)
    }

    /// As [`send_with`](Self::send_with) for a message of one frame, without blocking.
    ///
    /// # Errors
    /// Those of [`Sender::try_send_with`].
    pub fn try_send_with(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.sender.try_send_with(max, fill)
    }

    /// As [`send_with`](Self::send_with), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Sender::send_with_timeout`].
    pub fn send_with_timeout(
        &mut self,
        max: usize,
        timeout: Duration,
        fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.sender.send_with_timeout(max, timeout, fill)
    }

    /// Sends messages in order, in batches where the transport can, and returns their number.
    /// Blocks as [`send`](Self::send).
    ///
    /// # Errors
    /// Those of [`Sender::send_many`].
    pub fn send_many<M: AsRef<[u8]>>(
        &mut self,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        self.sender.send_many(messages)
    }

    /// Blocks until everything that was sent has left this process.
    ///
    /// # Errors
    /// Those of [`Sender::flush`].
    pub fn flush(&mut self) -> Result<()> {
        self.sender.flush()
    }

    /// Receives one message. Blocks until there is one, without a limit of time.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`].
    pub fn recv(&mut self) -> Result<Vec<u8>> {
        self.receiver.recv()
    }

    /// Receives one message if there is one, without blocking.
    ///
    /// # Errors
    /// Those of [`Receiver::try_recv`].
    pub fn try_recv(&mut self) -> Result<Vec<u8>> {
        self.receiver.try_recv()
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_timeout`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Vec<u8>> {
        self.receiver.recv_timeout(timeout)
    }

    /// Receives one message and shows it to `read` where it lies. Blocks as [`recv`](Self::recv).
    /// If `read` panics, the message is used up.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_with`].
    #[inline]
    pub fn recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.receiver.recv_with(read)
    }

    /// As [`recv_with`](Self::recv_with), without blocking.
    ///
    /// # Errors
    /// Those of [`Receiver::try_recv_with`].
    #[inline]
    pub fn try_recv_with<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.receiver.try_recv_with(read)
    }

    /// As [`recv_with`](Self::recv_with), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_with_timeout`].
    #[inline]
    pub fn recv_with_timeout<R>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        self.receiver.recv_with_timeout(timeout, read)
    }

    /// Receives one message into `buffer`, replacing its content, and returns the length. Blocks as
    /// [`recv`](Self::recv).
    ///
    /// # Errors
    /// Those of [`Receiver::recv_into`].
    #[inline]
    pub fn recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.receiver.recv_into(buffer)
    }

    /// As [`recv_into`](Self::recv_into), without blocking.
    ///
    /// # Errors
    /// Those of [`Receiver::try_recv_into`].
    #[inline]
    pub fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<usize> {
        self.receiver.try_recv_into(buffer)
    }

    /// As [`recv_into`](Self::recv_into), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Receiver::recv_into_timeout`].
    #[inline]
    pub fn recv_into_timeout(&mut self, buffer: &mut Vec<u8>, timeout: Duration) -> Result<usize> {
        self.receiver.recv_into_timeout(buffer, timeout)
    }

    /// The two halves, each with its methods of the channel, for two threads.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Writes what both halves are together, in one line.
    pub(crate) fn show(
        f: &mut fmt::Formatter<'_>,
        what: &str,
        sender: &Sender,
        receiver: &Receiver,
    ) -> fmt::Result {
        let (sent, received) = (sender.stats(), receiver.stats());
        sender.link().show(
            f,
            what,
            format_args!("{} sent, {} received", sent.messages_sent, received.messages_received),
        )
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn join(sender: Sender, receiver: Receiver) -> Self {
        Self { sender, receiver }
    }

    /// The other side, as far as the transport reports it.
    pub fn peer(&self) -> &Peer {
        self.sender.peer()
    }

    /// The address of the endpoint that the channel came from.
    pub fn address(&self) -> &Address {
        self.sender.address()
    }

    /// The length of the longest message that `send` takes, in bytes: the lesser of both sides'
    /// `max_message`.
    pub fn max_message(&self) -> usize {
        self.sender.max_message()
    }

    /// The length of the longest message that is one frame, in bytes: what `try_send` takes. See
    /// [`Sender::max_frame`] for when it grows.
    pub fn max_frame(&self) -> usize {
        self.sender.max_frame()
    }

    /// Messages and bytes that went through so far, and calls that had to wait.
    pub fn stats(&self) -> Stats {
        self.sender.stats() + self.receiver.stats()
    }

    /// Flushes and closes. Blocks as long as the address's `timeout` at most. The peer receives
    /// everything, then `Closed`.
    ///
    /// # Errors
    /// Those of [`flush`](Self::flush), and `TimedOut`.
    pub fn close(self) -> Result<()> {
        self.sender.close()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Self::show(f, "Channel", &self.sender, &self.receiver)
    }
}

select_as!([] Channel, receiver);
