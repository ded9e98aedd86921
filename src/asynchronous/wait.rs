//! How a task waits: try, spin, register, sleep, try again. As `crate::wait::wait` for threads.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use tokio::time::sleep_until;

use super::reactor::Register;
use super::registration::{Next, Registration, Retained};
use super::spin::spin;
use super::sys::wait_ready;
use crate::wait::{Waitable, done};

/// Tries in one poll that a backend may ask for at once, before the task yields.
const ROUNDS: u32 = 16;

/// Waits until `attempt` returns anything but `WouldBlock`. Dropping the future disarms.
///
/// # Errors
/// `TimedOut` at the deadline, and those of `attempt`, of arming and of the reactor.
pub(super) async fn wait<W: Waitable + ?Sized, R>(
    on: &mut W,
    reactor: &impl Register,
    retained: &mut Retained,
    operation: Operation,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut W) -> Result<R>,
) -> Result<R> {
    let mut attempt = |on: &mut W| done(attempt(on));
    // Without this, a task that always finds something never lets others run.
    tokio::task::consume_budget().await;
    if !retained.makes_try_useless(on)
        && let Some(done) = attempt(on)
    {
        return done;
    }
    on.spinner().waits += 1;
    if let Some(done) = spin(on, deadline, &mut retained.yielding_spins, &mut attempt).await {
        return done;
    }
    let (listening, pause) = (pin!(None), pin!(None));
    let mut timeout = pin!(deadline.map(|at| sleep_until(at.into())));
    let mut registration = Registration::new(on, reactor, retained, wait_ready, listening, pause)?;
    poll_fn(move |cx| {
        for _ in 0..ROUNDS {
            if registration.needs_try(cx)?
                && let Some(done) = attempt(registration.target())
            {
                return Poll::Ready(done);
            }
            if timeout.as_mut().as_pin_mut().is_some_and(|timeout| timeout.poll(cx).is_ready()) {
                return Poll::Ready(Err(Error::new(operation, ErrorKind::TimedOut)));
            }
            match registration.sleep(cx)? {
                Next::Asleep => return Poll::Pending,
                Next::Again => {}
                Next::Yield => break,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
