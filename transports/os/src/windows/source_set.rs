use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use anyipc_core::{Handles, Interest, Source};

use super::Set;

/// Sources and a clock as one source, which is ready while one of them is.
#[derive(Debug)]
pub struct SourceSet {
    all: Arc<All>,
}

struct All {
    /// Weak: a source that is held would keep its handles open.
    sources: Mutex<Vec<Weak<dyn Handles>>>,
    clock: Arc<Set>,
}

impl SourceSet {
    /// A set of nothing but its clock, which is not running.
    pub fn new() -> io::Result<Self> {
        let all = All { sources: Mutex::default(), clock: Set::new()? };
        Ok(Self { all: Arc::new(all) })
    }

    /// From now on the set is ready while one of these is, and from `moment` on. A sleep that has
    /// begun does not notice. Call it before each sleep.
    pub fn watch_only(
        &mut self,
        sources: &[(Source, Interest)],
        moment: Option<Instant>,
    ) -> io::Result<()> {
        *self.all.sources() = sources.iter().map(|(source, _)| Arc::downgrade(source)).collect();
        self.all.clock.wake_at(moment)
    }

    /// What a reactor registers, for reading. Always the same.
    pub fn source(&self) -> Source {
        Arc::clone(&self.all) as Source
    }
}

impl All {
    fn sources(&self) -> MutexGuard<'_, Vec<Weak<dyn Handles>>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handles for All {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.clock.each(see);
        let sources = self.sources().clone();
        sources.iter().filter_map(Weak::upgrade).for_each(|source| source.each(see));
    }
}

impl std::fmt::Debug for All {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("All").field("watched", &self.sources().len()).finish_non_exhaustive()
    }
}
