//! The halves of an async channel as something to poll. A half that has to wait lives in the future
//! of its async call meanwhile.

use std::fmt;
use std::future::pending;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use anyipc_core::{Error, ErrorKind, KEPT, Operation, Result};
use bytes::Bytes;
use tokio::task::coop::poll_proceed;
use tokio_util::sync::ReusableBoxFuture;

use crate::asynchronous::{AsyncReceiver, AsyncSender};

/// A receiving half to poll.
pub(super) struct PollReceiver {
    /// `None` while `waiting` has it.
    half: Option<Box<AsyncReceiver>>,
    waiting: ReusableBoxFuture<'static, Received>,
    /// For messages that are waited for.
    buffer: Vec<u8>,
}

type Received = (Box<AsyncReceiver>, Vec<u8>, Result<()>);

async fn receive(mut half: Box<AsyncReceiver>, mut buffer: Vec<u8>) -> Received {
    let received = half.recv_into(&mut buffer).await.map(drop);
    (half, buffer, received)
}

impl PollReceiver {
    pub(super) fn new(half: AsyncReceiver) -> Self {
        let waiting = ReusableBoxFuture::new(pending());
        Self { half: Some(Box::new(half)), waiting, buffer: Vec::new() }
    }

    /// Receives a message and shows it to `read`.
    ///
    /// # Errors
    /// Those of [`AsyncReceiver::recv`].
    pub(super) fn poll_recv<R>(
        &mut self,
        cx: &mut Context<'_>,
        read: impl FnOnce(&[u8]) -> R,
    ) -> Poll<Result<R>> {
        let mut read = Some(read);
        if let Some(mut half) = self.half.take() {
            // Without this, a task that always finds something never lets others run.
            let Poll::Ready(turn) = poll_proceed(cx) else {
                self.half = Some(half);
                return Poll::Pending;
            };
            if let Some(done) = half.try_at_once(&mut read) {
                turn.made_progress();
                self.half = Some(half);
                return Poll::Ready(done);
            }
            self.waiting.set(receive(half, take(&mut self.buffer)));
        }
        let (half, buffer, received) = ready!(self.waiting.poll(cx));
        self.half = Some(half);
        let result = match (received, read) {
            (Ok(()), Some(read)) => Ok(read(&buffer)),
            (Ok(()), None) => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("the transport showed one message twice")),
            (Err(error), _) => Err(error),
        };
        if buffer.capacity() <= KEPT {
            self.buffer = buffer;
        }
        Poll::Ready(result)
    }
}

impl fmt::Debug for PollReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollReceiver").field("waits", &self.half.is_none()).finish_non_exhaustive()
    }
}

/// A sending half to poll.
pub(super) struct PollSender {
    /// `None` while `waiting` has it.
    half: Option<Box<AsyncSender>>,
    /// Where the future leaves the half when it ends or is dropped.
    home: Home,
    waiting: ReusableBoxFuture<'static, Result<()>>,
}

#[derive(Clone, Default)]
struct Home(Arc<Mutex<Option<Box<AsyncSender>>>>);

impl Home {
    fn place(&self) -> MutexGuard<'_, Option<Box<AsyncSender>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A half that goes home when it is dropped.
struct Lent {
    half: Option<Box<AsyncSender>>,
    home: Home,
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.home.place() = self.half.take();
    }
}

/// Flushes, then sends the message if there is one.
async fn flush_and_send(mut lent: Lent, message: Option<Bytes>) -> Result<()> {
    if let Some(half) = &mut lent.half {
        half.flush().await?;
        if let Some(message) = message {
            half.send(&message).await?;
        }
    }
    Ok(())
}

impl PollSender {
    pub(super) fn new(half: AsyncSender) -> Self {
        let waiting = ReusableBoxFuture::new(pending());
        Self { half: Some(Box::new(half)), home: Home::default(), waiting }
    }

    /// The half; `None` while it waits.
    pub(super) fn half(&mut self) -> Option<&mut AsyncSender> {
        self.half.as_deref_mut()
    }

    /// Begins to flush and to send a message. [`poll`](Self::poll) goes on with it.
    pub(super) fn begin(&mut self, message: Option<Bytes>) {
        if let Some(half) = self.half.take() {
            let lent = Lent { half: Some(half), home: self.home.clone() };
            self.waiting.set(flush_and_send(lent, message));
        }
    }

    /// Goes on with what was begun. `Ready` if nothing was.
    ///
    /// # Errors
    /// Those of [`AsyncSender::send`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.half.is_some() {
            return Poll::Ready(Ok(()));
        }
        let done = ready!(self.waiting.poll(cx));
        self.half = self.home.place().take();
        Poll::Ready(done)
    }

    /// Gives up what was begun: the message is not sent.
    pub(super) fn cancel(&mut self) {
        if self.half.is_none() {
            self.waiting.set(pending());
            self.half = self.home.place().take();
        }
    }

    /// Sends what a batch holds back, after what was begun.
    ///
    /// # Errors
    /// Those of [`AsyncSender::flush`].
    #[cfg(feature = "futures")]
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll(cx))?;
        if let Some(half) = &mut self.half
            && let Some(done) = half.try_flush_at_once()
        {
            return Poll::Ready(done);
        }
        self.begin(None);
        self.poll(cx)
    }
}

impl fmt::Debug for PollSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSender").field("waits", &self.half.is_none()).finish_non_exhaustive()
    }
}
