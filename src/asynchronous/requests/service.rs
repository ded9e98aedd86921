//! What a server of tasks calls.

use std::future::Future;

use anyipc_core::{Peer, Result};
use async_trait::async_trait;

use crate::request::Failure;

/// Answers requests as a task: what [`serve_async`](crate::serve_async) takes. Closures that return
/// a future are services, too.
///
/// A trait object works: `Box<dyn Service<Request, Response>>`. `anyipc::async_trait` is the
/// attribute to implement it with:
///
/// ```
/// # #[cfg(feature = "postcard")] {
/// use anyipc::{Failure, Peer, Service, async_trait};
///
/// struct Adder;
///
/// #[async_trait]
/// impl Service<(u64, u64), u64> for Adder {
///     async fn call(&self, _peer: &Peer, numbers: (u64, u64)) -> Result<u64, Failure> {
///         numbers.0.checked_add(numbers.1).ok_or(Failure::new(1, "too large"))
///     }
/// }
/// let _: Box<dyn Service<(u64, u64), u64>> = Box::new(Adder);
/// # }
/// ```
#[async_trait]
pub trait Service<Request, Response>: Send + Sync {
    /// Answers one request of this client.
    ///
    /// **It may be dropped at any `await`**: when the client cancels the call or leaves, when the
    /// time for the call is over, and when the server is dropped. What must not stay half-done
    /// belongs into a task of its own (`tokio::spawn`), or after the last `await`. If it panics,
    /// the client's call fails, and no other.
    async fn call(&self, peer: &Peer, request: Request) -> Result<Response, Failure>;
}

#[async_trait]
impl<Request, Response, F, Answer> Service<Request, Response> for F
where
    Request: Send + 'static,
    F: Fn(&Peer, Request) -> Answer + Send + Sync,
    Answer: Future<Output = Result<Response, Failure>> + Send,
{
    async fn call(&self, peer: &Peer, request: Request) -> Result<Response, Failure> {
        self(peer, request).await
    }
}

#[async_trait]
impl<Request, Response> Service<Request, Response> for Box<dyn Service<Request, Response>>
where
    Request: Send + 'static,
    Response: 'static,
{
    async fn call(&self, peer: &Peer, request: Request) -> Result<Response, Failure> {
        (**self).call(peer, request).await
    }
}
