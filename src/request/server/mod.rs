//! Servers: one loop that reads and writes for all clients, and handlers that it calls itself or on
//! threads.
//!
//! `intake` knows the protocol, `answer` makes answers, `serving` is the loop, `jobs` is what it
//! shares with threads. Servers of tasks are in `asynchronous::requests`, on the same `intake`,
//! `answer` and `jobs`.

pub(crate) mod answer;
pub(crate) mod intake;
pub(crate) mod jobs;
pub(crate) mod serving;

use std::fmt;
use std::sync::Arc;
use std::thread;

use anyipc_core::{Error, Operation, Peer, Result};
use serde::{Serialize, de::DeserializeOwned};

use crate::address::{Address, IntoAddress};
use crate::channel::message::Message;
use crate::codec::CodecId;
use crate::endpoint::Endpoint;
use crate::inbox::Inbox;
use crate::registry::Registry;
use crate::request::Names;
use crate::request::failure::Failure;
use answer::Outgoing;
use jobs::{Job, Jobs, Replies, Reply};
use serving::{Kind, Serving};

/// What a server tells about its clients, see [`Server::on_event`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerEvent {
    /// A client has connected.
    Connected(Peer),
    /// A client has left, for this reason: `Closed` (in order), `PeerGone` (it died), `Corrupt` (it
    /// broke the protocol), `Mismatch` (it speaks no requests). Its calls are cancelled.
    Left(Peer, Error),
    /// No client could be accepted, for this reason. The server goes on.
    NotAccepted(Error),
}

pub(crate) type OnEvent<'h> = Box<dyn Fn(ServerEvent) + Send + 'h>;

/// Where a server is.
pub(crate) enum Place {
    Address(Registry, Result<Address>),
    Endpoint(Endpoint),
}

type Handler<'h, Request> =
    Box<dyn Fn(Job<Request>, &Arc<Replies>, CodecId, &mut Vec<u8>) + Send + Sync + 'h>;

/// Answers requests, from [`serve`], [`serve_stream`] or [`Endpoint::serve`].
#[must_use = "it serves when it runs"]
pub struct Server<'h, Request> {
    place: Place,
    handler: Handler<'h, Request>,
    names: Names,
    /// Threads for handlers; `None`: the thread of the loop.
    threads: Option<usize>,
    kind: Kind,
    replies: Arc<Replies>,
    on_event: OnEvent<'h>,
}

/// Answers each request at this address with what `handler` returns. It serves when it
/// [runs](Server::run).
///
/// The handler gets what the transport knows of the client, and the request. A [`Failure`] becomes
/// the error of the client's call; so does a panic.
///
/// ```no_run
/// # #[cfg(feature = "shared-memory")]
/// # fn main() -> anyipc::Result<()> {
/// # use anyipc::Peer;
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Add(u64, u64);
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Sum(u64);
/// # impl anyipc::Message for Add { const NAME: &'static str = "doc.Add/1"; }
/// # impl anyipc::Message for Sum { const NAME: &'static str = "doc.Sum/1"; }
/// anyipc::serve("shm://adder", |_peer: &Peer, add: Add| Ok(Sum(add.0 + add.1))).run()
/// # }
/// # #[cfg(not(feature = "shared-memory"))]
/// # fn main() {}
/// ```
pub fn serve<'h, Request, Response, F>(address: impl IntoAddress, handler: F) -> Server<'h, Request>
where
    Request: Message + DeserializeOwned + Send,
    Response: Message + Serialize,
    F: Fn(&Peer, Request) -> Result<Response, Failure> + Send + Sync + 'h,
{
    Server::single(Place::of(address), handler)
}

