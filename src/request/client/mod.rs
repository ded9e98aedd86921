//! Clients: calls by any number of threads and tasks over one connection, which is made anew when
//! the owner comes back.
//!
//! `calls` knows the protocol, `shared` has the connection and the calls of all handles, `lead`
//! waits as threads do. Tasks wait in `asynchronous::requests`.

pub(crate) mod calls;
pub(crate) mod lead;
mod pending;
pub(crate) mod resending;
pub(crate) mod shared;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Error, KEPT, Operation, Peer, Result};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use pending::Begun;
pub use pending::{Pending, Responses};
use shared::{Handle, Shared};

use crate::address::{Address, IntoAddress};
use crate::channel::message::Message;
use crate::registry::Registry;
use crate::request::Names;
use crate::request::frame::{Frame, MAX_CALLS};
use crate::wait::deadline;

/// How many items of a stream a server may send before the client takes some.
pub(crate) const WINDOW: u16 = 32;

/// What a [`Client`] tells about its connection, see [`ClientBuilder::on_event`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// It is connected to this owner.
    Connected(Peer),
    /// The connection has ended, for this reason: `Closed` (the owner left in order), `PeerGone`
    /// (it died), `Corrupt` (it broke the protocol). Calls that were sent and not answered fail,
    /// or wait to be repeated.
    Lost(Error),
    /// It looks for an owner, after it lost one.
    Reconnecting,
    /// So many calls, sent before and not answered, were sent again.
    Resent(usize),
}

/// What happens to calls that were sent and not answered when the connection is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Resend {
    /// They fail: each call is executed once at most.
    #[default]
    Never,
    /// They are sent again to the next owner: each call is executed at least once, as long as its
    /// time is not over, and perhaps twice. A stream of which an item has come fails all the same.
    AtLeastOnce,
}

type OnEvent = Box<dyn Fn(ClientEvent) + Send + Sync>;

pub(crate) struct Options {
    pub(crate) in_flight: usize,
    pub(crate) resend: Resend,
    pub(crate) on_event: Option<OnEvent>,
}

/// Calls a server, from any number of threads and tasks at once; clones are further handles of the
/// same client.
///
/// It survives its server: a call connects if there is no connection, and waits for the owner as
/// long as the address's `timeout`. Calls that were unanswered when the owner left fail, unless
/// [`Resend::AtLeastOnce`] repeats them; the next call finds the next owner. A request that could
/// not be sent was not executed, and is sent to the next owner in any case.
///
/// There is no thread behind it. Of the threads that wait for answers, one receives for all. The
/// first call of a task begins a task of its runtime that receives as long as the client lives.
/// Without calls, and without that task, the end of the connection is noticed at the next call.
///
/// The connection closes, and the server cancels its calls, when the last handle is dropped:
/// clients, [`Pending`] and [`Responses`].
pub struct Client<Request, Response> {
    pub(crate) handle: Handle,
    marker: PhantomData<fn(&Request) -> Response>,
}

/// How a [`Client`] is to be, from [`Client::builder`].
pub struct ClientBuilder<Request, Response> {
    registry: Registry,
    address: Result<Address>,
    options: Options,
    marker: PhantomData<fn(&Request) -> Response>,
}

