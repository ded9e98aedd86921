//! Servers of tasks: the loop of `crate::request::server`, with handlers that run as tasks.

use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Peer, Result};
use serde::{Serialize, de::DeserializeOwned};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::service::Service;
use crate::address::IntoAddress;
use crate::asynchronous::reactor::{Reactor, check_runtime};
use crate::asynchronous::registration::Retained;
use crate::asynchronous::wait::wait;
use crate::channel::message::Message;
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::inbox::Inbox;
use crate::registry::Registry;
use crate::request::failure::{Cause, Failure};
use crate::request::frame::Frame;
use crate::request::server::answer::{
    no_stream_asked, panicked, too_large, write_answer, write_failure,
};
use crate::request::server::jobs::{Control, Job, Replies, Reply};
use crate::request::server::serving::{Kind, Serving};
use crate::request::server::{OnEvent, Place, codec};
use crate::request::{Names, ServerEvent, Stopper};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Makes the task that answers a request.
type Execute<Request> = Box<dyn Fn(Job<Request>, CodecId, &Arc<Replies>) -> Task + Send + Sync>;

/// Answers requests as tasks, from [`serve_async`] or [`serve_stream_async`].
#[must_use = "it serves when it runs"]
pub struct AsyncServer<Request> {
    place: Place,
    execute: Execute<Request>,
    names: Names,
    concurrency: usize,
    replies: Arc<Replies>,
    on_event: OnEvent<'static>,
}

/// Answers each request at this address with what the service returns: an implementation of
/// [`Service`], or a closure that returns a future. It serves when it [runs](AsyncServer::run).
///
/// ```no_run
/// # #[cfg(all(feature = "shared-memory", feature = "postcard"))]
/// # async fn example() -> anyipc::Result<()> {
/// use anyipc::Peer;
/// let add = |_peer: &Peer, (a, b): (u64, u64)| async move { Ok(a + b) };
/// anyipc::serve_async("shm://adder", add).concurrency(32).run().await
/// # }
/// ```
pub fn serve_async<Request, Response, S>(
    address: impl IntoAddress,
    service: S,
) -> AsyncServer<Request>
where
    Request: Message + DeserializeOwned + Send + 'static,
    Response: Message + Serialize + Send + 'static,
    S: Service<Request, Response> + 'static,
{
    AsyncServer::single(Place::of(address), service)
}

/// Answers each request at this address with a stream: what the future of `handler` sends through
/// its third argument, until it returns. It serves when it [runs](AsyncServer::run).
///
/// The future may be dropped at any `await`, as [`Service::call`].
///
/// ```no_run
/// # #[cfg(all(feature = "shared-memory", feature = "postcard"))]
/// # async fn example() -> anyipc::Result<()> {
/// use anyipc::{Peer, request::AsyncOutgoing};
/// let count = |_: &Peer, end: u64, mut out: AsyncOutgoing<u64>| async move {
///     for number in 0..end {
///         out.send(&number).await?;
///     }
///     Ok(())
/// };
/// anyipc::serve_stream_async("shm://counter", count).run().await
/// # }
/// ```
pub fn serve_stream_async<Request, Response, F, Answer>(
    address: impl IntoAddress,
    handler: F,
) -> AsyncServer<Request>
where
    Request: Message + DeserializeOwned + Send + 'static,
    Response: Message + Serialize + Send + 'static,
    F: Fn(&Peer, Request, AsyncOutgoing<Response>) -> Answer + Send + Sync + 'static,
    Answer: Future<Output = Result<(), Failure>> + Send + 'static,
{
    AsyncServer::stream(Place::of(address), handler)
}

impl Endpoint {
    /// As [`serve_async`], for an owner's endpoint that is there already.
    pub fn serve_async<Request, Response, S>(self, service: S) -> AsyncServer<Request>
    where
        Request: Message + DeserializeOwned + Send + 'static,
        Response: Message + Serialize + Send + 'static,
        S: Service<Request, Response> + 'static,
    {
        AsyncServer::single(Place::Endpoint(self), service)
    }

    /// As [`serve_stream_async`], for an owner's endpoint that is there already.
    pub fn serve_stream_async<Request, Response, F, Answer>(
        self,
        handler: F,
    ) -> AsyncServer<Request>
    where
        Request: Message + DeserializeOwned + Send + 'static,
        Response: Message + Serialize + Send + 'static,
        F: Fn(&Peer, Request, AsyncOutgoing<Response>) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        AsyncServer::stream(Place::Endpoint(self), handler)
    }
}