/// Answers each request at this address with a stream: what `handler` sends through its third
/// argument, until it returns. It serves when it [runs](Server::run).
///
/// Handlers run on threads, one unless [`concurrency`](Server::concurrency) says more.
/// [`Client::stream`](crate::Client::stream) asks for a stream; a plain call is answered with a
/// failure.
///
/// ```no_run
/// # #[cfg(feature = "shared-memory")]
/// # fn main() -> anyipc::Result<()> {
/// # use anyipc::{Peer, request::Outgoing};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Range(u64, u64);
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Number(u64);
/// # impl anyipc::Message for Range { const NAME: &'static str = "doc.Range/1"; }
/// # impl anyipc::Message for Number { const NAME: &'static str = "doc.Number/1"; }
/// anyipc::serve_stream("shm://counter", |_: &Peer, range: Range, out: &mut Outgoing<Number>| {
///     for number in range.0..range.1 {
///         out.send(&Number(number))?;
///     }
///     Ok(())
/// })
/// .run()
/// # }
/// # #[cfg(not(feature = "shared-memory"))]
/// # fn main() {}
/// ```
pub fn serve_stream<'h, Request, Response, F>(
    address: impl IntoAddress,
    handler: F,
) -> Server<'h, Request>
where
    Request: Message + DeserializeOwned + Send,
    Response: Message + Serialize,
    F: Fn(&Peer, Request, &mut Outgoing<Response>) -> Result<(), Failure> + Send + Sync + 'h,
{
    Server::stream(Place::of(address), handler)
}

impl Endpoint {
    /// As [`serve`], for an owner's endpoint that is there already.
    pub fn serve<'h, Request, Response, F>(self, handler: F) -> Server<'h, Request>
    where
        Request: Message + DeserializeOwned + Send,
        Response: Message + Serialize,
        F: Fn(&Peer, Request) -> Result<Response, Failure> + Send + Sync + 'h,
    {
        Server::single(Place::Endpoint(self), handler)
    }

    /// As [`serve_stream`], for an owner's endpoint that is there already.
    pub fn serve_stream<'h, Request, Response, F>(self, handler: F) -> Server<'h, Request>
    where
        Request: Message + DeserializeOwned + Send,
        Response: Message + Serialize,
        F: Fn(&Peer, Request, &mut Outgoing<Response>) -> Result<(), Failure> + Send + Sync + 'h,
    {
        Server::stream(Place::Endpoint(self), handler)
    }
}

impl Inbox {
    /// Answers each request with what `handler` returns, in this thread, as [`serve`]. Blocks until
    /// an error. Peers that opened a plain channel are disconnected.
    ///
    /// # Errors
    /// Those of [`Server::run`].
    pub fn serve<Request, Response>(
        &mut self,
        mut handler: impl FnMut(&Peer, Request) -> Result<Response, Failure>,
    ) -> Result<()>
    where
        Request: Message + DeserializeOwned,
        Response: Message + Serialize,
    {
        let names = Names::of::<Request, Response>();
        let hello = names.server_hello(self.endpoint())?;
        let codec = codec(self.endpoint());
        self.set_hello(hello);
        let mut serving = Serving::new(
            self,
            codec,
            names,
            Arc::new(Replies::new()),
            Kind::Single,
            Box::new(|_| {}),
        );
        serving.adopt();
        let result = run_here(&mut serving, |job, frame| {
            answer::respond(&mut handler, job, codec, frame);
        });
        drop(serving);
        self.set_hello(self.endpoint().hello());
        result
    }
}

impl Place {
    pub(crate) fn of(address: impl IntoAddress) -> Self {
        Self::Address(Registry::global().clone(), address.into_address())
    }

    pub(crate) fn create(self) -> Result<Endpoint> {
        match self {
            Self::Endpoint(endpoint) => Ok(endpoint),
            Self::Address(registry, address) => {
                registry.create(address.map_err(|e| e.during(Operation::Create))?)
            }
        }
    }
}

impl<'h, Request: DeserializeOwned + Send> Server<'h, Request> {
    fn single<Response, F>(place: Place, handler: F) -> Self
    where
        Request: Message,
        Response: Message + Serialize,
        F: Fn(&Peer, Request) -> Result<Response, Failure> + Send + Sync + 'h,
    {
        Self::new::<Response>(
            place,
            Kind::Single,
            Box::new(move |job, _, codec, frame| answer::respond(&handler, job, codec, frame)),
        )
    }

    fn stream<Response, F>(place: Place, handler: F) -> Self
    where
        Request: Message,
        Response: Message + Serialize,
        F: Fn(&Peer, Request, &mut Outgoing<Response>) -> Result<(), Failure> + Send + Sync + 'h,
    {
        Self::new::<Response>(
            place,
            Kind::Streams,
            Box::new(move |job, replies, codec, frame| {
                answer::stream(&handler, job, codec, replies, frame);
            }),
        )
    }

