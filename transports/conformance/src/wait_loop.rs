use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, DynEndpoint, DynHalves, Endpoint, Flags, Hello, Peer, RecvHalf, Result,
    SendHalf, Source, Wait, Waiter,
};

use crate::{Fixture, Sleeper};

/// How long a call may wait before its check fails.
pub const WATCHDOG: Duration = Duration::from_secs(20);

/// A loop that waits: try, arm, sleep, try again. A call that is not woken within [`WATCHDOG`]
/// panics.
#[derive(Debug, Clone, Copy)]
pub struct WaitLoop {
    sleeper: Sleeper,
    /// True to wait as a task does, false as a thread.
    task: bool,
}

impl WaitLoop {
    /// Waits as a thread does. For a transport's own tests.
    pub const fn new(sleeper: Sleeper) -> Self {
        Self { sleeper, task: false }
    }

    /// Waits as a thread does.
    pub(crate) fn thread(fixture: &Fixture<'_>) -> Self {
        Self::new(fixture.sleeper)
    }

    /// Waits as a task does.
    pub(crate) fn task(fixture: &Fixture<'_>) -> Self {
        Self { sleeper: fixture.sleeper, task: true }
    }

    /// Connects or accepts. The halves are of the transport's own types.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub fn meet<E: Endpoint>(
        self,
        endpoint: &E,
        hello: Hello,
    ) -> Result<(E::Sender, E::Receiver, Peer)> {
        let mut trying = Trying { endpoint, attempt: &mut Attempt::new(hello) };
        self.until("try_connect", &mut trying, |trying| endpoint.try_connect(trying.attempt))
    }

    /// Accepts for this long. True if a connector came in.
    ///
    /// # Panics
    /// If the endpoint reports an error.
    pub fn accept_for<E: Endpoint>(self, endpoint: &E, hello: Hello, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut trying = Trying { endpoint, attempt: &mut Attempt::new(hello) };
        while let Some(left) =
            end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            match endpoint.try_connect(trying.attempt) {
                Ok(_) => return true,
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
            match trying.arm(Waiter::Thread).expect("arm") {
                Armed::Source(interest) => {
                    let source =
                        trying.source().expect("arm answered Armed::Source, but source() failed");
                    (self.sleeper)(&source, interest, left);
                }
                _ => thread::sleep(Duration::from_millis(1)),
            }
        }
        false
    }

    /// Connects or accepts, over a transport that was chosen at run time.
    ///
    /// # Errors
    /// Those of the endpoint.
    pub fn connect(self, endpoint: &dyn DynEndpoint, hello: Hello) -> Result<DynHalves> {
        self.attempt(endpoint, &mut Attempt::new(hello))
    }

    /// Connects or accepts with an attempt that may have begun.
    pub(crate) fn attempt(
        self,
        endpoint: &dyn DynEndpoint,
        attempt: &mut Attempt,
    ) -> Result<DynHalves> {
        self.until("try_connect", &mut Trying { endpoint, attempt }, |trying| {
            trying.endpoint.try_connect(trying.attempt)
        })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// Those of the half.
    #[track_caller]
    pub fn send(self, half: &mut dyn SendHalf, flags: Flags, payload: &[u8]) -> Result<()> {
        self.until("try_send", half, |half| half.try_send(flags, payload))
    }

    /// Sends what a cork holds back.
    ///
    /// # Errors
    /// Those of the half.
    pub fn flush(self, half: &mut dyn SendHalf) -> Result<()> {
        self.until("try_flush", half, |half| half.try_flush())
    }

    /// Receives one frame into the emptied buffer.
    ///
    /// # Errors
    /// Those of the half.
    ///
    /// # Panics
    /// If the half does not show exactly one frame.
    #[track_caller]
    pub fn recv(self, half: &mut dyn RecvHalf, buffer: &mut Vec<u8>) -> Result<Flags> {
        buffer.clear();
        let mut got = None;
        self.until("try_recv", half, |half| {
            half.try_recv_with(&mut |flags, frame| {
                assert!(
                    got.replace(flags).is_none(),
                    "one call of try_recv_with showed two frames"
                );
                buffer.extend_from_slice(frame);
            })
        })?;
        Ok(got.expect("try_recv_with was Ok and showed no frame"))
    }

    /// Repeats the step until its result is not `WouldBlock`.
    ///
    /// # Errors
    /// Those of the step.
    #[track_caller]
    pub fn until<H: Wait + ?Sized, T>(
        self,
        what: &'static str,
        half: &mut H,
        mut step: impl FnMut(&mut H) -> Result<T>,
    ) -> Result<T> {
        let sleep = self.sleep(what);
        loop {
            match step(half) {
                Err(error) if error.is_would_block() => {}
                outcome => {
                    half.disarm();
                    return outcome;
                }
            }
            let armed = sleep.arm(half);
            sleep.sleep(half, armed);
        }
    }

    /// Arms and sleeps once. The event, which must end the sleep, comes before arming (`early`) or
    /// after it.
    pub(crate) fn sleep_once<H: Wait + ?Sized>(
        self,
        half: &mut H,
        early: bool,
        event: impl FnOnce(),
    ) {
        let sleep = self.sleep("a sleep around an event");
        let armed = if early {
            event();
            sleep.arm(half)
        } else {
            let armed = sleep.arm(half);
            event();
            armed
        };
        sleep.sleep(half, armed);
        sleep.left();
    }

    fn sleep(self, what: &'static str) -> Sleep {
        let flag = Arc::new(WakeFlag { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = self.task.then(|| Waker::from(flag.clone()));
        Sleep { sleeper: self.sleeper, what, deadline: Instant::now() + WATCHDOG, flag, waker }
    }
}

/// An attempt as a [`Wait`].
pub(crate) struct Trying<'a> {
    pub(crate) endpoint: &'a dyn DynEndpoint,
    pub(crate) attempt: &'a mut Attempt,
}

impl Wait for Trying<'_> {
    fn source(&self) -> Result<Source> {
        self.endpoint.source(self.attempt)
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let armed = self.endpoint.arm(self.attempt, waiter)?;
        assert_ne!(armed, Armed::Park, "an endpoint answered Armed::Park, but has no park");
        Ok(armed)
    }
}

