use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use anyipc_core::{Error, Interest, Operation, Result, Source};
use anyipc_os::Readiness;
use tokio::runtime::Id;

/// A handle is ready while it is signalled (level-triggered).
pub(crate) const EDGES: bool = false;

/// The runtime has no reactor for handles. The system's pool of waiting threads wakes the task.
pub(crate) struct Registered(Source);

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Arc::as_ptr(&self.0).fmt(f)
    }
}

impl Registered {
    pub(crate) fn new(source: Source, _runtime: Id) -> Result<Self> {
        Ok(Self(source))
    }

    /// True if this is the source. Any runtime will do.
    pub(crate) fn is(&self, source: &Source, _runtime: Id) -> bool {
        Arc::ptr_eq(&self.0, source)
    }
}

/// Waits for a readiness.
pub(crate) async fn wait_ready(registered: Arc<Registered>, _interest: Interest) -> Result<()> {
    let mut watched: Option<Readiness> = None;
    poll_fn(|cx| {
        let watched = match &mut watched {
            Some(watched) => watched,
            none => match Readiness::new(&registered.0, cx.waker()) {
                Ok(begun) => none.insert(begun),
                Err(error) => {
                    return Poll::Ready(Err(Error::io(
                        Operation::Connect,
                        "waiting for a handle",
                        error,
                    )));
                }
            },
        };
        if watched.poll(cx.waker()) { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
