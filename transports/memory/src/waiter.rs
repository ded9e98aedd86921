use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result, Source, Waiter};
use anyipc_os::is_shortage;
use anyipc_ring::wait_set::{
    WaitWords, announce_poller, announce_thread, wake_one, withdraw_poller,
};

use crate::participants::{WaitPlace, WaitPlaces};
use crate::region::sleep;
use crate::sys::parks;
use crate::wait_set::WaitSet;

/// The pause of a thread that has no wait place for want of a descriptor.
const SHORT: Duration = Duration::from_millis(10);

/// One waiter of a wait set: a thread, or a task.
#[derive(Debug)]
pub struct SetWaiter {
    places: Arc<WaitPlaces>,
    set: WaitSet,
    /// What a poller sleeps on; taken when it first arms.
    place: Option<WaitPlace>,
    /// The value of the sequence that a thread sleeps on.
    seen: u32,
    /// The bit of `place` may be set, or was taken by a waker.
    polls: bool,
}

impl SetWaiter {
    /// A waiter that is not armed.
    pub fn new(places: &Arc<WaitPlaces>, set: WaitSet) -> Self {
        Self { places: Arc::clone(places), set, place: None, seen: 0, polls: false }
    }

    /// Announces the waiter and calls `is_ready`, which looks again at what it waits for.
    ///
    /// # Errors
    /// `Forked`; `Removed` if the memory's name stands for other memory, so that nothing wakes this
    /// waiter; for tasks also those of [`WaitPlaces::wait_place`].
    pub fn arm(
        &mut self,
        waiter: Waiter<'_>,
        operation: Operation,
        is_ready: impl FnOnce() -> bool,
    ) -> Result<Armed> {
        let memory = self.places.memory();
        memory.check(operation)?;
        memory.insist_named(operation)?;
        let is_thread = matches!(waiter, Waiter::Thread);
        if is_thread && parks() {
            self.seen = announce_thread(&self.set);
            return Ok(if is_ready() { Armed::Ready } else { Armed::Park });
        }
        let place = match self.place.take().map_or_else(|| self.places.wait_place(operation), Ok) {
            Ok(place) => self.place.insert(place),
            // A thread can do without: it looks again and again.
            Err(error) if is_thread && is_short(&error) => return Ok(Armed::After(SHORT)),
            Err(error) => return Err(error),
        };
        place.drain();
        self.polls = true;
        announce_poller(&self.set, place.slot());
        Ok(if is_ready() { Armed::Ready } else { Armed::Source(Interest::Readable) })
    }

    /// Sleeps until a wake-up after [`Armed::Park`], for at most `timeout`.
    pub fn park(&self, timeout: Duration) {
        if self.places.memory().check(Operation::Block).is_ok() {
            sleep(self.set.sequence(), self.seen, timeout);
        }
    }

    /// What a task sleeps on after [`Armed::Source`].
    ///
    /// # Errors
    /// `Unsupported` before the waiter was armed.
    pub fn source(&self) -> Result<Source> {
        self.place
            .as_ref()
            .map(WaitPlace::source)
            .ok_or(Error::new(Operation::Block, ErrorKind::Unsupported))
    }

    /// Ends the wait, which had its end, and goes on to wait in another set of the same memory.
    pub fn turn_to(&mut self, set: WaitSet) {
        self.disarm(false);
        self.set = set;
    }

    /// Ends the wait. `passes`: the waiter leaves without what it waited for, and what woke it may
    /// be another's.
    pub fn disarm(&mut self, passes: bool) {
        let Some(place) = self.place.as_ref().filter(|_| self.polls) else { return };
        if self.places.memory().check(Operation::Block).is_ok() {
            self.polls = false;
            if !withdraw_poller(&self.set, place.slot()) && passes {
                wake_one(&self.set, &*self.places);
            }
        }
    }
}

impl Drop for SetWaiter {
    fn drop(&mut self) {
        self.disarm(true);
        // In a forked child a thread that is not there may have the mutex of the kept places.
        if let Some(place) = self.place.take()
            && self.places.memory().check(Operation::Block).is_ok()
        {
            self.places.keep(place);
        }
    }
}

/// True for a lack of descriptors or memory.
fn is_short(error: &Error) -> bool {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref())
        .is_some_and(is_shortage)
}
