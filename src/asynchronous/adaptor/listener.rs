//! The channels of an owner as a stream.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyipc_core::{Error, ErrorKind, Operation, Result, Role};
use futures_core::Stream;
use tokio_util::sync::ReusableBoxFuture;

use crate::address::{Address, IntoAddress};
use crate::asynchronous::AsyncChannel;
use crate::asynchronous::reactor::check_runtime;
use crate::endpoint::Endpoint;
use crate::registry::Registry;

/// An owner that accepts in tasks. Clones accept for the same owner.
#[derive(Debug, Clone)]
pub struct Listener(Arc<Endpoint>);

impl Listener {
    /// Accepts for this owner.
    ///
    /// # Errors
    /// `WrongRole` for an opener's endpoint; `Unsupported` outside of a tokio runtime.
    pub fn new(endpoint: Endpoint) -> Result<Self> {
        check_runtime().map_err(|e| e.at(endpoint.address()))?;
        if endpoint.role() != Role::Owner {
            return Err(Error::new(Operation::Accept, ErrorKind::WrongRole)
                .because("a listener is the owner's; an opener connects")
                .at(endpoint.address()));
        }
        Ok(Self(Arc::new(endpoint)))
    }

    /// Creates the named object and accepts for it, as [`create`](crate::create()).
    ///
    /// # Errors
    /// Those of [`create`](crate::create()) and of [`new`](Self::new).
    pub fn bind(address: impl IntoAddress) -> Result<Self> {
        Self::new(Registry::global().create(address)?)
    }

    /// Accepts a peer, as [`Endpoint::accept_async`]. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Endpoint::accept`].
    pub async fn accept(&self) -> Result<AsyncChannel> {
        self.0.accept_async().await
    }

    /// The peers that connect, as a stream.
    pub fn incoming(self) -> Incoming {
        let accepting = ReusableBoxFuture::new(accept(Arc::clone(&self.0)));
        Incoming { endpoint: self.0, accepting, ended: false }
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0
    }

    /// The address of the owner. Port 0 is replaced by the port that the system chose.
    pub fn address(&self) -> &Address {
        self.0.address()
    }
}

/// The peers that connect to an owner, from [`Listener::incoming`].
///
/// The fault of a connector is no item: [`Endpoint::rejections`] counts it. What is an error for
/// [`Endpoint::accept`] is an item, and the stream goes on: such as `Removed`, once a second, while
/// the name is gone. It ends after `Forked` only.
pub struct Incoming {
    endpoint: Arc<Endpoint>,
    accepting: ReusableBoxFuture<'static, Result<AsyncChannel>>,
    ended: bool,
}

async fn accept(endpoint: Arc<Endpoint>) -> Result<AsyncChannel> {
    endpoint.accept_async().await
}

impl Stream for Incoming {
    type Item = io::Result<AsyncChannel>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let accepted = ready!(self.accepting.poll(cx));
        let next = accept(Arc::clone(&self.endpoint));
        self.accepting.set(next);
        self.ended = accepted.as_ref().is_err_and(|error| error.kind() == ErrorKind::Forked);
        Poll::Ready(Some(accepted.map_err(io::Error::from)))
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
