//! Clients as services of tower, and the other way round.

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use anyipc_core::{Error, Peer, Result};
use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};

use super::service::Service;
use crate::channel::message::Message;
use crate::request::{Client, Failure};

/// Calls the server, so that tower's layers (timeouts, limits, retries) go around a client. It is
/// always ready: a call waits for room itself.
impl<Request, Response> tower_service::Service<Request> for Client<Request, Response>
where
    Request: Message + Serialize + 'static,
    Response: Message + DeserializeOwned + 'static,
{
    type Response = Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(self.call_async(&request))
    }
}

/// A service of tower as a [`Service`] of [`serve_async`](crate::serve_async). Each call has a
/// clone, which is made ready first. An error becomes a [`Failure`] with its text and the code 0.
#[derive(Debug, Clone)]
pub struct TowerService<S>(pub S);

#[async_trait]
impl<S, Request> Service<Request, S::Response> for TowerService<S>
where
    S: tower_service::Service<Request, Error: Display + Send, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    Request: Send + 'static,
    S::Response: Send,
{
    async fn call(&self, _peer: &Peer, request: Request) -> Result<S::Response, Failure> {
        let mut service = self.0.clone();
        let failed = |error: S::Error| Failure::new(0, error.to_string());
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
        service.call(request).await.map_err(failed)
    }
}
