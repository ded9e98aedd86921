//! Calls that have begun: one response, or a stream of them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::MutexGuard;
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use serde::de::DeserializeOwned;

use super::calls::Progress;
use super::lead::Waited;
use super::shared::{Handle, Shared, State};

/// A call that has begun. Its drop cancels it, unless it is over.
pub(crate) struct Begun<S: Deref<Target = Shared>> {
    pub(crate) shared: S,
    pub(crate) id: u32,
    pub(crate) deadline: Option<Instant>,
    /// The call is removed: there is nothing to cancel.
    over: bool,
}

impl<S: Deref<Target = Shared>> Begun<S> {
    pub(crate) fn new(shared: S, id: u32, deadline: Option<Instant>) -> Self {
        Self { shared, id, deadline, over: false }
    }

    pub(super) fn wait_sent(&self) -> Result<()> {
        self.shared.wait_sent(self.id, self.deadline).map_err(|e| self.shared.explain(e))
    }

    /// Receives the response of a call without a stream.
    pub(super) fn wait<Response: DeserializeOwned>(mut self) -> Result<Response> {
        let codec = self.shared.codec;
        let mut response = None;
        let mut read = |payload: &[u8]| response = Some(codec.decode(payload));
        match self.shared.wait(self.id, self.deadline, Some(&mut read)) {
            Ok(Waited::Read) => {
                self.over = true;
                match response {
                    Some(response) => response,
                    None => Err(Error::new(Operation::Call, ErrorKind::Corrupt)),
                }
            }
            Ok(Waited::News(mut state)) => {
                self.over = true;
                let outcome = take_outcome(&mut state, self.id);
                drop(state);
                outcome.and_then(|payload| codec.decode(&payload))
            }
            Err(error) => Err(error),
        }
        .map_err(|e| self.shared.explain(e))
    }

    /// The outcome of a call without a stream, after it has come; for tasks.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_take<Response: DeserializeOwned>(&mut self) -> Result<Response> {
        self.over = true;
        let outcome = take_outcome(&mut self.shared.lock(), self.id);
        outcome
            .and_then(|payload| self.shared.codec.decode(&payload))
            .map_err(|e| self.shared.explain(e))
    }

    /// Takes the next item of a stream, or its end, after something has come for it.
    pub(crate) fn take_item<Response: DeserializeOwned>(
        &mut self,
        mut state: MutexGuard<'_, State>,
    ) -> Option<Result<Response>> {
        let taken = state.calls.get(self.id).and_then(|call| {
            let stream = call.stream.as_mut()?;
            let item = stream.items.pop_front()?;
            stream.taken += 1;
            // What is over needs no more credit.
            let goes_on = !matches!(call.progress, Progress::Done(_));
            Some((item, if goes_on { stream.credit() } else { None }))
        });
        let payload = match taken {
            Some((item, credit)) => {
                if let Some(items) = credit {
                    Shared::grant(&mut state, self.id, items);
                }
                Ok(item)
            }
            None => {
                self.over = true;
                match take_outcome(&mut state, self.id) {
                    Ok(_) => return None,
                    Err(error) => Err(error),
                }
            }
        };
        drop(state);
        let item = payload.and_then(|payload| self.shared.codec.decode(&payload));
        Some(item.map_err(|e| self.shared.explain(e)))
    }
}

impl<S: Deref<Target = Shared>> Drop for Begun<S> {
    fn drop(&mut self) {
        if !self.over {
            self.shared.abandon(self.id);
        }
    }
}

fn take_outcome(state: &mut State, id: u32) -> Result<Vec<u8>> {
    match state.calls.remove(id) {
        Some(Progress::Done(outcome)) => outcome,
        _ => Err(Error::new(Operation::Call, ErrorKind::Closed)),
    }
}

/// A call that was sent, from [`Client::start`](crate::Client::start).
///
/// With the feature `tokio` it is a future, too. Dropping it cancels the call: the server is told.
#[must_use = "dropping it cancels the call"]
pub struct Pending<Response> {
    pub(crate) call: Begun<Handle>,
    marker: PhantomData<fn() -> Response>,
}

impl<Response: DeserializeOwned> Pending<Response> {
    pub(crate) fn new(call: Begun<Handle>) -> Self {
        Self { call, marker: PhantomData }
    }

    /// Receives the response. Blocks until it is there, or the time of
    /// [`start_timeout`](crate::Client::start_timeout) is over.
    ///
    /// # Errors
    /// Those of [`Client::call`](crate::Client::call).
    pub fn wait(self) -> Result<Response> {
        self.call.wait()
    }
}

impl<Response> fmt::Debug for Pending<Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("id", &self.call.id).finish_non_exhaustive()
    }
}

/// The stream that answers a request, from [`Client::stream`](crate::Client::stream): an iterator.
/// Its `next` blocks until there is an item, the stream has ended, or its time is over.
///
/// The server may send 32 items that were not taken yet. After an error the stream has ended.
/// Dropping it cancels the call: the server is told.
#[must_use = "dropping it cancels the call"]
pub struct Responses<Response> {
    /// `None` after the end.
    pub(crate) call: Option<Begun<Handle>>,
    marker: PhantomData<fn() -> Response>,
}

impl<Response: DeserializeOwned> Responses<Response> {
    pub(crate) fn new(call: Begun<Handle>) -> Self {
        Self { call: Some(call), marker: PhantomData }
    }

    /// What a step of the stream has given; without an item the stream is over.
    pub(crate) fn step(&mut self, item: Option<Result<Response>>) -> Option<Result<Response>> {
        if !matches!(item, Some(Ok(_))) {
            self.call = None;
        }
        item
    }
}

impl<Response: DeserializeOwned> Iterator for Responses<Response> {
    type Item = Result<Response>;

    fn next(&mut self) -> Option<Result<Response>> {
        let call = self.call.as_mut()?;
        // The guard borrows the shared state beside the call.
        let handle = call.shared.clone();
        let item = match handle.wait(call.id, call.deadline, None) {
            Ok(Waited::News(state)) => call.take_item(state),
            Ok(Waited::Read) => None,
            Err(error) => Some(Err(handle.explain(error))),
        };
        self.step(item)
    }
}

impl<Response> fmt::Debug for Responses<Response> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.call.as_ref().map(|call| call.id);
        f.debug_struct("Responses").field("id", &id).finish_non_exhaustive()
    }
}
