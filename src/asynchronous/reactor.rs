//! Sources as the runtime's reactor knows them. Each is registered once, and all that wait for it
//! share it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyipc_core::{Error, ErrorKind, Operation, Result, Source};
use tokio::runtime::{Handle, Id};

use super::sys::Registered;

/// The registered sources of a channel or queue. Its halves may have two sources, and may wait in
/// two runtimes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reactor(Arc<Mutex<Vec<Arc<Registered>>>>);

/// The source of an endpoint's attempts. It is registered only while one of them waits, because the
/// source of a finished attempt becomes its channel's.
#[derive(Debug, Default)]
pub(crate) struct SharedReactor(Mutex<Weak<Registered>>);

/// A [`Reactor`] or a [`SharedReactor`].
pub(super) trait Register: Sync {
    fn register(&self, source: Source) -> Result<Arc<Registered>>;
}

impl Register for Reactor {
    fn register(&self, source: Source) -> Result<Arc<Registered>> {
        let runtime = runtime()?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registered) = all.iter().find(|registered| registered.is(&source, runtime)) {
            return Ok(Arc::clone(registered));
        }
        // Without the sources that nothing waits for: they may be of a runtime that has ended.
        all.retain(|registered| Arc::strong_count(registered) > 1);
        let registered = Arc::new(Registered::new(source, runtime)?);
        all.push(Arc::clone(&registered));
        Ok(registered)
    }
}

impl Register for SharedReactor {
    fn register(&self, source: Source) -> Result<Arc<Registered>> {
        let runtime = runtime()?;
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(registered) =
            slot.upgrade().filter(|registered| registered.is(&source, runtime))
        {
            return Ok(registered);
        }
        let registered = Arc::new(Registered::new(source, runtime)?);
        *slot = Arc::downgrade(&registered);
        Ok(registered)
    }
}

/// Returns `Unsupported` if there is no runtime to register with.
pub(super) fn check_runtime() -> Result<()> {
    runtime().map(drop)
}

/// The runtime of the caller. A source that was registered with another one may have ended with it.
fn runtime() -> Result<Id> {
    Handle::try_current().map(|runtime| runtime.id()).map_err(|error| {
        Error::new(Operation::Connect, ErrorKind::Unsupported)
            .because("async calls need a tokio runtime around them")
            .from_source(error)
    })
}
