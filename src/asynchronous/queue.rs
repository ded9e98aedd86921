//! Queues with async calls in place of the blocking ones.

use std::fmt;
use std::time::Duration;

use anyipc_core::{Operation, QueueStatus, Result};

use super::reactor::{Reactor, check_runtime};
use super::registration::Retained;
use super::wait::wait;
use crate::queue::{Job, Messages, Queue, Room};

/// A [`Queue`] with async calls in place of the blocking ones, all of them cancel-safe.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
pub struct AsyncQueue {
    inner: Queue,
    reactor: Reactor,
    retained: Retained,
}

impl Queue {
    /// Makes the handle async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncQueue> {
        check_runtime().map_err(|e| e.at(self.address()))?;
        Ok(AsyncQueue { inner: self, reactor: Reactor::default(), retained: Retained::default() })
    }
}

impl AsyncQueue {
    /// Sends one message, as [`Queue::send`]. Waits while there is no room, without a limit of
    /// time. A dropped future has sent nothing.
    ///
    /// # Errors
    /// Those of [`Queue::send`].
    pub async fn send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        let Self { inner, reactor, retained } = self;
        wait(&mut Room(inner), reactor, retained, Operation::Send, None, |room| {
            room.0.try_send_raw(priority, message)
        })
        .await
        .map_err(|e| self.inner.explain(e, Operation::Send))
    }

    /// Receives one message and its priority, as [`Queue::recv`]. Waits until there is one, without
    /// a limit of time. A dropped future has taken nothing.
    ///
    /// # Errors
    /// Those of [`Queue::recv`].
    pub async fn recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.recv_with(|priority, message| (priority, message.to_vec())).await
    }

    /// As [`recv`](Self::recv), but shows the message to `read`: nothing is allocated. If `read`
    /// panics, the message is used up.
    ///
    /// # Errors
    /// Those of [`Queue::recv_with`].
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(u32, &[u8]) -> R) -> Result<R> {
        let mut read = Some(read);
        let Self { inner, reactor, retained } = self;
        wait(&mut Messages(inner), reactor, retained, Operation::Receive, None, |messages| {
            messages.0.try_read(&mut read)
        })
        .await
        .map_err(|e| self.inner.explain(e, Operation::Receive))
    }

    /// Leases one message for `time`, as [`Queue::lease`]. Waits until there is one, without a
    /// limit of time. A dropped future has leased nothing. The calls of the [`Job`] are not async:
    /// they wait for no message, and block only as [`Job::ack`] says.
    ///
    /// # Errors
    /// Those of [`Queue::lease`].
    pub async fn lease(&mut self, time: Duration) -> Result<Job> {
        let Self { inner, reactor, retained } = self;
        wait(&mut Messages(inner), reactor, retained, Operation::Receive, None, |messages| {
            messages.0.try_lease_raw(time)
        })
        .await
        .map_err(|e| self.inner.explain(e, Operation::Receive))
    }

    /// Sends one message that no receiver sees before `delay` is over, as [`Queue::send_after`].
    /// Waits while there is no room. A dropped future has sent nothing.
    ///
    /// # Errors
    /// Those of [`Queue::send_after`].
    pub async fn send_after(
        &mut self,
        delay: Duration,
        priority: u32,
        message: &[u8],
    ) -> Result<()> {
        let Self { inner, reactor, retained } = self;
        wait(&mut Room(inner), reactor, retained, Operation::Send, None, |room| {
            room.0.try_send_after_raw(delay, priority, message)
        })
        .await
        .map_err(|e| self.inner.explain(e, Operation::Send))
    }

    /// Sends one message, without waiting.
    ///
    /// # Errors
    /// Those of [`Queue::try_send`].
    pub fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.inner.try_send(priority, message)
    }

    /// Receives one message and its priority, without waiting.
    ///
    /// # Errors
    /// Those of [`Queue::try_recv`].
    pub fn try_recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.inner.try_recv()
    }

    /// Leases one message for `time`, without waiting.
    ///
    /// # Errors
    /// Those of [`Queue::try_lease`].
    pub fn try_lease(&mut self, time: Duration) -> Result<Job> {
        self.inner.try_lease(time)
    }

    /// The content of the queue, its limits, and the number of messages dropped.
    ///
    /// # Errors
    /// Those of [`Queue::status`].
    pub fn status(&self) -> Result<QueueStatus> {
        self.inner.status()
    }

    /// Makes the handle blocking again.
    pub fn into_sync(self) -> Queue {
        self.inner
    }
}

impl fmt::Debug for AsyncQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Async{:?}", self.inner)
    }
}