impl<Request, Response> ClientBuilder<Request, Response>
where
    Request: Message + Serialize,
    Response: Message + DeserializeOwned,
{
    /// Limits the calls that are not over to `calls`, 1 to [`MAX_CALLS`], which is the default.
    /// Further calls wait. A call that is cancelled counts until the server has answered it.
    #[must_use]
    pub fn in_flight(mut self, calls: usize) -> Self {
        self.options.in_flight = calls;
        self
    }

    /// What happens to unanswered calls when the connection is lost.
    #[must_use]
    pub fn resend(mut self, resend: Resend) -> Self {
        self.options.resend = resend;
        self
    }

    /// Calls `on_event` with what happens to the connection. It runs in the thread or the task that
    /// noticed, and delays the calls of others as long as it takes. It must not call this client.
    #[must_use]
    pub fn on_event(mut self, on_event: impl Fn(ClientEvent) + Send + Sync + 'static) -> Self {
        self.options.on_event = Some(Box::new(on_event));
        self
    }

    /// Uses these transports instead of [`Registry::global`].
    #[must_use]
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = registry.clone();
        self
    }

    /// The client, connected. Blocks until the owner is there, as long as the address's `timeout`
    /// (5 s by default) at most.
    ///
    /// # Errors
    /// `NoOwner` if none came; `Mismatch` if it serves other types or no requests; those of
    /// [`connect`](crate::connect()) and of [`lazy`](Self::lazy).
    pub fn connect(self) -> Result<Client<Request, Response>> {
        let client = self.lazy()?;
        let shared = &client.handle.0;
        shared.ensure_connected().map_err(|e| e.during(Operation::Connect).at(&shared.address))?;
        Ok(client)
    }

    /// The client, without a connection: the first call connects, so that the owner may come later.
    ///
    /// # Errors
    /// A bad address or option; `Unsupported` if the codec was not compiled in.
    pub fn lazy(self) -> Result<Client<Request, Response>> {
        let address = self.address.map_err(|e| e.during(Operation::Connect))?;
        let settings = self.registry.settings(&address, Operation::Connect)?;
        let codec = settings.codec.unwrap_or_default();
        let codec = codec.available().map_err(|e| e.during(Operation::Connect).at(&address))?;
        let names = Names::of::<Request, Response>();
        let timeout = settings.timeout;
        let shared = Shared::new(self.registry, address, timeout, codec, names, self.options);
        Ok(Client { handle: Handle::new(Arc::new(shared)), marker: PhantomData })
    }
}

