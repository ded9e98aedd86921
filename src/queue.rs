use std::fmt;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, QueueStatus, Result, Wait};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::wait::select::{Member, Sleep};
use crate::wait::{Spinner, Waitable, deadline, wait};

/// A handle of a bounded queue, from [`Endpoint::queue`]: any number of processes send to it and receive from
/// it. Each message goes to one receiver, the oldest of the highest priority first.
///
/// Handles are independent of each other and of the endpoint's role. For a second thread, take a second one.
pub struct Queue {
    inner: Box<dyn anyipc_core::Queue>,
    address: Address,
    room: Spinner,
    messages: Spinner,
}

impl Endpoint {
    /// A new handle of this object's queue.
    ///
    /// # Errors
    /// `Unsupported` where the transport has no queues ([`Capabilities::QUEUE`](crate::Capabilities::QUEUE)),
    /// `OutOfMemory`, `Forked`.
    pub fn queue(&self) -> Result<Queue> {
        let inner = self
            .raw()
            .queue()
            .map_err(|error| error.during(Operation::Queue).at(self.address()))?;
        let spinner = || Spinner::new(self.settings().wait);
        Ok(Queue { inner, address: self.address().clone(), room: spinner(), messages: spinner() })
    }
}

impl Queue {
    /// Sends one message; waits while there is no room, without a limit of time, if the queue was made with
    /// `full=block` (the default): see [`send_timeout`](Self::send_timeout).
    /// `priority` counts from 0, the lowest.
    ///
    /// `Ok` means that the message is in the queue, whatever happens to this process, or, with `full=drop-old` and
    /// `full=drop-new`, that a message was dropped and [counted](QueueStatus::dropped).
    ///
    /// # Errors
    /// `Full` (with `full=error`), `InvalidOption` (the queue has no such priority), `MessageTooLarge`, `Corrupt`,
    /// `Removed` (the name went away, found by a wait), `Forked`.
    pub fn send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.send_within(priority, message, None)
    }

    /// As [`send`](Self::send), waiting this long at most. After `TimedOut` the message was not sent.
    ///
    /// # Errors
    /// `TimedOut`, and those of `send`.
    pub fn send_timeout(&mut self, priority: u32, message: &[u8], timeout: Duration) -> Result<()> {
        self.send_within(priority, message, Some(timeout))
    }

    /// As [`send`](Self::send), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` (no room now, another sender has waited for longer, or another process holds the queue and does not
    /// run), and those of `send`.
    pub fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.inner.try_send(priority, message).map_err(|e| self.explain(e, Operation::Send))
    }

    fn send_within(
        &mut self,
        priority: u32,
        message: &[u8],
        timeout: Option<Duration>,
    ) -> Result<()> {
        self.room.last_len = message.len();
        match self.inner.try_send(priority, message) {
            Ok(()) => Ok(()),
            Err(error) => self.send_later(error, priority, message, timeout),
        }
    }

    /// Apart, so that a send that need not wait moves no error about.
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

    /// Receives one message with its priority; waits for it, without a limit of time: a queue has no end. `Ok` takes
    /// the message out: it is lost if this process dies before it has dealt with it.
    ///
    /// # Errors
    /// `Corrupt`, `Removed` (the queue is empty and its name went away), `Forked`. That nobody will send any more is none: others may come.
    pub fn recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.recv_with(|priority, message| (priority, message.to_vec()))
    }

    /// As [`recv`](Self::recv), waiting this long at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `recv`.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<(u32, Vec<u8>)> {
        self.recv_within(Some(timeout), |priority, message| (priority, message.to_vec()))
    }

    /// As [`recv`](Self::recv), without waiting.
    ///
    /// # Errors
    /// `WouldBlock` (the queue is empty, or another process holds it and does not run), and those of `recv`.
    pub fn try_recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.try_recv_with(|priority, message| (priority, message.to_vec()))
    }

    /// As [`recv`](Self::recv), showing the message to `read`: nothing is allocated. A message whose `read`
    /// panics is used up.
    ///
    /// # Errors
    /// Those of `recv`; `read` was not called then.
    pub fn recv_with<R>(&mut self, read: impl FnOnce(u32, &[u8]) -> R) -> Result<R> {
        self.recv_within(None, read)
    }

    /// As [`recv_with`](Self::recv_with), waiting this long at most.
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

    /// As [`recv_with`](Self::recv_with), without waiting.
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

    /// Messages in the queue.
    ///
    /// # Errors
    /// `Corrupt`, `Forked`.
    pub fn len(&self) -> Result<u64> {
        Ok(self.status()?.messages)
    }

    /// Whether the queue has no messages.
    ///
    /// # Errors
    /// Those of [`len`](Self::len).
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What is in the queue, its limits, and how many messages were dropped. Where a process was stopped in the midst of
    /// a call, its message is counted or not.
    ///
    /// # Errors
    /// Those of [`len`](Self::len).
    pub fn status(&self) -> Result<QueueStatus> {
        self.inner.status().map_err(|e| self.explain(e, Operation::Queue))
    }

    /// Removes all messages. Returns how many. Waits up to a second for a process that holds the queue.
    ///
    /// # Errors
    /// `Busy` if that one does not run, and those of [`len`](Self::len).
    pub fn purge(&mut self) -> Result<u64> {
        self.inner.purge().map_err(|e| self.explain(e, Operation::Queue))
    }

    /// The address it came from.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the next try to receive finds a message, or an error.
    pub(crate) fn is_ready(&self) -> bool {
        !matches!(self.inner.is_ready(), Ok(false))
    }

    pub(crate) fn explain(&self, error: Error, operation: Operation) -> Error {
        let error = error.during(operation);
        if error.is_would_block() { error } else { error.at(&self.address) }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn try_put(&mut self, priority: u32, message: &[u8]) -> Result<()> {
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
        self.messages.last_len = len;
        match result {
            Some(result) => Ok(result),
            None => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("the transport showed one message twice")),
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("address", &self.address)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// Pauses between two looks at a full queue: some microseconds in all, in which receivers make room for a batch.
const FULL_PAUSES: u32 = 256;

/// A queue as a sender waits for it.
pub(crate) struct Room<'a>(pub(crate) &'a mut Queue);

/// A queue as a receiver waits for it.
pub(crate) struct Messages<'a>(pub(crate) &'a mut Queue);

impl Waitable for Room<'_> {
    fn wait(&mut self) -> &mut dyn Wait {
        self.0.inner.room()
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.0.room
    }
    /// A full queue keeps its receivers busy: whoever looks often is in their way, and room for few messages.
    fn pauses(&self) -> [u32; 2] {
        [FULL_PAUSES; 2]
    }
}

impl Waitable for Messages<'_> {
    fn wait(&mut self) -> &mut dyn Wait {
        self.0.inner.messages()
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.0.messages
    }
}

impl Member for Queue {
    fn is_ready(&mut self) -> bool {
        Queue::is_ready(self)
    }
    fn sleep_on(&mut self, sleep: Sleep<'_>) -> Result<bool> {
        sleep.arm(Messages(self).wait())
    }
    fn stop_sleeping(&mut self) {
        Messages(self).wait().disarm();
    }
    fn spins(&mut self) -> bool {
        Messages(self).spinner().spins()
    }
}
