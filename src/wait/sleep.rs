//! How a thread sleeps for many things at once: on all their sources, and on a bell for what has none.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Armed, Interest, Result, Source};

use crate::wait::SLICE;
use crate::wait::sys::{self, Bell};

/// What the next sleep ends by.
pub(crate) struct Sleeper {
    bell: Arc<Bell>,
    waker: Waker,
    sources: Vec<(Source, Interest)>,
    nap: Duration,
}

impl Sleeper {
    pub(crate) fn new() -> std::io::Result<Self> {
        let bell = Arc::new(Bell::new()?);
        Ok(Self { waker: Waker::from(Arc::clone(&bell)), bell, sources: Vec::new(), nap: SLICE })
    }

    /// What wakes the sleeper, to arm with.
    pub(crate) fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Forgets what the last sleep ended by. Before arming: what rings from then on counts.
    pub(crate) fn begin(&mut self) {
        self.bell.silence();
        self.sources.clear();
        self.nap = SLICE;
    }

    /// Adds what was armed with the waker. False if there is nothing to sleep for.
    pub(crate) fn add(
        &mut self,
        armed: Armed,
        source: impl FnOnce() -> Result<Source>,
    ) -> Result<bool> {
        match armed {
            Armed::Ready => return Ok(false),
            Armed::Source(interest) => self.sources.push((source()?, interest)),
            Armed::After(time) => self.shorten(time),
            // Never said to a task; the next slice looks again.
            Armed::Waker | Armed::Park => {}
        }
        Ok(true)
    }

    /// Adds everything that another one sleeps for.
    pub(crate) fn add_all(&mut self, other: &Self) {
        self.sources.extend(other.sources.iter().cloned());
        self.sources.extend(other.bell.source().map(|bell| (bell, Interest::Readable)));
        self.nap = self.nap.min(other.nap);
    }

    /// Sleeps no longer than this.
    pub(crate) fn shorten(&mut self, nap: Duration) {
        self.nap = self.nap.min(nap);
    }

    pub(crate) fn sleep(&mut self, timeout: Duration) {
        self.sources.extend(self.bell.source().map(|bell| (bell, Interest::Readable)));
        sys::poll(&self.sources, timeout.min(self.nap));
    }
}
