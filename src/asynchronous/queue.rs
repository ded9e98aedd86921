use anyipc_core::{Operation, QueueStatus, Result};

use super::reactor::{Reactor, check_runtime};
use super::wait::{Kept, wait};
use crate::queue::Queue;
use crate::queue::{Messages, Room};

/// A [`Queue`] whose waiting calls are async. All of them are cancel-safe.
///
/// Its calls need a tokio runtime with I/O and time enabled, and panic in one without.
#[derive(Debug)]
pub struct AsyncQueue {
    inner: Queue,
    reactor: Reactor,
    kept: Kept,
}

impl Queue {
    /// The same handle, async.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime.
    pub fn into_async(self) -> Result<AsyncQueue> {
        check_runtime().map_err(|e| e.at(self.address()))?;
        Ok(AsyncQueue { inner: self, reactor: Reactor::default(), kept: Kept::default() })
    }
}

impl AsyncQueue {
    /// See [`Queue::send`]. A dropped future has sent nothing.
    ///
    /// # Errors
    /// Those of [`Queue::send`].
    pub async fn send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        let Self { inner, reactor, kept } = self;
        wait(&mut Room(inner), reactor, kept, Operation::Send, None, |room| {
            room.0.try_put(priority, message)
        })
        .await
        .map_err(|e| self.inner.explain(e, Operation::Send))
    }

    /// See [`Queue::recv`]. A dropped future has taken nothing.
    ///
    /// # Errors
    /// Those of [`Queue::recv`].
    pub async fn recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.recv_with(|priority, message| (priority, message.to_vec())).await
    }

    /// See [`Queue::recv_with`]. A dropped future has taken nothing.
    ///
    /// # Errors
    /// Those of [`Queue::recv_with`].
    pub async fn recv_with<R>(&mut self, read: impl FnOnce(u32, &[u8]) -> R) -> Result<R> {
        let mut read = Some(read);
        let Self { inner, reactor, kept } = self;
        wait(&mut Messages(inner), reactor, kept, Operation::Receive, None, |messages| {
            messages.0.try_read(&mut read)
        })
        .await
        .map_err(|e| self.inner.explain(e, Operation::Receive))
    }

    /// See [`Queue::try_send`].
    ///
    /// # Errors
    /// Those of [`Queue::try_send`].
    pub fn try_send(&mut self, priority: u32, message: &[u8]) -> Result<()> {
        self.inner.try_send(priority, message)
    }

    /// See [`Queue::try_recv`].
    ///
    /// # Errors
    /// Those of [`Queue::try_recv`].
    pub fn try_recv(&mut self) -> Result<(u32, Vec<u8>)> {
        self.inner.try_recv()
    }

    /// See [`Queue::status`].
    ///
    /// # Errors
    /// Those of [`Queue::status`].
    pub fn status(&self) -> Result<QueueStatus> {
        self.inner.status()
    }

    /// The same handle, blocking.
    pub fn into_sync(self) -> Queue {
        self.inner
    }
}
