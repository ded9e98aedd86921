//! Opening an object without blocking the runtime's own threads.

use std::future::Future;
use std::panic::resume_unwind;
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout_at};

use crate::endpoint::Endpoint;
use crate::registry::opening::Opening;

/// Attempts on a thread for blocking calls until the object is there, or the opening's deadline. An attempt that is given
/// up goes on there for as long as it may, and what it opens is closed.
pub(super) async fn open(mut opening: Opening) -> Result<Endpoint> {
    let deadline = opening.deadline();
    loop {
        let late = opening.if_late();
        let attempt = spawn_blocking(move || (opening.attempt(), opening));
        let (tried, back) = match by(deadline, attempt).await.ok_or_else(late)? {
            Ok(done) => done,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => {
                return Err(Error::new(Operation::Connect, ErrorKind::Io)
                    .because("the runtime is shutting down")
                    .from_source(error));
            }
        };
        opening = back;
        match tried {
            Err(error) if error.is_would_block() => {}
            done => return done.map_err(|error| opening.explain(error)),
        }
        let late = opening.if_late();
        by(deadline, sleep(opening.pause())).await.ok_or_else(late)?;
    }
}

/// `None` at the deadline.
async fn by<F: Future>(deadline: Option<Instant>, future: F) -> Option<F::Output> {
    match deadline {
        Some(at) => timeout_at(at.into(), future).await.ok(),
        None => Some(future.await),
    }
}
