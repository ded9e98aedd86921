use std::collections::HashMap;
use std::io;
use std::os::windows::io::OwnedHandle;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use anyipc_core::{Handles, Source};

use super::event::Event;
use super::wait::Readiness;

/// Sources with numbers. The system's pool watches each of them all the time, so that a sleep on
/// any number of them costs no more than one on a single event.
#[derive(Debug)]
pub(super) struct Numbered {
    watched: HashMap<u32, Watched>,
    ready: Arc<Ready>,
}

/// The numbers of those that became ready.
#[derive(Debug)]
struct Ready {
    numbers: Mutex<Vec<u32>>,
    /// Signalled while there is one.
    event: Arc<Event>,
}

#[derive(Debug)]
struct Watched {
    /// Dropped before its handles.
    readiness: Readiness,
    kept: Arc<Kept>,
    over: Arc<AtomicBool>,
}

/// The handles of a source, kept open.
#[derive(Debug)]
struct Kept(Vec<Arc<OwnedHandle>>);

impl Handles for Kept {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.0.iter().for_each(see);
    }
}

/// Notes that one has become ready.
struct Note {
    number: u32,
    ready: Arc<Ready>,
}

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.ready.add(self.number);
    }
}

impl Ready {
    fn numbers(&self) -> MutexGuard<'_, Vec<u32>> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, number: u32) {
        let mut numbers = self.numbers();
        numbers.push(number);
        self.event.set();
    }
}

impl Numbered {
    /// None yet.
    pub(super) fn new() -> io::Result<Self> {
        let ready = Arc::new(Ready { numbers: Mutex::default(), event: Event::new()? });
        Ok(Self { watched: HashMap::new(), ready })
    }

    /// Watches one, until `over` is true or nothing else has that flag. Its number was free, or its
    /// last holder is gone.
    pub(super) fn watch(
        &mut self,
        what: &impl Handles,
        number: u32,
        over: &Arc<AtomicBool>,
    ) -> io::Result<()> {
        self.watched.retain(|_, watched| Arc::strong_count(&watched.over) > 1);
        let mut handles = Vec::new();
        what.each(&mut |handle| handles.push(Arc::clone(handle)));
        self.begin(number, Arc::new(Kept(handles)), Arc::clone(over))
    }

    fn begin(&mut self, number: u32, kept: Arc<Kept>, over: Arc<AtomicBool>) -> io::Result<()> {
        let waker = Waker::from(Arc::new(Note { number, ready: Arc::clone(&self.ready) }));
        let source: Source = Arc::clone(&kept) as Source;
        let readiness = Readiness::new(&source, &waker)?;
        // Then it is not watched.
        if readiness.poll(&waker) {
            self.ready.add(number);
        }
        self.watched.insert(number, Watched { readiness, kept, over });
        Ok(())
    }

    /// Watches one anew whose number was taken.
    pub(super) fn watch_again(&mut self, number: u32) {
        if let Some(Watched { readiness, kept, over }) = self.watched.remove(&number)
            && !over.load(Ordering::Relaxed)
            && Arc::strong_count(&over) > 1
        {
            drop(readiness);
            // Without memory its owner still looks at it from time to time.
            let _ = self.begin(number, kept, over);
        }
    }

    /// Takes the numbers of those that became ready.
    pub(super) fn take(&self) -> Vec<u32> {
        let mut numbers = self.ready.numbers();
        self.ready.event.reset();
        std::mem::take(&mut *numbers)
    }
}

impl Handles for Numbered {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        self.ready.event.each(see);
    }
}
