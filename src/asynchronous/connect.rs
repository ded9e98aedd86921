//! Connecting and accepting without blocking the runtime's own threads.

use std::future::Future;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Hello, Operation, Result, Role};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout_at};

use super::channel::AsyncChannel;
use super::reactor::check_runtime;
use super::registration::Retained;
use super::wait::wait;
use crate::address::IntoAddress;
use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::endpoint::next_channel::NextChannel;
use crate::registry::Registry;
use crate::registry::opening::Opening;
use crate::wait::deadline;

impl Endpoint {
    /// As [`accept`](Self::accept), async. Cancel-safe.
    ///
    /// # Errors
    /// Those of `accept`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn accept_async(&self) -> Result<AsyncChannel> {
        self.next_async(Role::Owner, self.hello(), None).await?.into_async()
    }

    /// As [`connect`](Self::connect), async. Cancel-safe.
    ///
    /// # Errors
    /// Those of `connect`; `Unsupported` outside of a tokio runtime.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn connect_async(&self) -> Result<AsyncChannel> {
        let deadline = deadline(Some(self.settings().timeout));
        self.next_async(Role::Opener, self.hello(), deadline).await?.into_async()
    }

    /// Accepts or connects with this hello.
    pub(super) async fn next_async(
        &self,
        role: Role,
        hello: Hello,
        deadline: Option<Instant>,
    ) -> Result<Channel> {
        check_runtime().map_err(|e| e.at(self.address()))?;
        self.wait_for(NextChannel::new(self, role, hello)?, deadline).await
    }

    pub(super) async fn wait_for(
        &self,
        mut next: NextChannel<'_>,
        deadline: Option<Instant>,
    ) -> Result<Channel> {
        let operation = next.operation();
        let mut retained = Retained::default();
        wait(&mut next, &self.reactor, &mut retained, operation, deadline, NextChannel::try_next)
            .await
            .map_err(|error| next.explain(error))
    }
}

impl Registry {
    /// Opens a live object, as [`open_async`] with this registry. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`open_async`].
    pub async fn open_async(&self, address: impl IntoAddress) -> Result<Endpoint> {
        check_runtime()?;
        let (registry, operation) = (self.clone(), Operation::Open);
        let address = address.into_address().map_err(|e| e.during(operation))?;
        on_a_thread(operation, move || registry.open(address)).await?
    }

    /// Opens an object and waits for it, as [`open_timeout_async`] with this registry. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`open_timeout_async`].
    ///
    /// # Panics
    /// In a tokio runtime without time.
    pub async fn open_timeout_async(
        &self,
        address: impl IntoAddress,
        timeout: Duration,
    ) -> Result<Endpoint> {
        check_runtime()?;
        open(self.opening(address, Some(timeout))?).await
    }

    /// Opens and connects, as [`connect_async`] with this registry. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`connect_async`].
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn connect_async(&self, address: impl IntoAddress) -> Result<AsyncChannel> {
        let (endpoint, deadline) = self.opened_async(address).await?;
        endpoint.next_async(Role::Opener, endpoint.hello(), deadline).await?.into_async()
    }

    /// The object, once it is there, and the end of the time for connecting to its owner.
    pub(super) async fn opened_async(
        &self,
        address: impl IntoAddress,
    ) -> Result<(Endpoint, Option<Instant>)> {
        check_runtime()?;
        let opening = self.opening(address, None)?;
        let deadline = opening.deadline();
        Ok((open(opening).await?, deadline))
    }
}

/// As [`connect`](crate::connect()), async. Cancel-safe. What may block, such as looking up the
/// name of a host, runs on a thread of the runtime for blocking calls.
///
/// # Errors
/// Those of `connect`; `Unsupported` outside of a tokio runtime.
///
/// # Panics
/// In a tokio runtime without I/O and time.
pub async fn connect_async(address: impl IntoAddress) -> Result<AsyncChannel> {
    Registry::global().connect_async(address).await
}

/// As [`open`](crate::open()), async: on a thread of the runtime for blocking calls. Cancel-safe:
/// an object that is opened for a dropped future is closed.
///
/// # Errors
/// Those of `open`; `Unsupported` outside of a tokio runtime.
pub async fn open_async(address: impl IntoAddress) -> Result<Endpoint> {
    Registry::global().open_async(address).await
}

/// As [`open_timeout`](crate::open_timeout), async. Cancel-safe, as [`open_async`].
///
/// # Errors
/// Those of `open_timeout`; `Unsupported` outside of a tokio runtime.
///
/// # Panics
/// In a tokio runtime without time.
pub async fn open_timeout_async(address: impl IntoAddress, timeout: Duration) -> Result<Endpoint> {
    Registry::global().open_timeout_async(address, timeout).await
}

/// Runs `blocking` on a thread of the runtime for blocking calls.
pub(super) async fn on_a_thread<T: Send + 'static>(
    operation: Operation,
    blocking: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    match spawn_blocking(blocking).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(error) => Err(Error::new(operation, ErrorKind::Io)
            .because("the runtime is shutting down")
            .from_source(error)),
    }
}

/// Tries on a thread for blocking calls until the object is open, or until the opening's deadline.
/// A try that is abandoned goes on there until its own deadline, and what it opens is closed.
async fn open(mut opening: Opening) -> Result<Endpoint> {
    let deadline = opening.deadline();
    loop {
        let late = opening.if_late();
        let operation = opening.operation();
        let attempt = on_a_thread(operation, move || (opening.try_open(), opening));
        let (tried, back) = by(deadline, attempt).await.ok_or_else(late)??;
        opening = back;
        match tried {
            Err(error) if error.is_would_block() => {}
            done => return done.map_err(|error| opening.explain(error)),
        }
        let late = opening.if_late();
        by(deadline, sleep(opening.pause())).await.ok_or_else(late)?;
    }
}

/// The output of the future; `None` at the deadline.
pub(super) async fn by<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(at) => timeout_at(at.into(), future).await.ok(),
        None => Some(future.await),
    }
}
