use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use anyipc_core::{Interest, Source};

/// Handles cannot be waited for here yet: look again soon.
pub(crate) fn poll(_sources: &[(Source, Interest)], timeout: Duration) {
    std::thread::sleep(timeout.min(Duration::from_millis(1)));
}

/// A waker that a thread can poll together with other sources.
pub(crate) struct Bell(AtomicBool);

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self(AtomicBool::new(false)))
    }

    pub(crate) fn source(&self) -> Option<Source> {
        None
    }

    /// Makes it silent again. True if it had been rung.
    pub(crate) fn silence(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}
