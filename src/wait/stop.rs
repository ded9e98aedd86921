//! Ending all waits of this process, also from a handler of a signal.
//!
//! While no handle was made, a wait reads one atomic. Once there is one, threads sleep as tasks do,
//! on descriptors, and one descriptor more is among them.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result, Waiter};
use anyipc_os::{Event, generation};

use super::Waitable;
use super::sleeper::Sleeper;

/// The longest sleep of a thread that has no descriptor for the handle's event.
const SHORT: Duration = Duration::from_millis(10);

/// Ends the blocked calls of this process, from [`stop`]. All handles are the same.
#[derive(Clone, Copy)]
pub struct Stop(&'static State);

/// What the handles of one process share. Never freed: a handler of a signal may use it at any
/// time.
struct State {
    /// The fork generation of the process.
    generation: u32,
    stopped: AtomicBool,
    /// Set while `stopped`, or a little later.
    event: Arc<Event>,
    /// That of a forked child: the event is the parent's.
    child: OnceLock<Box<Self>>,
}

static STATE: OnceLock<Box<State>> = OnceLock::new();

/// A handle that ends the blocked calls of this process: of channels, queues, inboxes and selects,
/// of accept, connect and `open_timeout`, of locks, events and blocks.
///
/// It is the application's, not a library's: it ends all of them, in every thread. The first handle
/// takes two descriptors. From then on a thread that sleeps is woken by a descriptor instead of a
/// futex, which takes some microseconds longer; calls that need not sleep cost the same.
///
/// # Errors
/// `Io` if the process has no descriptor left.
///
/// ```
/// # #[cfg(feature = "in-process")]
/// # fn main() -> anyipc::Result<()> {
/// let stop = anyipc::stop()?;
/// let server = std::thread::spawn(|| -> anyipc::Result<()> {
///     anyipc::create("inproc://stop.doc")?.accept()?;
///     Ok(())
/// });
/// stop.stop();
/// assert_eq!(server.join().unwrap().unwrap_err().kind(), anyipc::ErrorKind::Stopped);
/// # stop.reset();
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "in-process"))]
/// # fn main() {}
/// ```
pub fn stop() -> Result<Stop> {
    let failed = |error| Error::io(Operation::Receive, "making the event of a stop", error);
    let mut place = &STATE;
    loop {
        let state = match place.get() {
            Some(state) => state,
            None => {
                let new = State::new().map_err(failed)?;
                place.get_or_init(|| Box::new(new))
            }
        };
        if state.generation == generation() {
            return Ok(Stop(state));
        }
        place = &state.child;
    }
}

/// The handle of this process, if one was made.
pub(super) fn handle() -> Option<Stop> {
    let mut state = STATE.get()?;
    while state.generation != generation() {
        state = state.child.get()?;
    }
    Some(Stop(state))
}

/// An error if the calls of this process are to end.
///
/// # Errors
/// `Stopped`.
pub(super) fn check(operation: Operation) -> Result<()> {
    match handle() {
        Some(stop) if stop.is_stopped() => Err(Error::new(operation, ErrorKind::Stopped)),
        _ => Ok(()),
    }
}

impl State {
    fn new() -> std::io::Result<Self> {
        let (event, child) = (Event::new()?, OnceLock::new());
        Ok(Self { generation: generation(), stopped: AtomicBool::new(false), event, child })
    }
}

impl Stop {
    /// Ends the calls that are blocked now, and until [`reset`](Self::reset) each call that would
    /// block: they return `Stopped`, within milliseconds, and have done nothing. (A thread that
    /// slept already when the first handle was made returns within 100 ms.) Calls that need not
    /// wait succeed as before.
    ///
    /// Futures go on: await [`stopped`](Self::stopped) beside them. So do calls that are limited by
    /// themselves: `create`, and opening a name that another process is just making.
    ///
    /// **Async-signal-safe**: it stores into two atomics and writes one byte to a socket that never
    /// blocks, without a lock or an allocation, and only if nobody has since the last reset. In a
    /// forked child the handle of the parent does nothing; the child calls [`stop`] itself.
    pub fn stop(&self) {
        if self.0.generation == generation() {
            self.0.stopped.store(true, Ordering::SeqCst);
            self.0.event.set();
        }
    }

    /// True after [`stop`](Self::stop), until [`reset`](Self::reset).
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::SeqCst)
    }

    /// Lets calls wait again. A call that was blocked at the time of `stop` has seen it or sees it
    /// still, unless the reset comes at once.
    pub fn reset(&self) {
        if self.0.generation == generation() {
            self.0.event.reset();
            self.0.stopped.store(false, Ordering::SeqCst);
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.0.event
    }

    /// Sleeps as a thread for a slice, or until this handle ends the wait. May return early without
    /// a reason.
    ///
    /// # Errors
    /// `Stopped`, and those of arming.
    pub(super) fn sleep_slice<W: Waitable + ?Sized>(
        &self,
        on: &mut W,
        operation: Operation,
        slice: Duration,
    ) -> Result<()> {
        check(operation)?;
        if on.take_interrupted() {
            on.target().disarm();
            return Ok(());
        }
        // Taken out: what is called meanwhile may wait for something else.
        let kept = SLEEPER.try_with(RefCell::take).ok().flatten();
        // A forked child shares the event with its parent.
        let kept = kept.filter(|(of, _)| *of == generation()).map(|(_, sleeper)| sleeper);
        let sleeper = kept.map_or_else(Sleeper::new, Ok);
        let slept = match sleeper {
            Ok(mut sleeper) => {
                let slept = self.sleep_with(&mut sleeper, on, slice);
                let _ = SLEEPER.try_with(|place| place.replace(Some((generation(), sleeper))));
                slept
            }
            Err(_) => false,
        };
        if !slept {
            // Without a descriptor for a task's wait, it sleeps as a thread, and looks again soon.
            super::sleep_slice(on, slice.min(SHORT))?;
        }
        check(operation)
    }

    /// Sleeps as a task does. False if that is not possible.
    fn sleep_with<W: Waitable + ?Sized>(
        &self,
        sleeper: &mut Sleeper,
        on: &mut W,
        slice: Duration,
    ) -> bool {
        sleeper.reset(Waiter::Thread);
        let waker = sleeper.waker();
        let armed = on.target().arm(Waiter::Task(&waker));
        match armed.and_then(|armed| sleeper.add(armed, || on.target().source())) {
            Ok(true) => {
                sleeper.limit(on.target().due().unwrap_or(slice));
                sleeper.watch(self.0.event.source());
                sleeper.sleep(slice);
                true
            }
            ready => {
                on.target().disarm();
                ready.is_ok()
            }
        }
    }
}

thread_local! {
    /// What this thread sleeps on, with the fork generation of its process.
    static SLEEPER: RefCell<Option<(u32, Sleeper)>> = const { RefCell::new(None) };
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.is_stopped()).finish()
    }
}
