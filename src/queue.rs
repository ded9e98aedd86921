//! Named queues of messages, for any number of senders and receivers.

mod job;

use std::fmt;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, QueueStatus, Result, Wait};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::wait::select::{Arming, Member};
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, deadline, wait};

pub use job::Job;

/// Spin-loop hints between two looks at a full queue: some microseconds, in which receivers make
/// room for several messages. More looks would slow the receivers down.
const FULL_HINTS: u32 = 256;

/// A handle of a bounded queue, from [`Endpoint::queue`]. Any number of processes send to it and
/// receive from it. Each message goes to one receiver, the oldest of the highest priority first.
///
/// Handles are independent of each other and of the endpoint's role. A second thread takes a second
/// handle.
pub struct Queue {
    inner: Box<dyn anyipc_core::Queue>,
    address: Address,
    /// For sends to a full queue.
    room_spinner: Spinner,
    /// For receives from an empty queue.
    message_spinner: Spinner,
}

impl Endpoint {
    /// A new handle of this object's queue.
    ///
    /// # Errors
    /// `Unsupported` if the transport has no queues
    /// ([`Capabilities::QUEUE`](crate::Capabilities::QUEUE)), `OutOfMemory`, `Forked`.
    pub fn queue(&self) -> Result<Queue> {
        let inner = self
            .raw()
            .queue()
            .map_err(|error| error.during(Operation::Queue).at(self.address()))?;
        let spinner = || Spinner::new(self.settings().wait);
        Ok(Queue {
            inner,
            address: self.address().clone(),
            room_spinner: spinner(),
            message_spinner: spinner(),
        })
    }
}

