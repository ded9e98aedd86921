//! Waiting for handles: a thread for up to 64 of them by one call, and beyond that, as a task does,
//! by the system's pool of waiting threads.

use std::ffi::c_void;
use std::io;
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use windows_sys::Win32::Foundation::{
    HANDLE, INVALID_HANDLE_VALUE, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT,
};
use windows_sys::Win32::System::Threading::{
    INFINITE, RegisterWaitForSingleObject, UnregisterWaitEx, WT_EXECUTEONLYONCE,
    WaitForMultipleObjects, WaitForSingleObject,
};

use super::event::Event;

/// How many handles one call waits for, by the system's rules.
const MOST: usize = 64;

/// Sleeps until the source is ready, for this time at most. False if the time has passed.
pub fn sleep(source: &Source, interest: Interest, longest: Duration) -> bool {
    sleep_on(&[(Arc::clone(source), interest)], longest)
}

/// Sleeps until one of the sources is ready, for this time at most. False if the time has passed.
pub fn sleep_on(sources: &[(Source, Interest)], longest: Duration) -> bool {
    // Held, so that none is closed while it is waited for.
    let mut held = [const { None::<Arc<OwnedHandle>> }; MOST];
    let mut raw: [HANDLE; MOST] = [ptr::null_mut(); MOST];
    let (mut count, mut fits) = (0, true);
    for (source, _) in sources {
        source.each(&mut |handle| {
            let handle_raw = handle.as_raw_handle();
            // None may be named twice.
            if raw.iter().take(count).any(|other| *other == handle_raw) {
                return;
            }
            match (held.get_mut(count), raw.get_mut(count)) {
                (Some(slot), Some(place)) => {
                    *slot = Some(Arc::clone(handle));
                    *place = handle_raw;
                    count += 1;
                }
                _ => fits = false,
            }
        });
    }
    if count == 0 {
        std::thread::sleep(longest);
        return false;
    }
    if !fits {
        return sleep_on_many(sources, longest);
    }
    // Rounded up: after an early end the caller would only sleep again.
    let millis =
        u32::try_from(longest.as_nanos().div_ceil(1_000_000)).unwrap_or(INFINITE).min(INFINITE - 1);
    // SAFETY: `raw` begins with `count` handles, which `held` keeps open during the call.
    match unsafe { WaitForMultipleObjects(count as u32, raw.as_ptr(), 0, millis) } {
        WAIT_TIMEOUT => false,
        WAIT_FAILED => {
            // The caller tries again, but not in a hot loop.
            std::thread::sleep(longest.min(Duration::from_millis(1)));
            true
        }
        _ => true,
    }
}

/// The same for more handles than one call can wait for.
fn sleep_on_many(sources: &[(Source, Interest)], longest: Duration) -> bool {
    let begin = || {
        let woken = Event::new()?;
        let waker = Waker::from(Arc::clone(&woken));
        let mut watched = Vec::with_capacity(sources.len());
        for (source, _) in sources {
            let readiness = Readiness::new(source, &waker)?;
            if readiness.poll(&waker) {
                woken.set();
                break;
            }
            watched.push(readiness);
        }
        Ok::<_, io::Error>((woken, watched))
    };
    match begin() {
        Ok((woken, _watched)) => sleep(&woken.source(), Interest::Readable, longest),
        // Short of memory or handles: the caller looks at everything again.
        Err(_) => {
            std::thread::sleep(longest.min(Duration::from_millis(1)));
            true
        }
    }
}

/// A source that the system watches until it is ready once, or this is dropped.
#[derive(Debug)]
pub struct Readiness {
    // Before what they write to.
    watches: Vec<Watch>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    ready: AtomicBool,
    waker: Mutex<Waker>,
}

/// One handle that the system watches.
#[derive(Debug)]
struct Watch {
    wait: HANDLE,
    /// Open for as long as it is watched.
    _handle: Arc<OwnedHandle>,
    /// What the callback gets.
    _state: Arc<State>,
}

// SAFETY: the wait is only unregistered, once, by the thread that drops it; any thread may.
unsafe impl Send for Watch {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Watch {}

impl Readiness {
    /// Begins to watch; `waker` is woken once, from a thread of the system.
    pub fn new(source: &Source, waker: &Waker) -> io::Result<Self> {
        let state =
            Arc::new(State { ready: AtomicBool::new(false), waker: Mutex::new(waker.clone()) });
        let (mut watches, mut failed) = (Vec::new(), None);
        // Registering a wait costs more than a poll.
        source.each(&mut |handle| {
            // SAFETY: the handle is open for the call, which does not wait.
            if unsafe { WaitForSingleObject(handle.as_raw_handle(), 0) } == WAIT_OBJECT_0 {
                state.ready.store(true, Ordering::SeqCst);
            }
        });
        if state.ready.load(Ordering::SeqCst) {
            return Ok(Self { watches, state });
        }
        source.each(&mut |handle| match Watch::new(handle, &state) {
            Ok(watch) => watches.push(watch),
            Err(error) => failed = Some(error),
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(Self { watches, state }),
        }
    }

    /// Whether it has become ready; if not, this waker is woken when it does.
    pub fn poll(&self, waker: &Waker) -> bool {
        let known = self.state.waker().will_wake(waker);
        if !known {
            self.state.replace(waker.clone());
        }
        // A source without handles is nothing to wait for.
        self.watches.is_empty() || self.state.ready.load(Ordering::SeqCst)
    }
}

impl State {
    /// A waker is foreign code: the old one is dropped without the lock.
    fn replace(&self, waker: Waker) -> Waker {
        std::mem::replace(&mut *self.waker(), waker)
    }

    fn waker(&self) -> std::sync::MutexGuard<'_, Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    fn new(handle: &Arc<OwnedHandle>, state: &Arc<State>) -> io::Result<Self> {
        let mut wait = ptr::null_mut();
        let context = Arc::as_ptr(state).cast::<c_void>();
        // SAFETY: the handle and the state live in the `Watch`; its drop waits until no callback
        // runs any more.
        let done = unsafe {
            RegisterWaitForSingleObject(
                &mut wait,
                handle.as_raw_handle(),
                Some(signalled),
                context,
                INFINITE,
                WT_EXECUTEONLYONCE,
            )
        };
        if done == 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { wait, _handle: Arc::clone(handle), _state: Arc::clone(state) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: registered by `new` and unregistered only here. With this "event" the call
        // returns when the callback neither runs nor will; it takes no lock that a dropper could
        // hold, only the waker's.
        unsafe { UnregisterWaitEx(self.wait, INVALID_HANDLE_VALUE) };
    }
}

unsafe extern "system" fn signalled(context: *mut c_void, _timed_out: bool) {
    // SAFETY: `Watch::new` gave the address of a `State`, which the `Watch` keeps until this has
    // returned.
    let state = unsafe { &*context.cast::<State>() };
    state.ready.store(true, Ordering::SeqCst);
    state.replace(Waker::noop().clone()).wake();
}
