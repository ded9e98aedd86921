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

/// A waker that a thread polls beside other sources: an event.
pub(crate) struct PolledWaker {
    /// The event was set or is about to be: no other wake-up sets it.
    woken: AtomicBool,
    event: Arc<Event>,
}

impl PolledWaker {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { woken: AtomicBool::new(false), event: Event::new()? })
    }

    /// What to poll, for reading.
    pub(crate) fn source(&self) -> Source {
        self.event.source()
    }

    /// Takes back the wake-up, if there was one.
    pub(crate) fn reset(&self) {
        if self.woken.load(Ordering::Acquire) {
            // The event first: in the other order, a wake-up in between is taken back and leaves
            // the flag set.
            self.event.reset();
            self.woken.store(false, Ordering::SeqCst);
        }
    }
}

impl Wake for PolledWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.event.set();
        }
    }
}
