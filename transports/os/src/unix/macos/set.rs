use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Interest, Source};
use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};

use crate::{Fd, Spare};

/// The clock among what is watched.
const CLOCK: EventFilter = EventFilter::Timer { ident: 0, timer: None };
/// More than any set watches.
const MOST: usize = 320;

/// Descriptors and a clock to wait for together: readable when one of them is ready.
#[derive(Debug)]
pub struct Set {
    queue: Fd,
}

impl Set {
    /// A set of nothing but its clock, which is not running.
    pub fn new() -> io::Result<Arc<Self>> {
        // The system closes it on exec by itself.
        Ok(Arc::new(Self { queue: Fd::make(|| Ok(kqueue()?))? }))
    }

    /// From now on the set is readable while this is ready, or closed at the other side. Closing it
    /// ends that.
    pub fn watch(&self, what: &impl AsFd, interest: Interest) -> io::Result<()> {
        self.change(filter(what, interest), EventFlags::ADD)
    }

    /// Changes the interest of what is watched already.
    pub fn watch_for(&self, what: &impl AsFd, interest: Interest) -> io::Result<()> {
        self.forget(what);
        self.watch(what, interest)
    }

    /// Stops watching what stays open.
    pub fn forget(&self, what: &impl AsFd) {
        for interest in [Interest::Readable, Interest::Writable] {
            let _ = self.change(filter(what, interest), EventFlags::DELETE);
        }
    }

    /// Sets the clock: the set is readable from this moment on; `None` stops it. For one caller at
    /// a time, before each sleep: an event that is over counts until the queue is read.
    pub fn wake_at(&self, moment: Option<Instant>) -> io::Result<()> {
        let mut seen = [const { MaybeUninit::<Event>::uninit() }; MOST];
        // SAFETY: no event carries a pointer.
        unsafe { kevent(&self.queue, &[], &mut seen, Some(Duration::ZERO))? };
        let Some(moment) = moment else {
            let _ = self.change(CLOCK, EventFlags::DELETE);
            return Ok(());
        };
        let mut left = moment.saturating_duration_since(Instant::now());
        if left.subsec_millis() == 0 {
            // Rounded up: a time cut off to whole milliseconds would end the sleep early, again and
            // again.
            left += Duration::from_millis(1);
        }
        let clock = EventFilter::Timer { ident: 0, timer: Some(left) };
        self.change(clock, EventFlags::ADD | EventFlags::ONESHOT)
    }

    /// A descriptor to keep free.
    pub fn spare(&self) -> io::Result<Spare> {
        Spare::like(&self.queue)
    }

    /// What a reactor registers.
    pub fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }

    fn change(&self, filter: EventFilter, flags: EventFlags) -> io::Result<()> {
        let change = Event::new(filter, flags, ptr::null_mut());
        let mut none: [MaybeUninit<Event>; 0] = [];
        // SAFETY: the event carries no pointer, and its descriptor is open for the call; closing
        // that ends the watch.
        unsafe { kevent(&self.queue, &[change], &mut none, Some(Duration::ZERO))? };
        Ok(())
    }
}

impl AsFd for Set {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

fn filter(what: &impl AsFd, interest: Interest) -> EventFilter {
    let fd = what.as_fd().as_raw_fd();
    match interest {
        Interest::Readable => EventFilter::Read(fd),
        Interest::Writable => EventFilter::Write(fd),
    }
}
