//! What a new connection sends first: the calls that are unsent, in their order. Threads and tasks
//! send in their own way; what follows from it is here.

use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::ClientEvent;
use super::shared::{Out, Shared, wake};
use crate::channel::sender::Sender;

/// A new connection, with a sender that nobody else has yet. Its drop puts the sender back.
pub(crate) struct Resending<'a> {
    shared: &'a Shared,
    epoch: u64,
    /// `None` once it was put back.
    sender: Option<Sender>,
    /// The call that is sent now.
    current: Option<Unsent>,
    /// How many calls were sent again.
    repeated: usize,
}

/// A call to be sent.
pub(crate) struct Unsent {
    id: u32,
    pub(crate) request: Vec<u8>,
    pub(crate) until: Option<Instant>,
    /// It was sent before.
    repeated: bool,
}

impl<'a> Resending<'a> {
    pub(crate) fn new(shared: &'a Shared, sender: Sender, epoch: u64) -> Self {
        Self { shared, epoch, sender: Some(sender), current: None, repeated: 0 }
    }

    /// The next call to send, and what to send it with; `None` if there is none, or the connection
    /// is lost.
    pub(crate) fn next(&mut self) -> Option<(&mut Sender, &Unsent)> {
        let sender = self.sender.as_mut()?;
        let mut state = self.shared.lock();
        if !state.up || state.epoch != self.epoch {
            return None;
        }
        let (id, call) = state.calls.first_unsent()?;
        let (until, repeated) = (call.deadline, call.repeated);
        let request = Shared::take_request(&mut state, id)?;
        Some((sender, self.current.insert(Unsent { id, request, until, repeated })))
    }

    /// Moves the call on that [`next`](Self::next) gave. After a failure the rest is sent by those
    /// that wait for it, or over the next connection.
    pub(crate) fn sent(&mut self, sent: Result<()>) {
        let Some(call) = self.current.take() else { return };
        let Some(sender) = self.sender.take() else { return };
        let goes_on = sent.is_ok();
        self.repeated += usize::from(call.repeated && goes_on);
        let mut state = self.shared.lock();
        self.shared.put_sent(&mut state, call.id, self.epoch, sender, call.request, sent);
        if goes_on
            && state.up
            && state.epoch == self.epoch
            && let Out::Idle(sender) = std::mem::replace(&mut state.out, Out::Busy)
        {
            self.sender = Some(sender);
        }
    }
}

impl Drop for Resending<'_> {
    fn drop(&mut self) {
        // Of a task that was dropped while it sent.
        self.sent(Err(Error::new(Operation::Send, ErrorKind::TimedOut)));
        let mut state = self.shared.lock();
        if state.up
            && state.epoch == self.epoch
            && let Some(sender) = self.sender.take()
        {
            state.out = Out::Idle(sender);
        }
        let wakers = state.hand_over();
        drop(state);
        wake(wakers);
        if self.repeated > 0 {
            self.shared.event(ClientEvent::Resent(self.repeated));
        }
    }
}
