//! Requests and responses: many calls at once over one channel.
//!
//! A server answers requests, of one type with responses of another. A [`Client`] calls it, from
//! any number of threads and tasks, and survives the server's restarts.
//!
//! ```
//! # #[cfg(all(feature = "in-process", feature = "postcard"))]
//! # fn main() -> anyipc::Result<()> {
//! use anyipc::{Client, Failure, Peer};
//! # use serde::{Deserialize, Serialize};
//! #[derive(Serialize, Deserialize)]
//! struct Open { path: String, line: u32 }
//! impl anyipc::Message for Open { const NAME: &'static str = "edix.Open/1"; }
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! struct Opened { window: u32 }
//! impl anyipc::Message for Opened { const NAME: &'static str = "edix.Opened/1"; }
//!
//! let server = anyipc::serve("inproc://request.doc", |_peer: &Peer, open: Open| {
//!     if open.path.is_empty() {
//!         return Err(Failure::new(404, "no such file"));
//!     }
//!     Ok(Opened { window: open.line / 60 })
//! });
//! let stopper = server.stopper();
//! let server = std::thread::spawn(|| server.run());
//!
//! let client: Client<Open, Opened> = Client::connect("inproc://request.doc")?;
//! assert_eq!(client.call(&Open { path: "main.rs".into(), line: 130 })?, Opened { window: 2 });
//! let error = client.call(&Open { path: String::new(), line: 1 }).unwrap_err();
//! assert_eq!(Failure::of(&error).unwrap().code(), 404);
//! stopper.stop();
//! server.join().unwrap()
//! # }
//! # #[cfg(not(all(feature = "in-process", feature = "postcard")))]
//! # fn main() {}
//! ```
//!
//! # Promises
//! - **One answer for each request**: the response, or an [`Error`]. A handler that
//!   panics answers with a failure, and harms no other call.
//! - **Bounded.** At most [`MAX_CALLS`] calls of a client are in flight, and at most four times
//!   `max_message` bytes of their requests; a call that finds no room waits for it. A server keeps
//!   as much for each peer, and refuses what is beyond as [`Cause::Busy`].
//! - **No deadlock when both are full.** A server always reads: responses that a client does not
//!   take yet wait in its memory, within the bound above, and delay no other client.
//! - **Cancelled calls are told.** A call that times out or is dropped sends a cancel: its handler
//!   is not begun, or, as a task, is dropped. The time left travels with the request as a duration,
//!   so that clocks need not agree.
//! - **Bad peers.** Garbage, an id that is used twice, an answer to an unknown call end the
//!   connection, with an error that says so; other peers are not affected.
//!
//! Messages of one channel follow each other: a long response delays those behind it by as long as
//! it takes to copy. `docs/design/requests.md` has the wire format and the reasons.

pub(crate) mod client;
pub(crate) mod failure;
pub(crate) mod frame;
pub(crate) mod server;

use anyipc_core::{Error, ErrorKind, Hello, MAX_TYPE_NAME, Operation, Peer, Result};

#[cfg(feature = "tower")]
pub use crate::asynchronous::TowerService;
#[cfg(feature = "tokio")]
pub use crate::asynchronous::{AsyncOutgoing, AsyncServer};
pub use client::{Client, ClientBuilder, ClientEvent, Pending, Resend, Responses};
pub use failure::{Cause, Failure};
pub use frame::{Frame, HEAD, MAX_CALLS};
pub use server::answer::Outgoing;
pub use server::{Server, ServerEvent, Stopper, serve, serve_stream};

use crate::channel::message::{Message, checked_name};
use crate::endpoint::Endpoint;

/// How many times `max_message` the requests in flight of one channel may have in bytes.
const MAX_BYTES: usize = 4;

/// The most bytes of requests in flight of a channel with this `max_message`.
pub(crate) fn max_bytes(max_message: usize) -> usize {
    max_message.saturating_mul(MAX_BYTES)
}

/// The names of a request channel in the handshake: those of its types, marked, so that no channel
/// of the bare types matches.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    request: String,
    response: String,
}

impl Names {
    pub(crate) fn of<Request: Message, Response: Message>() -> Self {
        const MARK: usize = "response/1 ".len();
        const {
            assert!(
                Request::NAME.len() + MARK <= MAX_TYPE_NAME
                    && Response::NAME.len() + MARK <= MAX_TYPE_NAME,
                "the name of a type of requests or responses has more than 244 bytes"
            );
        }
        Self {
            request: format!("request/1 {}", checked_name::<Request>()),
            response: format!("response/1 {}", checked_name::<Response>()),
        }
    }

    /// What a client says in its handshake.
    ///
    /// # Errors
    /// `Unsupported` if the codec was not compiled in.
    pub(crate) fn client_hello(&self, endpoint: &Endpoint) -> Result<Hello> {
        hello(endpoint, Operation::Connect, &self.request, &self.response)
    }

    /// What a server says in its handshake.
    ///
    /// # Errors
    /// `Unsupported` if the codec was not compiled in.
    pub(crate) fn server_hello(&self, endpoint: &Endpoint) -> Result<Hello> {
        hello(endpoint, Operation::Accept, &self.response, &self.request)
    }

    /// Refuses an owner that named no types in its handshake: it serves no requests.
    ///
    /// # Errors
    /// `Mismatch`.
    pub(crate) fn check_server(&self, server: &Peer) -> Result<()> {
        if server.hello.receives.is_some() {
            return Ok(());
        }
        Err(Error::new(Operation::Connect, ErrorKind::Mismatch)
            .because("the owner there accepts plain messages and serves no requests"))
    }

    /// True for a peer that named the types of this request channel.
    pub(crate) fn are_of(&self, client: &Peer) -> bool {
        client.hello.sends.as_deref() == Some(&self.request)
    }
}

fn hello(endpoint: &Endpoint, operation: Operation, sends: &str, takes: &str) -> Result<Hello> {
    let codec = endpoint.settings().codec.unwrap_or_default();
    let codec = codec.available().map_err(|e| e.during(operation).at(endpoint.address()))?;
    Ok(Hello {
        codec: codec.id(),
        sends: Some(sends.to_owned()),
        receives: Some(takes.to_owned()),
        ..endpoint.hello()
    })
}