    fn new<Response: Message>(place: Place, kind: Kind, handler: Handler<'h, Request>) -> Self
    where
        Request: Message,
    {
        Self {
            place,
            handler,
            names: Names::of::<Request, Response>(),
            threads: (kind == Kind::Streams).then_some(1),
            kind,
            replies: Arc::new(Replies::new()),
            on_event: Box::new(|_| {}),
        }
    }

    /// Executes up to `calls` handlers at once, each on a thread that ends with the server; at
    /// least one. Without it, [`run`](Self::run) executes one after the other in its own thread.
    /// Clients take turns.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.threads = Some(calls.max(1));
        self
    }

    /// Calls `on_event` with what happens to the clients, in the thread of [`run`](Self::run).
    pub fn on_event(mut self, on_event: impl Fn(ServerEvent) + Send + 'h) -> Self {
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

    /// A handle that stops the server, from another thread or from a handler.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.replies))
    }

    /// Creates the object, unless it is there already, and serves. Blocks until the server is
    /// [stopped](Stopper::stop).
    ///
    /// # Errors
    /// Those of [`create`](crate::create); `Removed` (the name was removed: the calls that had come
    /// are answered first), `Forked`, `Unsupported` if the codec was not compiled in. The fault of
    /// a client ends its connection only.
    pub fn run(self) -> Result<()> {
        let Self { place, handler, names, threads, kind, replies, on_event } = self;
        let endpoint = place.create()?;
        let codec = codec(&endpoint);
        let hello = names.server_hello(&endpoint)?;
        let mut inbox = Inbox::with_hello(endpoint, hello)?;
        let shared = Arc::clone(&replies);
        let mut serving = Serving::new(&mut inbox, codec, names, shared, kind, on_event);
        match threads {
            None => run_here(&mut serving, |job, frame| handler(job, &replies, codec, frame)),
            Some(threads) => run_on_threads(&mut serving, threads, &replies, |job, frame| {
                handler(job, &replies, codec, frame);
            }),
        }
    }
}

impl<Request> fmt::Debug for Server<'_, Request> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Server");
        match &self.place {
            Place::Endpoint(endpoint) => debug.field("address", endpoint.address()),
            Place::Address(_, address) => debug.field("address", address),
        };
        debug.field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// Stops a [`Server`].
#[derive(Clone)]
pub struct Stopper(pub(crate) Arc<Replies>);

impl Stopper {
    /// Stops the server: calls that have arrived are answered, later ones are refused, and then
    /// [`Server::run`] returns. Does not block. A stream goes on until its handler returns.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl fmt::Debug for Stopper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stopper").field("stopped", &self.0.is_stopped()).finish()
    }
}

pub(crate) fn codec(endpoint: &Endpoint) -> CodecId {
    endpoint.settings().codec.unwrap_or_default()
}

/// Executes one job after the other in this thread.
fn run_here<Request: DeserializeOwned>(
    serving: &mut Serving<'_, Request>,
    mut execute: impl FnMut(Job<Request>, &mut Vec<u8>),
) -> Result<()> {
    let mut frame = Vec::new();
    while let Some(job) = serving.next(1)? {
        let (from, id) = (job.from, job.id);
        execute(job, &mut frame);
        serving.answer(from, id, &mut frame);
    }
    Ok(())
}

/// Executes jobs on threads, which end before this returns.
fn run_on_threads<Request: DeserializeOwned + Send>(
    serving: &mut Serving<'_, Request>,
    threads: usize,
    replies: &Replies,
    execute: impl Fn(Job<Request>, &mut Vec<u8>) + Sync,
) -> Result<()> {
    let jobs = Jobs::new();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(job) = jobs.next() {
                    let (to, id, mut frame) = (job.from, job.id, Vec::new());
                    execute(job, &mut frame);
                    replies.push(Reply { to, id, ends: true, frame });
                }
            });
        }
        let result = loop {
            match serving.next(threads) {
                Ok(Some(job)) => jobs.push(job),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        jobs.close();
        serving.cancel_all();
        result
    })
}