impl Queue {
    /// Sends one message. `priority` counts from 0, the lowest. With `full=block` (the default) it
    /// blocks while there is no room, without a limit of time.
    ///
    /// `Ok` means that the message is in the queue and survives this process, or, with
    /// `full=drop-old` and `full=drop-new`, that a message was dropped and
    /// [counted](QueueStatus::dropped).
    ///
    /// # Errors
    /// `Full` (with `full=error`), `InvalidOption` (the queue has no such priority),
    /// `MessageTooLarge`, `Corrupt`, `Removed` (the name was removed; found while waiting),
    /// `Forked`.
    pub fn send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.send_within(priority, message, None)
    }

    /// As [`send`](Self::send), for `timeout` at most. After `TimedOut` the message was not sent.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, priority: u32, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_within(priority, message, Some(timeout))
    }

    /// As [`send`](Self::send), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` (no room now, another sender has waited for longer, or a process that does not
    /// run holds the queue), and those of `send`.
    pub fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.inner.try_send(priority, message).map_err(|e| self.explain(e, Operation::Send))
    }

    fn send_within(
        &mut self,
        priority: u32,
        message: &[u8],
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.room_spinner.last_len = message.len();
        match self.inner.try_send(priority, message) {
            Ok(()) => Ok(()),
            Err(error) => self.send_later(error, priority, message, timeout),
        }
    }

    /// A function of its own, so that a send that need not wait handles no error.
    #[cold]
    fn send_later(
        &mut self,
        error: Error,
        priority: u32,
        message: &[u8],
        timeout: Option<Duration>,
    ) -> Result<()> {
        if !error.is_would_block() {
            return Err(self.explain(error, Operation::Send));
        }
        wait(&mut Room(self), Operation::Send, deadline(timeout), |room| {
            room.0.inner.try_send(priority, message)
        })
        .map_err(|e| self.explain(e, Operation::Send))
    }

    /// Receives one message and its priority. Blocks until there is one, without a limit of time: a
    /// queue has no end.
    ///
    /// `Ok` takes the message out of the queue: it is lost if this process dies before it has
    /// handled it. A message that is not to be lost is [leased](Self::lease).
    ///
    /// # Errors
    /// `Corrupt`, `Removed` (the queue is empty and its name was removed), `Forked`. A queue
    /// without senders is no error: others may come.
    pub fn recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.recv_with(|priority, message| (priority, message.to_vec()))
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(u32, Vec<u8>)> {
        self.recv_within(Some(timeout), |priority, message| (priority, message.to_vec()))
    }

    /// As [`recv`](Self::recv), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` (the queue is empty, or a process that does not run holds it), and those of
    /// `recv`.
    pub fn try_recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.try_recv_with(|priority, message| (priority, message.to_vec()))
    }

    /// As [`recv`](Self::recv), but shows the message to `read`: nothing is allocated. If `read`
    /// panics, the message is used up.
    ///
    /// # Errors
    /// Those of `recv`; `read` was not called then.
    pub fn recv_with<R>(&mut self, read: impl FnOnce(u32, &[u8]) -> R) -> Result<R> {
        self.recv_within(None, read)
    }

    /// As [`recv_with`](Self::recv_with), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`; `read` was not called then.
    pub fn recv_with_timeout<R>(
        &mut self,
        timeout: Duration,
        read: impl FnOnce(u32, &[u8]) -> R,
    ) -> Result<R> {
        self.recv_within(Some(timeout), read)
    }

    /// As [`recv_with`](Self::recv_with), without blocking.
    ///
    /// # Errors
    /// Those of [`try_recv`](Self::try_recv); `read` was not called then.
    pub fn try_recv_with<R>(&mut self, read: impl FnOnce(u32, &[u8]) -> R) -> Result<R> {
        self.try_read(&mut Some(read)).map_err(|e| self.explain(e, Operation::Receive))
    }

    fn recv_within<R>(
        &mut self,
        timeout: Option<Duration>,
        read: impl FnOnce(u32, &[u8]) -> R,
    ) -> Result<R> {
        let mut read = Some(read);
        match self.try_read(&mut read) {
            Ok(done) => Ok(done),
            Err(error) => self.recv_later(error, timeout, read),
        }
    }

    #[cold]
    fn recv_later<R>(
        &mut self,
        error: Error,
        timeout: Option<Duration>,
        mut read: Option<impl FnOnce(u32, &[u8]) -> R>,
    ) -> Result<R> {
        if !error.is_would_block() {
            return Err(self.explain(error, Operation::Receive));
        }
        wait(&mut Messages(self), Operation::Receive, deadline(timeout), |messages| {
            messages.0.try_read(&mut read)
        })
        .map_err(|e| self.explain(e, Operation::Receive))
    }

    /// The number of messages that can be received now: without those that are leased or wait for
    /// their time.
    ///
    /// # Errors
    /// `Corrupt`, `Forked`.
    pub fn len(&self) -> Result<u64> {
        Ok(self.status()?.messages)
    }

    /// True if no message can be received now.
    ///
    /// # Errors
    /// Those of [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The content of the queue at the time of the call, its limits, and the number of messages
    /// dropped. Moves nothing. The message of a process that was stopped within a call may be
    /// counted or not, and what becomes due while it is stopped is not counted as `messages` yet.
    ///
    /// # Errors
    /// Those of [`len`](Self::len).
    pub fn status(&self) -> Result<QueueStatus> {
        self.inner.status().map_err(|e| self.explain(e, Operation::Queue))
    }

    /// Removes all messages, also those that are leased or wait for their time, and returns their
    /// number. Blocks for a second at most if another process holds the queue.
    ///
    /// # Errors
    /// `Busy` if that process does not run, and those of [`len`](Self::len).
    pub fn purge(&mut self) -> Result<u64> {
        self.inner.purge().map_err(|e| self.explain(e, Operation::Queue))
    }

    /// The address of the endpoint that the handle came from.
    pub fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn explain(&self, error: Error, operation: Operation) -> Error {
        let error = error.during(operation);
        if error.is_would_block() { error } else { error.at(&self.address) }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn try_send_raw(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.inner.try_send(priority, message)
    }

    pub(crate) fn try_read<R, F: FnOnce(u32, &[u8]) -> R>(
        &mut self,
        read: &mut Option<F>,
    ) -> Result<R> {
        let mut len = 0;
        let mut result = None;
        self.inner.try_recv_with(&mut |priority, message| {
            len = message.len();
            result = read.take().map(|read| read(priority, message));
        })?;
        self.message_spinner.last_len = len;
        match result {
            Some(result) => Ok(result),
            None => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("the transport showed one message twice")),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Queue({})", self.address)
    }
}

/// A queue as a sender waits for it: until there is room.
pub(crate) struct Room<'a>(pub(crate) &'a mut Queue);

/// A queue as a receiver waits for it: until there are messages.
pub(crate) struct Messages<'a>(pub(crate) &'a mut Queue);

impl Waitable for Room<'_> {
    fn target(&mut self) -> &mut dyn Wait {
        self.0.inner.room()
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.0.room_spinner
    }
    fn spin_hints(&self) -> [u32; 2] {
        [FULL_HINTS; 2]
    }
}

impl Waitable for Messages<'_> {
    fn target(&mut self) -> &mut dyn Wait {
        self.0.inner.messages()
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.0.message_spinner
    }
}

impl Member for Queue {
    fn is_ready(&mut self) -> bool {
        // An error, too: the next `try_recv` returns it.
        !matches!(self.inner.is_ready(), Ok(false))
    }
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool> {
        arming.arm(self.inner.messages())
    }
    fn disarm_in_select(&mut self) {
        self.inner.messages().disarm();
    }
    fn may_spin(&mut self) -> bool {
        self.message_spinner.may_spin()
    }
}
