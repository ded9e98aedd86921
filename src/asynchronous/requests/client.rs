//! Calls of tasks.

use std::future::{Future, IntoFuture, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Result};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout_at;

use super::lead::{ensure_leader, send};
use crate::asynchronous::reactor::check_runtime;
use crate::channel::message::Message;
use crate::channel::sender::Sender;
use crate::request::client::calls::{Call, Progress};
use crate::request::client::shared::{Handle, Out, Shared, wake};
use crate::request::client::{Begun, WINDOW};
use crate::request::{Client, Pending, Responses};
use crate::wait::deadline;

impl<Request, Response> Client<Request, Response>
where
    Request: Message + Serialize,
    Response: Message + DeserializeOwned,
{
    /// As [`call`](Self::call), async. The future borrows nothing. Dropping it cancels the call:
    /// the server is told.
    ///
    /// # Errors
    /// Those of `call`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub fn call_async(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<Response>> + Send + use<Request, Response> {
        self.call_within(request, None)
    }

    /// As [`call_timeout`](Self::call_timeout), async, and as [`call_async`](Self::call_async).
    ///
    /// # Errors
    /// `TimedOut`, and those of `call_async`.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub fn call_timeout_async(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> impl Future<Output = Result<Response>> + Send + use<Request, Response> {
        self.call_within(request, Some(timeout))
    }

    fn call_within(
        &self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<Response>> + Send + use<Request, Response> {
        let begun = self.begin_async(request, timeout, 0);
        async move { response(begun.await?).await }
    }

    /// As [`stream`](Self::stream), async; [`Responses::next_async`] receives the items.
    ///
    /// # Errors
    /// Those of `stream`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub fn stream_async(
        &self,
        request: &Request,
    ) -> impl Future<Output = Result<Responses<Response>>> + Send + use<Request, Response> {
        let begun = self.begin_async(request, None, WINDOW);
        async move {
            let begun = begun.await?;
            let is_sent =
                |call: &Call| !matches!(call.progress, Progress::Unsent | Progress::Sending);
            wait_until(&begun, is_sent).await?;
            Ok(Responses::new(begun))
        }
    }

    /// Begins a call as soon as there is room for one.
    fn begin_async(
        &self,
        request: &Request,
        timeout: Option<Duration>,
        window: u16,
    ) -> impl Future<Output = Result<Begun<Handle>>> + Send + use<Request, Response> {
        let until = deadline(timeout);
        let bytes = self.encoded(request, timeout, window, |bytes| Ok(bytes.clone()));
        let handle = self.handle.clone();
        async move {
            check_runtime().map_err(|e| handle.explain(e))?;
            let mut bytes = bytes?;
            let id = within(
                until,
                poll_fn(|cx| {
                    let mut state = handle.lock();
                    if let Some(id) = handle.try_begin(&mut state, &mut bytes, until, window) {
                        return Poll::Ready(Ok(id));
                    }
                    state.room.push(cx.waker().clone());
                    ensure_leader(&handle.0, &mut state);
                    Poll::Pending
                }),
            )
            .await
            .map_err(|e| handle.explain(e))?;
            Ok(Begun::new(handle, id, until))
        }
    }
}

/// Awaits until a deadline.
async fn within<R>(until: Option<Instant>, future: impl Future<Output = Result<R>>) -> Result<R> {
    match until {
        None => future.await,
        Some(at) => timeout_at(at.into(), future).await.unwrap_or_else(|_| {
            Err(Error::new(Operation::Call, ErrorKind::TimedOut).because("no answer came in time"))
        }),
    }
}

/// The response of a call without a stream.
async fn response<Response: DeserializeOwned>(mut call: Begun<Handle>) -> Result<Response> {
    wait_until(&call, Call::has_news).await?;
    call.try_take()
}

/// What a call of a task does next.
enum Step {
    Enough,
    /// Sends its request itself: there is a sender, and nobody uses it.
    Send(Sender, u64, Vec<u8>),
}

/// Waits until there is enough of a call.
async fn wait_until(call: &Begun<Handle>, is_enough: impl Fn(&Call) -> bool + Send) -> Result<()> {
    let shared = &call.shared.0;
    let waiting = async {
        loop {
            match poll_fn(|cx| step(shared, call.id, &is_enough, cx)).await? {
                Step::Enough => return Ok(()),
                Step::Send(sender, epoch, request) => {
                    let mut sending =
                        Sending { shared, id: call.id, epoch, taken: Some((sender, request)) };
                    sending.send().await;
                }
            }
        }
    };
    within(call.deadline, waiting).await.map_err(|e| shared.explain(e))
}

fn step(
    shared: &Arc<Shared>,
    id: u32,
    is_enough: &impl Fn(&Call) -> bool,
    cx: &mut std::task::Context<'_>,
) -> Poll<Result<Step>> {
    let mut state = shared.lock();
    let Some(call) = state.calls.get(id) else {
        return Poll::Ready(Err(Error::new(Operation::Call, ErrorKind::Closed)));
    };
    if is_enough(call) {
        return Poll::Ready(Ok(Step::Enough));
    }
    let is_unsent = matches!(call.progress, Progress::Unsent);
    call.waker = Some(cx.waker().clone());
    if state.up && is_unsent && matches!(state.out, Out::Idle(_)) {
        let epoch = state.epoch;
        if let Some(request) = Shared::take_request(&mut state, id)
            && let Out::Idle(sender) = std::mem::replace(&mut state.out, Out::Busy)
        {
            return Poll::Ready(Ok(Step::Send(sender, epoch, request)));
        }
    }
    ensure_leader(shared, &mut state);
    Poll::Pending
}

/// A request that a task sends. Its drop puts the sender back, also in the middle.
struct Sending<'a> {
    shared: &'a Shared,
    id: u32,
    epoch: u64,
    taken: Option<(Sender, Vec<u8>)>,
}

impl Sending<'_> {
    async fn send(&mut self) {
        let Some((sender, request)) = &mut self.taken else { return };
        let sent = send(self.shared, sender, request).await;
        self.put_back(sent);
    }

    fn put_back(&mut self, sent: Result<()>) {
        let Some((sender, request)) = self.taken.take() else { return };
        let mut state = self.shared.lock();
        self.shared.put_sent(&mut state, self.id, self.epoch, sender, request, sent);
        let wakers = state.hand_over();
        drop(state);
        wake(wakers);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.put_back(Err(Error::new(Operation::Send, ErrorKind::TimedOut)));
    }
}

impl<Response: DeserializeOwned + 'static> IntoFuture for Pending<Response> {
    type Output = Result<Response>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

    /// Receives the response, as [`wait`](Self::wait). Dropping the future cancels the call.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(response(self.call))
    }
}

impl<Response: DeserializeOwned> Responses<Response> {
    /// The next item, as the iterator's `next`, async. Cancel-safe: a dropped future takes no item.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    pub async fn next_async(&mut self) -> Option<Result<Response>> {
        let call = self.call.as_mut()?;
        let item = match wait_until(call, Call::has_news).await {
            Ok(()) => {
                let handle = call.shared.clone();
                call.take_item(handle.lock())
            }
            Err(error) => Some(Err(error)),
        };
        self.step(item)
    }
}
