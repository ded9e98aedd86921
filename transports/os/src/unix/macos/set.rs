use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_core::{Interest, Source};
use rustix::event::kqueue::{Event, EventFilter, EventFlags, kevent, kqueue};

use crate::{Fd, Spare};

/// The clock among what is watched.
const CLOCK: EventFilter = EventFilter::Timer { ident: 0, timer: None };
/// The most events that one look reads: more than a set has without numbers.
const MOST: usize = 320;
/// Stands in an event without a number; a number is one more there.
const UNNUMBERED: usize = 0;

/// Descriptors and a clock to wait for together: readable when one of them is ready.
#[derive(Debug)]
pub struct Set {
    queue: Fd,
    /// Numbers that were read off the queue and not reported yet.
    numbers: Mutex<Vec<u32>>,
}

impl Set {
    /// A set of nothing but its clock, which is not running.
    pub fn new() -> io::Result<Arc<Self>> {
        // The system closes it on exec by itself.
        let queue = Fd::make(|| Ok(kqueue()?))?;
        Ok(Arc::new(Self { queue, numbers: Mutex::default() }))
    }

    /// From now on the set is readable while this is ready, or closed at the other side. Closing it
    /// ends that.
    pub fn watch(&self, what: &impl AsFd, interest: Interest) -> io::Result<()> {
        self.change(filter(what, interest), EventFlags::ADD, UNNUMBERED)
    }

    /// Changes the interest of what is watched already.
    pub fn watch_for(&self, what: &impl AsFd, interest: Interest) -> io::Result<()> {
        self.forget(what);
        self.watch(what, interest)
    }

    /// Stops watching what stays open.
    pub fn forget(&self, what: &impl AsFd) {
        for interest in [Interest::Readable, Interest::Writable] {
            let _ = self.change(filter(what, interest), EventFlags::DELETE, UNNUMBERED);
        }
    }

    /// From now on the set is readable when new bytes arrive here, or the other side closes, until
    /// [`take_ready`](Self::take_ready) has reported this number.
    pub fn watch_numbered(&self, what: &impl AsFd, number: u32) -> io::Result<()> {
        // 0 stands for no number.
        let number = usize::try_from(number).ok().and_then(|number| number.checked_add(1));
        let number = number.ok_or(io::ErrorKind::InvalidInput)?;
        self.change(filter(what, Interest::Readable), EventFlags::ADD | EventFlags::CLEAR, number)
    }

    /// Reports the numbers of what became ready; what is watched without a number stays ready.
    pub fn take_ready(&self, see: &mut dyn FnMut(u32)) {
        let mut numbers = self.numbers();
        // An error leaves them for the next call.
        let _ = self.read(&mut numbers);
        numbers.drain(..).for_each(see);
    }

    fn numbers(&self) -> MutexGuard<'_, Vec<u32>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the queue reports, and collects the numbers.
    fn read(&self, numbers: &mut Vec<u32>) -> io::Result<()> {
        let mut seen = [const { MaybeUninit::<Event>::uninit() }; MOST];
        // SAFETY: the pointer of an event is a number, which is never followed.
        let (seen, _) = unsafe { kevent(&self.queue, &[], &mut seen, Some(Duration::ZERO))? };
        let number = |event: &Event| u32::try_from(event.udata().addr().checked_sub(1)?).ok();
        numbers.extend(seen.iter().filter_map(number));
        Ok(())
    }

    /// Sets the clock: the set is readable from this moment on; `None` stops it. For one caller at
    /// a time, before each sleep: an event that is over counts until the queue is read.
    pub fn wake_at(&self, moment: Option<Instant>) -> io::Result<()> {
        let mut numbers = self.numbers();
        self.read(&mut numbers)?;
        // The queue reports them no more: they end the sleep by the clock.
        let moment = if numbers.is_empty() { moment } else { Some(Instant::now()) };
        drop(numbers);
        let Some(moment) = moment else {
            let _ = self.change(CLOCK, EventFlags::DELETE, UNNUMBERED);
            return Ok(());
        };
        let mut left = moment.saturating_duration_since(Instant::now());
        if left.subsec_millis() == 0 {
            // Rounded up: a time cut off to whole milliseconds would end the sleep early, again and
            // again.
            left += Duration::from_millis(1);
        }
        let clock = EventFilter::Timer { ident: 0, timer: Some(left) };
        self.change(clock, EventFlags::ADD | EventFlags::ONESHOT, UNNUMBERED)
    }

    /// A descriptor to keep free.
    pub fn spare(&self) -> io::Result<Spare> {
        Spare::like(&self.queue)
    }

    /// What a reactor registers.
    pub fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }

    fn change(&self, filter: EventFilter, flags: EventFlags, number: usize) -> io::Result<()> {
        let change = Event::new(filter, flags, ptr::without_provenance_mut(number));
        let mut none: [MaybeUninit<Event>; 0] = [];
        // SAFETY: the event's pointer is a number, which is never followed, and its descriptor is
        // open for the call; closing that ends the watch.
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