impl<Request, Response> Client<Request, Response>
where
    Request: Message + Serialize,
    Response: Message + DeserializeOwned,
{
    /// A client with default options, connected. Blocks as [`ClientBuilder::connect`].
    ///
    /// # Errors
    /// Those of [`ClientBuilder::connect`].
    pub fn connect(address: impl IntoAddress) -> Result<Self> {
        Self::builder(address).connect()
    }

    /// A client with options.
    pub fn builder(address: impl IntoAddress) -> ClientBuilder<Request, Response> {
        ClientBuilder {
            registry: Registry::global().clone(),
            address: address.into_address(),
            options: Options { in_flight: MAX_CALLS, resend: Resend::Never, on_event: None },
            marker: PhantomData,
        }
    }

    /// Sends a request and receives its response. Blocks until the server has answered, without a
    /// limit of time; without a connection until the owner is there, as long as the address's
    /// `timeout` at most.
    ///
    /// # Errors
    /// - `Failed`: the service answered with a [`Failure`](crate::Failure), or panicked;
    /// - `Closed`, `PeerGone`: the owner left or died before it answered, and may have acted on the
    ///   request; `Corrupt`: it broke the protocol;
    /// - `NoOwner`, `Mismatch` and others of [`connect`](crate::connect()): there is no connection;
    /// - `TimedOut`: of [`call_timeout`](Self::call_timeout);
    /// - `Codec`: the request cannot be written, or the response not be read;
    /// - `MessageTooLarge`, `Forked`;
    /// - `Busy`: the server stops, and has not begun the call.
    pub fn call(&self, request: &Request) -> Result<Response> {
        self.call_until(request, None)
    }

    /// As [`call`](Self::call), for `timeout` at most. The server knows how much time is left, and
    /// learns if this side gives up.
    ///
    /// # Errors
    /// `TimedOut`, and those of `call`.
    pub fn call_timeout(&self, request: &Request, timeout: Duration) -> Result<Response> {
        self.call_until(request, Some(timeout))
    }

    fn call_until(&self, request: &Request, timeout: Option<Duration>) -> Result<Response> {
        let until = deadline(timeout);
        self.encoded(request, timeout, 0, |bytes| {
            let shared = &self.handle.0;
            let id = self.begin(bytes, until, 0)?;
            Begun::new(&**shared, id, until).wait()
        })
    }

    /// Sends a request; [`Pending::wait`] receives the response. Many may be in flight at once.
    /// Blocks while there is no room to send, or no owner, as [`call`](Self::call).
    ///
    /// # Errors
    /// Those of `call` that come before an answer.
    pub fn start(&self, request: &Request) -> Result<Pending<Response>> {
        self.start_until(request, None)
    }

    /// As [`start`](Self::start), for `timeout` at most from here to the response.
    ///
    /// # Errors
    /// `TimedOut`, and those of `start`.
    pub fn start_timeout(&self, request: &Request, timeout: Duration) -> Result<Pending<Response>> {
        self.start_until(request, Some(timeout))
    }

    fn start_until(
        &self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Pending<Response>> {
        let until = deadline(timeout);
        self.encoded(request, timeout, 0, |bytes| {
            let id = self.begin(bytes, until, 0)?;
            let call = Begun::new(self.handle.clone(), id, until);
            call.wait_sent()?;
            Ok(Pending::new(call))
        })
    }

    /// Sends a request that is answered by a stream, see [`serve_stream`](crate::serve_stream).
    /// Blocks as [`start`](Self::start). From a server of single responses the stream has one item.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn stream(&self, request: &Request) -> Result<Responses<Response>> {
        self.stream_until(request, None)
    }

    /// As [`stream`](Self::stream), for `timeout` at most from here to the end of the stream.
    ///
    /// # Errors
    /// `TimedOut`, and those of `stream`.
    pub fn stream_timeout(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Responses<Response>> {
        self.stream_until(request, Some(timeout))
    }

    fn stream_until(
        &self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Responses<Response>> {
        let until = deadline(timeout);
        self.encoded(request, timeout, WINDOW, |bytes| {
            let id = self.begin(bytes, until, WINDOW)?;
            let call = Begun::new(self.handle.clone(), id, until);
            call.wait_sent()?;
            Ok(Responses::new(call))
        })
    }

    fn begin(&self, bytes: &mut [u8], until: Option<Instant>, window: u16) -> Result<u32> {
        let shared = &self.handle.0;
        shared.begin(bytes, until, window).map_err(|e| shared.explain(e))
    }

    /// Shows the encoded request, with an id that is still to be set, to `then`.
    pub(crate) fn encoded<R>(
        &self,
        request: &Request,
        left: Option<Duration>,
        window: u16,
        then: impl FnOnce(&mut Vec<u8>) -> Result<R>,
    ) -> Result<R> {
        thread_local! {
            /// The bytes of the last request of this thread.
            static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
        }
        let mut bytes = SCRATCH.take();
        bytes.clear();
        bytes.extend(Frame::Request { id: 0, left, window }.encode());
        let shared = &self.handle.0;
        let encoded = shared.codec.encode(request, &mut bytes).map_err(|e| shared.explain(e));
        let result = encoded.and_then(|()| then(&mut bytes));
        if bytes.capacity() <= KEPT {
            SCRATCH.set(bytes);
        }
        result
    }

    /// The owner's address.
    pub fn address(&self) -> &Address {
        &self.handle.0.address
    }

    /// True if there is a connection, as far as is known.
    pub fn is_connected(&self) -> bool {
        self.handle.0.lock().up
    }

    /// How many calls are not over, those included that were cancelled and not answered yet.
    pub fn in_flight(&self) -> usize {
        self.handle.0.lock().calls.len()
    }
}

impl<Request, Response> Clone for Client<Request, Response> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), marker: PhantomData }
    }
}

impl<Request, Response> fmt::Debug for Client<Request, Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.handle.0;
        let state = shared.lock();
        f.debug_struct("Client")
            .field("address", &shared.address)
            .field("connected", &state.up)
            .field("in_flight", &state.calls.len())
            .finish()
    }
}

impl<Request, Response> fmt::Debug for ClientBuilder<Request, Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("address", &self.address).finish_non_exhaustive()
    }
}
