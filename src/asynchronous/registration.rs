//! A task's registration with a backend and with the runtime's reactor, for one wait.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyipc_core::{Armed, Interest, Result, Waiter};
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep};

use super::reactor::Register;
use super::sys::{EDGES, Registered};
use crate::wait::{Disarm, Waitable};

/// What one wait leaves to the next for the same thing.
#[derive(Debug, Default)]
pub(super) struct Retained {
    /// Wakes the task after a slice without a readiness, with the runtime that the timer belongs
    /// to. Kept because starting a timer takes the runtime's lock.
    slice: Option<(Id, Pin<Box<Sleep>>)>,
    /// The readiness that the last wait listened for. Only where the reactor is edge-triggered.
    interest: Option<Interest>,
    /// Spins left that yield before their first try, since the peer was found to need this thread.
    pub(super) yielding_spins: u32,
}

impl Retained {
    /// True if the next try is useless: only the source can make it succeed, and the source has
    /// been listened to since before the last try, or is registered next and then reports what is
    /// there.
    pub(super) fn makes_try_useless<W: Waitable + ?Sized>(&self, on: &mut W) -> bool {
        self.interest.is_some() && !on.spinner().expects_to_spin() && on.target().drained()
    }

    /// True if the slice is over, and the next one begins. Otherwise its end wakes the task.
    fn is_slice_over(&mut self, cx: &mut Context<'_>, slice: Duration) -> bool {
        let runtime = Handle::current().id();
        self.slice.take_if(|(of, _)| *of != runtime);
        let (_, timer) = self.slice.get_or_insert_with(|| (runtime, Box::pin(sleep(slice))));
        if timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        timer.as_mut().reset(Instant::now() + slice);
        true
    }
}

/// What is known about the last try when the registration goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The last try found nothing, and the source has been listened to since before it, in the
    /// previous wait: re-arming is enough.
    Inherited,
    /// The last try found nothing, and nothing has become ready since: arm next.
    Tried,
    /// Something may have happened since the last try: try next.
    Stale,
}

/// How a wait goes on after [`Registration::sleep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The task will be woken.
    Asleep,
    /// Look again now.
    Again,
    /// Look again after the runtime's other tasks: what is left to do may take long.
    Yield,
}

/// Listens to the reactor, arms, and disarms when it is dropped, also with a cancelled future.
pub(super) struct Registration<'a, W: Waitable + ?Sized, L, F> {
    on: Disarm<'a, W>,
    reactor: &'a dyn Register,
    retained: &'a mut Retained,
    state: State,
    /// The readiness that `listening` waits for; `None` exactly if that is `None`.
    interest: Option<Interest>,
    listening: Pin<&'a mut Option<F>>,
    /// Makes `listening`: [`wait_ready`](super::sys::wait_ready). Its future has no name.
    listen: L,
    /// The timer for a backend that says when to look again.
    pause: Pin<&'a mut Option<Sleep>>,
}

impl<'a, W, L, F> Registration<'a, W, L, F>
where
    W: Waitable + ?Sized,
    L: Fn(Arc<Registered>, Interest) -> F,
    F: Future<Output = Result<()>>,
{
    /// Called after a try that found nothing. Listens as the last wait did, so that one arming is
    /// enough: most halves only ever wait for one readiness.
    ///
    /// # Errors
    /// Those of registering the source.
    pub(super) fn new(
        on: &'a mut W,
        reactor: &'a dyn Register,
        retained: &'a mut Retained,
        listen: L,
        listening: Pin<&'a mut Option<F>>,
        pause: Pin<&'a mut Option<Sleep>>,
    ) -> Result<Self> {
        let (on, state, interest) = (Disarm(on), State::Tried, None);
        let mut this = Self { on, reactor, retained, state, interest, listening, listen, pause };
        if let Some(interest) = this.retained.interest {
            this.listen(interest)?;
            this.state = State::Inherited;
        }
        Ok(this)
    }

    pub(super) fn target(&mut self) -> &mut W {
        &mut *self.on.0
    }

    /// True if the next try may find something. Counts that try as made.
    ///
    /// Listening comes before the try, so that no readiness is left which reports what the try
    /// receives. It also comes before arming: the other half of the channel shares the source and
    /// may take a readiness in between.
    ///
    /// # Errors
    /// Those of the reactor.
    pub(super) fn needs_try(&mut self, cx: &mut Context<'_>) -> Result<bool> {
        if let Some(listening) = self.listening.as_mut().as_pin_mut()
            && let Poll::Ready(result) = listening.poll(cx)
        {
            self.listening.set(None);
            self.interest = None;
            self.state = State::Stale;
            result?;
        }
        let stale = self.state == State::Stale;
        if stale {
            self.state = State::Tried;
        }
        Ok(stale)
    }

    /// Arms after a try that found nothing.
    ///
    /// # Errors
    /// Those of arming and of registering the source.
    pub(super) fn sleep(&mut self, cx: &mut Context<'_>) -> Result<Next> {
        let state = std::mem::replace(&mut self.state, State::Stale);
        let on = &mut *self.on.0;
        if on.take_interrupted() {
            return Ok(Next::Yield);
        }
        let armed = match state {
            State::Inherited => on.target().rearm(cx.waker())?,
            State::Tried | State::Stale => on.target().arm(Waiter::Task(cx.waker()))?,
        };
        match armed {
            Armed::Ready => {
                on.target().disarm();
                Ok(Next::Again)
            }
            Armed::Waker => Ok(Next::Asleep),
            Armed::Source(interest) if self.interest == Some(interest) => {
                let slice = on.slice();
                if let Some(due) = on.target().due().filter(|due| *due < slice) {
                    return Ok(self.pause(due, cx));
                }
                // What only the source can report needs no look at the end of the slice.
                let asleep = on.target().drained() || !self.retained.is_slice_over(cx, slice);
                Ok(if asleep { Next::Asleep } else { Next::Again })
            }
            Armed::Source(interest) => {
                self.listen(interest)?;
                self.retained.interest = EDGES.then_some(interest);
                self.state = State::Tried;
                Ok(Next::Again)
            }
            Armed::After(time) => Ok(self.pause(time, cx)),
            // Backends answer this to threads only. A backend that breaks the rule is polled.
            Armed::Park => Ok(self.pause(Duration::from_millis(1), cx)),
        }
    }

    /// Listens for a readiness of the source, in place of the one before.
    fn listen(&mut self, interest: Interest) -> Result<()> {
        let source = self.on.0.target().source()?;
        self.listening.set(Some((self.listen)(self.reactor.register(source)?, interest)));
        self.interest = Some(interest);
        Ok(())
    }

    /// Looks again after `time` at the latest.
    fn pause(&mut self, time: Duration, cx: &mut Context<'_>) -> Next {
        self.pause.set(Some(sleep(time)));
        let pause = self.pause.as_mut().as_pin_mut();
        if pause.is_some_and(|pause| pause.poll(cx).is_pending()) {
            Next::Asleep
        } else {
            Next::Again
        }
    }
}
