//! The wait loop of tasks: try, spin, arm, await.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result, Waiter};

use tokio::runtime::{Handle, Id};
use tokio::time::Sleep;

use super::reactor::{EDGES, Register, Registered, wait_ready};
use super::spin::spin;
use crate::wait::{Disarm, SLICE, Waitable};

/// Rounds after which a task that is told "try again" each time lets others run.
const ROUNDS: u32 = 16;

/// What is kept from one wait for the same thing to the next.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// When to look again although no source became ready: a wake-up that its sender was killed before is made
    /// good then. Kept because to start a timer takes the runtime's lock, but in another runtime it is of no use.
    slice: Option<(Id, Pin<Box<Sleep>>)>,
    /// What the last wait listened for, by a reactor that tells of each news once.
    interest: Option<Interest>,
    /// How many spins begin with a turn of the runtime's other tasks.
    near: u32,
}

impl Kept {
    /// Whether the slice is over; the next one begins then. If not, the task is woken in time.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let runtime = Handle::current().id();
        self.slice.take_if(|(of, _)| *of != runtime);
        let (_, sleep) =
            self.slice.get_or_insert_with(|| (runtime, Box::pin(tokio::time::sleep(SLICE))));
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        sleep.as_mut().reset(tokio::time::Instant::now() + SLICE);
        true
    }
}

/// Room for the future of an async function, which has no name.
fn none_of<F: Future>(_: impl FnOnce(Arc<Registered>, Interest) -> F) -> Option<F> {
    None
}

/// Tries until `attempt` gives something else than `WouldBlock`.
pub(super) async fn wait<W: Waitable + ?Sized, R>(
    on: &mut W,
    reactor: &impl Register,
    kept: &mut Kept,
    operation: Operation,
    deadline: Option<Instant>,
    mut attempt: impl FnMut(&mut W) -> Result<R>,
) -> Result<R> {
    // A task that always finds something would never let others run otherwise.
    tokio::task::consume_budget().await;
    // A try that only the source can make worth it is left out: the source has been listened to since before the
    // last one, or is registered below and then tells what is there.
    let skips = kept.interest.is_some() && !on.spinner().hopes() && on.wait().drained();
    if !skips {
        match attempt(on) {
            Err(error) if error.is_would_block() => {}
            done => return done,
        }
    }
    on.spinner().waits += 1;
    if let Some(done) = spin(on, deadline, &mut kept.near, &mut attempt).await {
        return done;
    }
    let mut readiness = pin!(none_of(wait_ready));
    let mut awaited = kept.interest;
    // As the last wait did, so that to arm once is enough: most halves only ever wait for one readiness.
    if let Some(interest) = awaited {
        readiness.set(Some(wait_ready(reactor.register(on.wait().source()?)?, interest)));
    }
    let mut pause = pin!(None);
    let mut timeout = pin!(deadline.map(|at| tokio::time::sleep_until(at.into())));
    // Nothing has become ready since the last try.
    let mut tried = true;
    // Nor since the last wait, which listened to the same.
    let mut listens = awaited.is_some();
    // Dropped with the future, too.
    let on = Disarm(on);
    poll_fn(move |cx| {
        let on = &mut *on.0;
        for _ in 0..ROUNDS {
            // Listening to the reactor comes before arming: the other half of the channel shares the
            // source, and may take a readiness that comes in between. It comes before the try, too, so that
            // none is left that tells of what was received.
            if let Some(waiting) = readiness.as_mut().as_pin_mut()
                && let Poll::Ready(result) = waiting.poll(cx)
            {
                readiness.set(None);
                awaited = None;
                (tried, listens) = (false, false);
                if let Err(error) = result {
                    return Poll::Ready(Err(error));
                }
            }
            if !std::mem::take(&mut tried) {
                match attempt(on) {
                    Err(error) if error.is_would_block() => {}
                    done => return Poll::Ready(done),
                }
            }
            if timeout.as_mut().as_pin_mut().is_some_and(|timeout| timeout.poll(cx).is_ready()) {
                return Poll::Ready(Err(Error::new(operation, ErrorKind::TimedOut)));
            }
            if on.interrupted() {
                // Others first: what is left to do may be long.
                tried = false;
                break;
            }
            let armed = if std::mem::take(&mut listens) {
                on.wait().rearm(cx.waker())
            } else {
                on.wait().arm(Waiter::Task(cx.waker()))
            };
            match armed {
                Err(error) => return Poll::Ready(Err(error)),
                Ok(Armed::Ready) => on.wait().disarm(),
                Ok(Armed::Waker) => return Poll::Pending,
                Ok(Armed::Source(interest)) if awaited == Some(interest) => {
                    // What only the source can tell needs no look without it.
                    if on.wait().drained() || !kept.is_over(cx) {
                        return Poll::Pending;
                    }
                }
                Ok(Armed::Source(interest)) => {
                    match on.wait().source().and_then(|source| reactor.register(source)) {
                        Ok(source) => readiness.set(Some(wait_ready(source, interest))),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    awaited = Some(interest);
                    kept.interest = awaited.filter(|_| EDGES);
                    tried = true;
                }
                Ok(Armed::After(time)) => {
                    pause.set(Some(tokio::time::sleep(time)));
                    if pause.as_mut().as_pin_mut().is_some_and(|pause| pause.poll(cx).is_pending())
                    {
                        return Poll::Pending;
                    }
                }
                // Never said to a task; if it is, stay correct.
                Ok(Armed::Park) => {
                    pause.set(Some(tokio::time::sleep(Duration::from_millis(1))));
                    if pause.as_mut().as_pin_mut().is_some_and(|pause| pause.poll(cx).is_pending())
                    {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}
