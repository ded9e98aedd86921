//! The async calls, for tokio: the only module that names it. They use the transports' own
//! non-blocking calls and add no thread, but for opening (`connect`).
//!
//! `channel`, `queue`, `inbox`, `connect`, `first` are the public calls, each a `wait` with the
//! same attempt as its blocking twin; `typed` and `typed_inbox` are for values. `wait` tries, spins
//! (`spin`), and sleeps by a `registration` with the `reactor`. `reactor` uses only `sys`: an
//! endpoint can hold one.

#[cfg(feature = "tokio-util")]
mod adaptor;
mod channel;
mod connect;
mod first;
mod inbox;
mod queue;
pub(crate) mod reactor;
mod registration;
#[cfg(feature = "serde")]
mod requests;
#[cfg(feature = "single-instance")]
mod single_instance;
mod spin;
mod stop;
mod sys;
mod turn;
#[cfg(feature = "serde")]
mod typed;
#[cfg(feature = "serde")]
mod typed_inbox;
mod wait;

#[cfg(any(feature = "shared-memory", feature = "single-instance"))]
use anyipc_core::{Operation, Result};

#[cfg(any(feature = "shared-memory", feature = "single-instance"))]
use crate::wait::Waitable;
#[cfg(feature = "tokio-util")]
pub use adaptor::Io;
#[cfg(feature = "futures")]
pub use adaptor::{Framed, Incoming, Listener};
pub use channel::{AsyncChannel, AsyncReceiver, AsyncSender};
pub use connect::{connect_async, open_async, open_timeout_async};
pub use first::first_async;
#[cfg(feature = "serde")]
pub use first::first_typed_async;
pub use inbox::{AsyncInbox, AsyncInboxSender};
pub use queue::AsyncQueue;
#[cfg(all(feature = "serde", feature = "tower"))]
pub use requests::TowerService;
#[cfg(feature = "serde")]
pub use requests::{AsyncOutgoing, AsyncServer, Service, serve_async, serve_stream_async};
#[cfg(feature = "serde")]
pub use typed::{AsyncTypedChannel, AsyncTypedReceiver, AsyncTypedSender, connect_typed_async};
#[cfg(feature = "serde")]
pub use typed_inbox::{AsyncTypedInbox, AsyncTypedInboxSender};
/// Waits for something that keeps nothing from one wait to the next.
///
/// # Errors
/// `Unsupported` outside of a tokio runtime, and those of [`wait::wait`].
#[cfg(any(feature = "shared-memory", feature = "single-instance"))]
pub(crate) async fn wait_once<W: Waitable, R>(
    on: &mut W,
    operation: Operation,
    attempt: impl FnMut(&mut W) -> Result<R>,
) -> Result<R> {
    reactor::check_runtime()?;
    let (reactor, mut retained) = (reactor::Reactor::default(), registration::Retained::default());
    wait::wait(on, &reactor, &mut retained, operation, None, attempt).await
}
