use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::event::Event;
use super::numbered::Numbered;
use super::short::Spare;
use anyipc_core::{Handles, Interest, Source};
use windows_sys::Win32::System::Threading::{
    CancelWaitableTimer, CreateWaitableTimerW, SetWaitableTimer,
};

/// Handles and a clock that are waited for together: ready when one of them is.
#[derive(Debug)]
pub struct Set {
    members: Mutex<Members>,
}

#[derive(Debug)]
struct Members {
    /// Those that are closed are forgotten.
    handles: Vec<Weak<OwnedHandle>>,
    numbered: Numbered,
    /// Wakes the threads that sleep on the present set when something is added to it. Then it stays
    /// signalled, and another event takes its place: a thread that has looked at the set and does
    /// not sleep yet must not miss it.
    changed: Arc<Event>,
    clock: Option<Clock>,
}

/// A timer: signalled from its moment on.
#[derive(Debug)]
struct Clock {
    timer: Arc<OwnedHandle>,
    ticks: bool,
}

impl Set {
    /// A set of nothing but its clock, which is not running.
    pub fn new() -> io::Result<Arc<Self>> {
        let members = Members {
            handles: Vec::new(),
            numbered: Numbered::new()?,
            changed: Event::new()?,
            clock: None,
        };
        Ok(Arc::new(Self { members: Mutex::new(members) }))
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the set is ready while this is. Closing it ends that. A thread that sleeps
    /// already wakes to look again.
    pub fn watch(&self, what: &impl Handles, _interest: Interest) -> io::Result<()> {
        let next = Event::new()?;
        let members = &mut *self.members();
        members.handles.retain(|handle| handle.strong_count() > 0);
        what.each(&mut |handle| members.handles.push(Arc::downgrade(handle)));
        std::mem::replace(&mut members.changed, next).set();
        Ok(())
    }

    /// The same for something that is watched already, with another interest: here each thing
    /// settles by itself what its handles are signalled for.
    pub fn watch_for(&self, _what: &impl Handles, _interest: Interest) -> io::Result<()> {
        Ok(())
    }

    /// From now on the set is ready when this is, until [`take_ready`](Self::take_ready) has
    /// reported this number. It is watched until `over` is true, or nothing else has that flag.
    pub fn watch_numbered(
        &self,
        what: &impl Handles,
        number: u32,
        over: &Arc<AtomicBool>,
    ) -> io::Result<()> {
        self.members().numbered.watch(what, number, over)
    }

    /// Reports the numbers of what became ready; what is watched without a number stays ready. What
    /// is still ready after its report is reported by the next call, unless it is over.
    pub fn take_ready(&self, see: &mut dyn FnMut(u32)) {
        let numbers = self.members().numbered.take();
        numbers.iter().for_each(|number| see(*number));
        if !numbers.is_empty() {
            let watched = &mut self.members().numbered;
            numbers.iter().for_each(|number| watched.watch_again(*number));
        }
    }

    /// Stops watching what stays open.
    pub fn forget(&self, what: &impl Handles) {
        let handles = &mut self.members().handles;
        what.each(&mut |gone| {
            handles.retain(|handle| !ptr::eq(handle.as_ptr(), Arc::as_ptr(gone)))
        });
    }

    /// Makes the set ready from this moment on, or never by the clock. Said before each sleep,
    /// which then is on all that is in it.
    pub fn wake_at(&self, moment: Option<Instant>) -> io::Result<()> {
        let members = &mut *self.members();
        let clock = match (&mut members.clock, moment) {
            (None, None) => return Ok(()),
            (Some(clock), None) if !clock.ticks => return Ok(()),
            (Some(clock), _) => clock,
            (none, Some(_)) => none.insert(Clock::new()?),
        };
        clock.set(moment)
    }

    /// Nothing: handles are not numbered scarcely here.
    pub fn spare(&self) -> io::Result<Spare> {
        Ok(Spare)
    }

    /// What a reactor registers.
    pub fn source(self: &Arc<Self>) -> Source {
        Arc::clone(self) as Source
    }
}

impl Handles for Set {
    fn each(&self, see: &mut dyn FnMut(&Arc<OwnedHandle>)) {
        let members = self.members();
        members.changed.each(see);
        members.numbered.each(see);
        members.handles.iter().filter_map(Weak::upgrade).for_each(|handle| see(&handle));
        if let Some(clock) = members.clock.as_ref().filter(|clock| clock.ticks) {
            see(&clock.timer);
        }
    }
}

impl Clock {
    fn new() -> io::Result<Self> {
        const MANUAL: i32 = 1;
        // SAFETY: a nameless timer without attributes; no memory of ours is handed over.
        let timer = unsafe { CreateWaitableTimerW(ptr::null(), MANUAL, ptr::null()) };
        if timer.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was made just now, and this is its only owner.
        let timer = Arc::new(unsafe { OwnedHandle::from_raw_handle(timer) });
        Ok(Self { timer, ticks: false })
    }

    fn set(&mut self, moment: Option<Instant>) -> io::Result<()> {
        let timer = self.timer.as_raw_handle();
        self.ticks = moment.is_some();
        let done = match moment {
            // SAFETY: the timer is open as long as `self` lives.
            None => unsafe { CancelWaitableTimer(timer) },
            Some(moment) => {
                // Negative is from now on, in units of 100 ns.
                let units =
                    moment.saturating_duration_since(Instant::now()).as_nanos().div_ceil(100);
                let due = -i64::try_from(units).unwrap_or(i64::MAX);
                // SAFETY: the timer is open as long as `self` lives, and `due` for the call; there
                // is no callback.
                unsafe { SetWaitableTimer(timer, &due, 0, None, ptr::null(), 0) }
            }
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
