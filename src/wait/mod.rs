//! How a thread waits: try, spin, arm, sleep, try again. The only module that blocks a thread.
//!
//! It knows the contract (`anyipc_core`) and the wait mode of an address, and nothing that waits: a
//! channel, a queue, an inbox and an attempt to connect are each [`Waitable`]. Tasks wait in
//! `asynchronous::wait`.

pub(crate) mod readiness;
pub(crate) mod select;
pub(crate) mod sleeper;
pub(crate) mod spin;
pub(crate) mod stop;
mod sys;
pub(crate) mod unpark;

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Wait, Waiter};
use anyipc_os::sleep;

use spin::{Spinner, spin};

/// The longest sleep without a look at condition and peer. A process that is killed between its
/// publication and its wake-up loses the wake-up; the end of the slice makes up for it.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// Something that a thread or a task can wait for.
pub(crate) trait Waitable {
    /// What is armed and slept on.
    fn target(&mut self) -> &mut dyn Wait;
    fn spinner(&mut self) -> &mut Spinner;
    /// Spin-loop hints between two tries of a spin: at first, and at most. Each try takes a cache
    /// line from the other side.
    fn spin_hints(&self) -> [u32; 2] {
        [1, 16]
    }
    /// The longest sleep before the next try: shorter where a death must be noticed sooner.
    fn slice(&self) -> Duration {
        SLICE
    }
    /// True once if the last try stopped early with more to do, so that its caller can look at the
    /// clock. The next try then needs no readiness.
    fn take_interrupted(&mut self) -> bool {
        false
    }
}

/// Disarms when dropped. A waiter that left and stayed armed would take a wake-up meant for
/// another.
pub(crate) struct Disarm<'a, W: Waitable + ?Sized>(pub(crate) &'a mut W);

impl<W: Waitable + ?Sized> Drop for Disarm<'_, W> {
    fn drop(&mut self) {
        self.0.target().disarm();
    }
}

/// The moment `timeout` from now; `None` if there is no limit.
pub(crate) fn deadline(timeout: Option<Duration>) -> Option<Instant> {
    timeout.and_then(|timeout| Instant::now().checked_add(timeout))
}

/// The end of a wait, if this result of a try is one: anything but `WouldBlock`.
#[inline]
pub(crate) fn done<R>(tried: Result<R>) -> Option<Result<R>> {
    match tried {
        Err(error) if error.is_would_block() => None,
        tried => Some(tried),
    }
}

/// Waits until `attempt` returns anything but `WouldBlock`. Called after it returned that once.
///
/// # Errors
/// `TimedOut` at the deadline, `Stopped`, and those of `attempt` and of arming.
#[cold]
pub(crate) fn wait<W: Waitable + ?Sized, R>(
    on: &mut W,
    operation: Operation,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut W) -> Result<R>,
) -> Result<R> {
    let mut attempt = |on: &mut W| done(attempt(on));
    on.spinner().waits += 1;
    if let Some(done) = spin(on, operation, deadline, &mut attempt) {
        return done;
    }
    let on = Disarm(on);
    loop {
        let slice = match deadline {
            Some(at) => on.0.slice().min(at.saturating_duration_since(Instant::now())),
            None => on.0.slice(),
        };
        match stop::handle() {
            None => sleep_slice(&mut *on.0, slice)?,
            Some(stop) => stop.sleep_slice(&mut *on.0, operation, slice)?,
        }
        if let Some(done) = attempt(&mut *on.0) {
            return done;
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(operation, ErrorKind::TimedOut));
        }
    }
}

/// Arms, then sleeps until a wake-up or the end of the slice. May return early without a reason.
fn sleep_slice<W: Waitable + ?Sized>(on: &mut W, slice: Duration) -> Result<()> {
    if on.take_interrupted() {
        on.target().disarm();
        return Ok(());
    }
    let armed = on.target().arm(Waiter::Thread)?;
    let slice = on.target().due().map_or(slice, |due| slice.min(due));
    match armed {
        Armed::Ready => on.target().disarm(),
        Armed::Park => on.target().park(slice),
        Armed::Source(interest) => {
            let source = on.target().source()?;
            sleep(&source, interest, slice);
        }
        Armed::After(time) => std::thread::sleep(time.min(slice)),
        // Backends answer this to tasks only. A backend that breaks the rule is polled.
        Armed::Waker => std::thread::sleep(slice.min(Duration::from_millis(1))),
    }
    Ok(())
}
