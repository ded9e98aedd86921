//! The sender of one peer, shared by threads and tasks: one at a time takes it out and sends a
//! message.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use anyipc_core::{Error, ErrorKind, Operation, Peer, Result};

use crate::channel::Link;
use crate::channel::sender::Sender;

#[derive(Debug)]
pub(super) struct SharedSender {
    link: Arc<Link>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` while a turn has it, and for ever once `ended`.
    sender: Option<Box<Sender>>,
    /// The connection has ended.
    ended: bool,
    /// Those that wait for their turn, by number, in the order in which they came. Only the first
    /// one may take the sender, and no number is in it twice.
    waiting: VecDeque<(u64, Waker)>,
    /// Wakes the task that has the sender and waits for room.
    holder: Option<Waker>,
    /// The last number given.
    last_number: u64,
}

impl SharedSender {
    pub(super) fn new(sender: Sender) -> Arc<Self> {
        let link = Arc::clone(sender.link());
        let state = State {
            sender: Some(Box::new(sender)),
            ended: false,
            waiting: VecDeque::new(),
            holder: None,
            last_number: 0,
        };
        Arc::new(Self { link, state: Mutex::new(state) })
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.link.peer
    }

    pub(super) fn explain(&self, error: Error) -> Error {
        self.link.explain(error.during(Operation::Send))
    }

    /// False if the receiver is known to have left or died. A sender that is in use finds out by
    /// itself.
    pub(super) fn is_heard(&self) -> bool {
        let mut state = self.state();
        match &mut state.sender {
            Some(sender) => sender.is_heard(),
            None => !state.ended,
        }
    }

    /// Ends the connection: nothing is sent any more, and what waits to send returns.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        // Dropped without the lock, as the wakers are woken: both may run foreign code.
        let sender = state.sender.take();
        let waiting: Vec<_> = state.waiting.drain(..).map(|(_, waker)| waker).collect();
        let holder = state.holder.take();
        drop(state);
        drop(sender);
        waiting.into_iter().chain(holder).for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One use of a shared sender. Dropping it gives the sender back.
#[derive(Debug)]
pub(super) struct Turn {
    of: Arc<SharedSender>,
    held: Option<Box<Sender>>,
    /// Its number among those that wait, if it does.
    number: Option<u64>,
}

impl Turn {
    pub(super) fn new(of: Arc<SharedSender>) -> Self {
        Self { of, held: None, number: None }
    }

    pub(super) fn held(&self) -> Option<&Sender> {
        self.held.as_deref()
    }

    pub(super) fn held_mut(&mut self) -> Option<&mut Sender> {
        self.held.as_deref_mut()
    }

    pub(super) fn explain(&self, error: Error) -> Error {
        self.of.explain(error)
    }

    /// The sender, if it is this one's turn.
    ///
    /// # Errors
    /// `WouldBlock` if it is not; `PeerGone` if the connection has ended.
    pub(super) fn take(&mut self) -> Result<&mut Sender> {
        let mut state = self.of.state();
        if state.ended {
            return Err(Error::new(Operation::Send, ErrorKind::PeerGone)
                .because("the inbox has ended the connection"));
        }
        if self.held.is_none() && state.is_first(self.number) {
            self.held = state.sender.take();
            if self.held.is_some() && self.number.take().is_some() {
                state.waiting.pop_front();
            }
        }
        drop(state);
        self.held.as_deref_mut().ok_or(Error::new(Operation::Send, ErrorKind::WouldBlock))
    }

    /// Leaves a waker, which the end of the connection wakes, and the turn if it has not come yet.
    /// True if there is no need to wait.
    pub(super) fn leave_waker(&mut self, waker: &Waker) -> bool {
        let mut new = waker.clone();
        let mut state = self.of.state();
        let state_now = &mut *state;
        if state_now.ended {
            return true;
        }
        let old = if self.held.is_some() {
            state_now.holder.replace(new)
        } else if state_now.sender.is_some() && state_now.is_first(self.number) {
            return true;
        } else {
            let number = *self.number.get_or_insert_with(|| {
                state_now.last_number += 1;
                state_now.last_number
            });
            match state_now.waiting.iter_mut().find(|(other, _)| *other == number) {
                Some((_, old)) => {
                    std::mem::swap(old, &mut new);
                    Some(new)
                }
                None => {
                    state_now.waiting.push_back((number, new));
                    None
                }
            }
        };
        drop(state);
        drop(old);
        false
    }
}

impl State {
    /// True if nobody waits, or nobody before this number.
    fn is_first(&self, number: Option<u64>) -> bool {
        self.waiting.front().is_none_or(|(first, _)| Some(*first) == number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut left = None;
        let mut state = self.of.state();
        if let Some(number) = self.number
            && let Some(place) = state.waiting.iter().position(|(other, _)| *other == number)
        {
            left = state.waiting.remove(place);
        }
        let holder = if self.held.is_some() { state.holder.take() } else { None };
        if !state.ended
            && let Some(sender) = self.held.take()
        {
            state.sender = Some(sender);
        }
        // Also if this one had no turn: it may have been woken for it.
        let next = match state.sender {
            Some(_) => state.waiting.front().map(|(_, waker)| waker.clone()),
            None => None,
        };
        drop(state);
        drop((left, holder));
        if let Some(next) = next {
            next.wake();
        }
    }
}
