use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use anyipc_os::{Event, sleep_on};

/// Sleeps until a source is ready or the time has passed.
pub(crate) fn poll(sources: &[(Source, Interest)], timeout: Duration) {
    let _ = sleep_on(sources, timeout);
}

/// A waker that a thread can poll together with other sources.
pub(crate) struct Bell {
    rung: AtomicBool,
    event: Arc<Event>,
}

impl Bell {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { rung: AtomicBool::new(false), event: Event::new()? })
    }

    /// What to poll, for reading.
    pub(crate) fn source(&self) -> Option<Source> {
        Some(self.event.source())
    }

    /// Makes it silent again. True if it had been rung.
    pub(crate) fn silence(&self) -> bool {
        if !self.rung.load(Ordering::Acquire) {
            return false;
        }
        // The event first: a ring between the two steps then signals it anew.
        self.event.reset();
        self.rung.store(false, Ordering::SeqCst);
        true
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            self.event.set();
        }
    }
}