/// One wait, with its deadline; as a task it has a waker.
struct Sleep {
    sleeper: Sleeper,
    what: &'static str,
    deadline: Instant,
    flag: Arc<WakeFlag>,
    waker: Option<Waker>,
}

impl Sleep {
    /// Arms, and checks that the answer is one for this waiter.
    fn arm(&self, half: &mut (impl Wait + ?Sized)) -> Armed {
        self.flag.woken.store(false, Ordering::Relaxed);
        let waiter = self.waker.as_ref().map_or(Waiter::Thread, Waiter::Task);
        let armed = half.arm(waiter).expect("arm");
        let task = self.waker.is_some();
        assert!(
            armed != if task { Armed::Park } else { Armed::Waker },
            "arm answered {armed:?} to a {}",
            if task { "task" } else { "thread" }
        );
        armed
    }

    fn sleep(&self, half: &mut (impl Wait + ?Sized), armed: Armed) {
        match armed {
            Armed::Ready => drop(self.left()),
            Armed::Park => half.park(self.left()),
            Armed::After(time) => self.sleep_for(time),
            Armed::Waker => {
                while !self.flag.woken() {
                    self.sleep_for(self.left());
                }
            }
            Armed::Source(interest) => {
                let source =
                    half.source().expect("arm answered Armed::Source, but source() failed");
                let slice = if self.waker.is_some() { Duration::from_millis(10) } else { WATCHDOG };
                while !(self.sleeper)(&source, interest, self.left().min(slice))
                    && !self.flag.woken()
                {}
            }
        }
    }

    /// Sleeps until the waker is woken, for at most `time`.
    fn sleep_for(&self, time: Duration) {
        if !self.flag.woken() {
            thread::park_timeout(time.min(self.left()));
        }
    }

    /// The time that is left of [`WATCHDOG`].
    fn left(&self) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "{} was not woken within {WATCHDOG:?}: a wake-up was lost",
            self.what
        );
        left
    }
}

/// A deadline for loops that try again and again.
pub(crate) struct Watchdog {
    what: &'static str,
    deadline: Instant,
}

impl Watchdog {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, deadline: Instant::now() + WATCHDOG }
    }

    /// Lets other threads run before the next try. Panics after [`WATCHDOG`].
    pub(crate) fn look(&self) {
        assert!(Instant::now() < self.deadline, "{} did not come within {WATCHDOG:?}", self.what);
        thread::yield_now();
    }
}

struct WakeFlag {
    thread: Thread,
    woken: AtomicBool,
}

impl WakeFlag {
    fn woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
