//! How a thread sleeps on many things at once: on all their sources, and on a waker for those
//! without one.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Armed, Interest, Result, Source};
use anyipc_os::{Event, sleep_on};

use super::SLICE;

/// What ends the next sleep.
pub(crate) struct Sleeper {
    event: Arc<Event>,
    /// Sets `event`.
    waker: Waker,
    /// Everything armed since the last [`reset`](Self::reset) that has a source.
    sources: Vec<(Source, Interest)>,
    /// The longest the next sleep may take, at most [`SLICE`].
    longest: Duration,
}

impl Sleeper {
    pub(crate) fn new() -> std::io::Result<Self> {
        let event = Event::new()?;
        let waker = Waker::from(Arc::clone(&event));
        Ok(Self { event, waker, sources: Vec::new(), longest: SLICE })
    }

    /// The waker to arm with.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Forgets what ended the last sleep. Call it before arming: a wake-up from then on ends the
    /// next sleep.
    pub(crate) fn reset(&mut self) {
        self.event.reset();
        self.sources.clear();
        self.longest = SLICE;
    }

    /// Adds something that was armed with the waker. False if it is ready, so that there is no need
    /// to sleep.
    pub(crate) fn add(
        &mut self,
        armed: Armed,
        source: impl FnOnce() -> Result<Source>,
    ) -> Result<bool> {
        match armed {
            Armed::Ready => return Ok(false),
            Armed::Source(interest) => self.sources.push((source()?, interest)),
            Armed::After(time) => self.limit(time),
            // `Park` is never answered to a task; the end of the slice covers it.
            Armed::Waker | Armed::Park => {}
        }
        Ok(true)
    }

    /// Adds everything that another sleeper sleeps on.
    pub(crate) fn add_all(&mut self, other: &Self) {
        self.sources.extend(other.sources.iter().cloned());
        self.sources.push((other.event.source(), Interest::Readable));
        self.limit(other.longest);
    }

    /// Limits the next sleep.
    pub(crate) fn limit(&mut self, longest: Duration) {
        self.longest = self.longest.min(longest);
    }

    pub(crate) fn sleep(&mut self, timeout: Duration) {
        self.sources.push((self.event.source(), Interest::Readable));
        sleep_on(&self.sources, timeout.min(self.longest));
    }
}
