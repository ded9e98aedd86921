use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::Instant;

use anyipc_core::{Interest, Source};

use super::Set;

/// Sources and a clock as one source, which is ready while one of them is.
pub struct SourceSet {
    set: Arc<Set>,
    /// What `set` watches, by descriptor. A source that is gone has closed its descriptor, which
    /// has ended the watch.
    watched: HashMap<RawFd, Watched>,
    /// Calls of [`watch_only`](Self::watch_only) so far.
    round: u64,
}

struct Watched {
    /// Weak: a source that is held would keep its descriptor open.
    source: Weak<dyn AsFd + Send + Sync>,
    interest: Interest,
    /// The last round that named it.
    round: u64,
}

impl SourceSet {
    /// A set of nothing but its clock, which is not running.
    pub fn new() -> io::Result<Self> {
        Ok(Self { set: Set::new()?, watched: HashMap::new(), round: 0 })
    }

    /// From now on the set is ready while one of these is, and from `moment` on. No source may be
    /// among them with two interests. Call it before each sleep.
    pub fn watch_only(
        &mut self,
        sources: &[(Source, Interest)],
        moment: Option<Instant>,
    ) -> io::Result<()> {
        self.round += 1;
        for (source, interest) in sources {
            self.watch(source, *interest)?;
        }
        let Self { set, watched, round } = self;
        watched.retain(|_, watched| {
            let stays = watched.round == *round;
            if !stays && let Some(source) = watched.source.upgrade() {
                set.forget(&source);
            }
            stays
        });
        set.wake_at(moment)
    }

    fn watch(&mut self, source: &Source, interest: Interest) -> io::Result<()> {
        let (set, round) = (&self.set, self.round);
        let fd = source.as_fd().as_raw_fd();
        let same =
            |watched: &Watched| std::ptr::addr_eq(watched.source.as_ptr(), Arc::as_ptr(source));
        match self.watched.get_mut(&fd) {
            Some(watched) if same(watched) => {
                if watched.interest != interest {
                    if watched.round == round {
                        return Err(io::ErrorKind::AlreadyExists.into());
                    }
                    set.watch_for(source, interest)?;
                    watched.interest = interest;
                }
                watched.round = round;
                return Ok(());
            }
            // The number belonged to another source, which may still be watched.
            Some(_) => set.forget(source),
            None => {}
        }
        set.watch(source, interest)?;
        self.watched.insert(fd, Watched { source: Arc::downgrade(source), interest, round });
        Ok(())
    }

    /// What a reactor registers, for reading. Always the same.
    pub fn source(&self) -> Source {
        self.set.source()
    }
}

impl std::fmt::Debug for SourceSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceSet").field("watched", &self.watched.len()).finish_non_exhaustive()
    }
}
