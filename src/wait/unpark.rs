//! A waker for a thread that waits as a task does, and parks.

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{Thread, ThreadId};

/// Unparks the thread that waited last.
#[derive(Debug, Default)]
pub(crate) struct Unpark(Option<(ThreadId, Waker)>);

struct Unparks(Thread);

impl Wake for Unparks {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Unpark {
    /// The waker of this thread, which then calls [`park_timeout`](std::thread::park_timeout).
    pub(crate) fn waker(&mut self) -> &Waker {
        let thread = std::thread::current();
        self.0.take_if(|(id, _)| *id != thread.id());
        let (_, waker) =
            self.0.get_or_insert_with(|| (thread.id(), Waker::from(Arc::new(Unparks(thread)))));
        waker
    }
}