impl<Request: Message + DeserializeOwned + Send + 'static> AsyncServer<Request> {
    fn single<Response, S>(place: Place, service: S) -> Self
    where
        Response: Message + Serialize + Send + 'static,
        S: Service<Request, Response> + 'static,
    {
        let service = Arc::new(service);
        Self::new::<Response>(place, move |job, codec, replies| {
            let (service, replies) = (Arc::clone(&service), Arc::clone(replies));
            Box::pin(async move {
                let Job { from, id, peer, until, request, max_message, control } = job;
                let ended = end(control, until, service.call(&peer, request)).await;
                let mut frame = Vec::new();
                match ended {
                    Ended::Answer(answer) => {
                        write_answer(id, Ok(answer), codec, max_message, &mut frame);
                    }
                    Ended::Failed(failure) => write_failure(id, &failure, &mut frame),
                }
                replies.push(Reply { to: from, id, ends: true, frame });
            })
        })
    }

    fn stream<Response, F, Answer>(place: Place, handler: F) -> Self
    where
        Response: Message + Serialize + Send + 'static,
        F: Fn(&Peer, Request, AsyncOutgoing<Response>) -> Answer + Send + Sync + 'static,
        Answer: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let handler = Arc::new(handler);
        Self::new::<Response>(place, move |job, codec, replies| {
            let (handler, replies) = (Arc::clone(&handler), Arc::clone(replies));
            Box::pin(async move {
                let Job { from, id, peer, until, request, max_message, control } = job;
                let outgoing = control.clone().filter(|control| control.is_stream());
                let ended = match outgoing {
                    None => Ended::Failed(no_stream_asked()),
                    Some(of) => {
                        let (replies, marker) = (Arc::clone(&replies), PhantomData);
                        let to = Replying { from, id, codec, max_message, replies };
                        let outgoing = AsyncOutgoing { to, control: of, until, marker };
                        end(control, until, async { handler(&peer, request, outgoing).await }).await
                    }
                };
                let mut frame = Frame::End { id }.encode().to_vec();
                match ended {
                    Ended::Answer(Ok(())) => {}
                    Ended::Answer(Err(failure)) | Ended::Failed(failure) => {
                        write_failure(id, &failure, &mut frame);
                    }
                }
                replies.push(Reply { to: from, id, ends: true, frame });
            })
        })
    }

    fn new<Response: Message>(
        place: Place,
        execute: impl Fn(Job<Request>, CodecId, &Arc<Replies>) -> Task + Send + Sync + 'static,
    ) -> Self {
        Self {
            place,
            execute: Box::new(execute),
            names: Names::of::<Request, Response>(),
            concurrency: usize::MAX,
            replies: Arc::new(Replies::new()),
            on_event: Box::new(|_| {}),
        }
    }

    /// Executes at most `calls` at once; at least one. Clients take turns. Without it only the
    /// clients' own limits hold.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.max(1);
        self
    }

    /// Calls `on_event` with what happens to the clients, in the task of [`run`](Self::run).
    pub fn on_event(mut self, on_event: impl Fn(ServerEvent) + Send + 'static) -> Self {
        self.on_event = Box::new(on_event);
        self
    }

    /// Uses these transports instead of [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        if let Place::Address(used, _) = &mut self.place {
            *used = registry.clone();
        }
        self
    }

    /// A handle that stops the server, from any thread or task.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.replies))
    }

    /// Creates the object, unless it is there already, and serves until the server is
    /// [stopped](Stopper::stop). Dropping the future ends everything at once: the calls that run
    /// are dropped, and their clients see the owner leave.
    ///
    /// # Errors
    /// Those of [`Server::run`](crate::request::Server::run); `Unsupported` outside of a tokio
    /// runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn run(self) -> Result<()> {
        check_runtime()?;
        let Self { place, execute, names, concurrency, replies, on_event } = self;
        let endpoint = place.create()?;
        let codec = codec(&endpoint);
        let hello = names.server_hello(&endpoint)?;
        let mut inbox = Inbox::with_hello(endpoint, hello)?;
        let shared = Arc::clone(&replies);
        let mut serving = Serving::new(&mut inbox, codec, names, shared, Kind::Tasks, on_event);
        let (reactor, mut retained) = (Reactor::default(), Retained::default());
        let mut tasks = JoinSet::new();
        loop {
            match serving.try_next(concurrency) {
                Ok(Some(job)) => {
                    tasks.spawn(execute(job, codec, &replies));
                }
                Ok(None) => return Ok(()),
                Err(error) if error.is_would_block() => {
                    while tasks.try_join_next().is_some() {}
                    let (serve, step) = (Operation::Serve, Serving::idle_step);
                    wait(&mut serving, &reactor, &mut retained, serve, None, step).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// How a handler's future has ended.
enum Ended<T> {
    Answer(Result<T, Failure>),
    /// It was dropped, or it panicked.
    Failed(Failure),
}

/// Awaits the answer of a handler, unless the call is cancelled or its time is over.
async fn end<T>(
    control: Option<Arc<Control>>,
    until: Option<Instant>,
    answer: impl Future<Output = Result<T, Failure>>,
) -> Ended<T> {
    let mut answer = pin!(answer);
    let mut late = pin!(until.map(|at| sleep_until(at.into())));
    poll_fn(|cx| {
        if control.as_ref().is_some_and(|control| control.poll_cancelled(cx.waker())) {
            let cancelled = Failure::because(Cause::Cancelled, "the call was cancelled");
            return Poll::Ready(Ended::Failed(cancelled));
        }
        if late.as_mut().as_pin_mut().is_some_and(|late| late.poll(cx).is_ready()) {
            let late = Failure::because(Cause::Late, "its time was over before it was answered");
            return Poll::Ready(Ended::Failed(late));
        }
        let polled: Result<_, Box<dyn Any + Send>> =
            catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(cx)));
        match polled {
            Ok(polled) => polled.map(Ended::Answer),
            Err(panic) => Poll::Ready(Ended::Failed(panicked(&*panic))),
        }
    })
    .await
}

/// The stream that answers a request: what a handler of [`serve_stream_async`] sends with.
pub struct AsyncOutgoing<Response> {
    to: Replying,
    control: Arc<Control>,
    until: Option<Instant>,
    marker: PhantomData<fn(&Response)>,
}

/// The way back to a call.
struct Replying {
    from: crate::inbox::PeerId,
    id: u32,
    codec: CodecId,
    max_message: usize,
    replies: Arc<Replies>,
}

impl<Response: Serialize> AsyncOutgoing<Response> {
    /// Sends an item. Waits while the client has not taken the ones before. Cancel-safe: a dropped
    /// future has sent the item whole or not at all.
    ///
    /// # Errors
    /// `MessageTooLarge`, `Codec`; `Closed` if the client has cancelled the call or left, which
    /// mostly drops the handler's future first. The handler may return the error as its own.
    pub fn send(
        &mut self,
        item: &Response,
    ) -> impl Future<Output = Result<()>> + Send + use<'_, Response> {
        let frame = self.encode(item);
        async move {
            let frame = frame?;
            let bytes = frame.len();
            poll_fn(|cx| match self.control.poll_take(bytes, cx.waker()) {
                Err(error) if error.is_would_block() => Poll::Pending,
                done => Poll::Ready(done),
            })
            .await?;
            let Replying { from, id, replies, .. } = &self.to;
            replies.push(Reply { to: *from, id: *id, ends: false, frame });
            Ok(())
        }
    }

    fn encode(&self, item: &Response) -> Result<Vec<u8>> {
        let Replying { id, codec, max_message, .. } = self.to;
        let mut frame = Frame::Item { id }.encode().to_vec();
        codec.encode(item, &mut frame)?;
        if frame.len() > max_message {
            return Err(Error::new(Operation::Serve, ErrorKind::MessageTooLarge)
                .because(too_large(frame.len(), max_message)));
        }
        Ok(frame)
    }

    /// How much time is left for the call; `None` without a limit.
    pub fn time_left(&self) -> Option<Duration> {
        self.until.map(|at| at.saturating_duration_since(Instant::now()))
    }
}

impl<Response> fmt::Debug for AsyncOutgoing<Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncOutgoing").field("id", &self.to.id).finish_non_exhaustive()
    }
}

impl<Request> fmt::Debug for AsyncServer<Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AsyncServer");
        match &self.place {
            Place::Endpoint(endpoint) => debug.field("address", endpoint.address()),
            Place::Address(_, address) => debug.field("address", address),
        };
        debug.field("concurrency", &self.concurrency).finish_non_exhaustive()
    }
}
