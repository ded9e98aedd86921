//! How a thread or a task sleeps on many things at once: on all their sources, and on a waker for
//! those without one.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result, Source, Waiter};
use anyipc_os::{Event, SourceSet, sleep_on};

use super::SLICE;

/// What ends the next sleep.
pub(crate) struct Sleeper {
    event: Arc<Event>,
    /// Sets `event`.
    sets_event: Waker,
    /// What to arm with: `sets_event`, or the waker of the task that sleeps.
    waker: Waker,
    /// The next sleep is a task's.
    is_task: bool,
    /// Everything armed since the last [`reset`](Self::reset) that has a source.
    sources: Vec<(Source, Interest)>,
    /// The sources as one, on which a task sleeps. Made when one does.
    set: Option<SourceSet>,
    /// The longest the next sleep may take, at most [`SLICE`].
    longest: Duration,
}

impl Sleeper {
    pub(crate) fn new() -> std::io::Result<Self> {
        let event = Event::new()?;
        let sets_event = Waker::from(Arc::clone(&event));
        let waker = sets_event.clone();
        let sources = Vec::new();
        Ok(Self { event, sets_event, waker, is_task: false, sources, set: None, longest: SLICE })
    }

    /// The waker to arm with.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Forgets what ended the last sleep. Call it before arming: a wake-up from then on ends the
    /// next sleep, of this waiter.
    pub(crate) fn reset(&mut self, waiter: Waiter<'_>) {
        self.event.reset();
        self.sources.clear();
        self.longest = SLICE;
        self.is_task = matches!(waiter, Waiter::Task(_));
        self.waker.clone_from(match waiter {
            Waiter::Task(waker) => waker,
            Waiter::Thread => &self.sets_event,
        });
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

    /// Adds everything that another sleeper, of a thread, sleeps on.
    pub(crate) fn add_all(&mut self, other: &Self) {
        self.sources.extend(other.sources.iter().cloned());
        self.watch(other.event.source());
        self.limit(other.longest);
    }

    /// Limits the next sleep.
    pub(crate) fn limit(&mut self, longest: Duration) {
        self.longest = self.longest.min(longest);
    }

    /// How to sleep on everything that was added: the answer to the one that arms all this. A task
    /// sleeps on [`source`](Self::source), for [`due`](Self::due) at most.
    pub(crate) fn armed(&mut self) -> Result<Armed> {
        if !self.is_task {
            return Ok(Armed::Park);
        }
        if self.sources.is_empty() {
            return Ok(self.due().map_or(Armed::Waker, Armed::After));
        }
        let failed = |error| Error::io(Operation::Receive, "waiting for several things", error);
        let set = match &mut self.set {
            Some(set) => set,
            none => none.insert(SourceSet::new().map_err(failed)?),
        };
        set.watch_only(&self.sources, None).map_err(failed)?;
        // A source that is held would keep its descriptor open.
        self.sources.clear();
        Ok(Armed::Source(Interest::Readable))
    }

    /// What a task sleeps on.
    ///
    /// # Errors
    /// `Unsupported` if no task has slept on sources.
    pub(crate) fn source(&self) -> Result<Source> {
        let none = Error::new(Operation::Receive, ErrorKind::Unsupported);
        self.set.as_ref().map(SourceSet::source).ok_or(none)
    }

    /// The longest the next sleep may take, if that is less than a slice.
    pub(crate) fn due(&self) -> Option<Duration> {
        (self.longest < SLICE).then_some(self.longest)
    }

    /// Adds an event that ends the sleep.
    pub(crate) fn watch(&mut self, event: Source) {
        self.sources.push((event, Interest::Readable));
    }

    /// What a sleep of a thread would be on.
    pub(crate) fn take_sources(&mut self) -> Vec<(Source, Interest)> {
        self.watch(self.event.source());
        std::mem::take(&mut self.sources)
    }

    /// Sleeps as a thread.
    pub(crate) fn sleep(&mut self, timeout: Duration) {
        self.watch(self.event.source());
        sleep_on(&self.sources, timeout.min(self.longest));
        // A source that is held would keep its descriptor open.
        self.sources.clear();
    }
}
