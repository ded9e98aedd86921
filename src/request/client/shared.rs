//! What all handles of a client share: its connection and its calls, under one lock that is never
//! held while anything waits.
//!
//! The two halves of the channel are borrowed from here. A thread that sends takes the sender, and
//! one thread, the leader, takes the receiver and receives for all ([`lead`](super::lead)).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::calls::{Call, Calls, Progress};
use super::{ClientEvent, Options, Resend};
use crate::address::Address;
use crate::channel::Channel;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::codec::CodecId;
use crate::registry::Registry;
use crate::request::frame::{Frame, HEAD, set_id, set_left};
use crate::request::{Names, max_bytes};

/// The sending half of the connection.
#[derive(Debug)]
pub(crate) enum Out {
    Idle(Sender),
    /// A thread or a task sends with it now.
    Busy,
    /// The owner does not receive any more. What it sent is received before the loss is reported.
    Dead,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) calls: Calls,
    /// There is a connection. Without one, `out` is `Dead` and there is no receiver.
    pub(crate) up: bool,
    /// How many connections there were.
    pub(crate) epoch: u64,
    pub(crate) out: Out,
    /// `None` while a leader has it.
    pub(crate) receiver: Option<Receiver>,
    /// A thread or a task receives, or connects.
    pub(crate) leading: bool,
    /// Those that wait for room for another call.
    pub(crate) room: Vec<Waker>,
    /// Cancels and credits that found no room in the channel. At most one and a few for each call.
    control: Vec<[u8; HEAD]>,
    /// The most bytes of requests in flight.
    pub(crate) max_bytes: usize,
    /// Wakes the task that leads, if it is a task.
    pub(crate) driver: Option<Waker>,
    /// The last handle was dropped.
    pub(crate) closed: bool,
}

pub(crate) struct Shared {
    pub(crate) registry: Registry,
    pub(crate) address: Address,
    /// The longest wait for an owner.
    pub(crate) timeout: Duration,
    pub(crate) codec: CodecId,
    pub(crate) names: Names,
    pub(crate) options: Options,
    /// Handles of the user: clients and calls. The connection ends with the last.
    pub(super) handles: AtomicUsize,
    /// The sources of both halves of the connection, as the runtime knows them.
    #[cfg(feature = "tokio")]
    pub(crate) reactor: crate::asynchronous::reactor::Reactor,
    state: Mutex<State>,
}

impl Shared {
    pub(super) fn new(
        registry: Registry,
        address: Address,
        timeout: Duration,
        codec: CodecId,
        names: Names,
        options: Options,
    ) -> Self {
        let state = State {
            calls: Calls::new(options.in_flight),
            up: false,
            epoch: 0,
            out: Out::Dead,
            receiver: None,
            leading: false,
            room: Vec::new(),
            control: Vec::new(),
            max_bytes: usize::MAX,
            driver: None,
            closed: false,
        };
        let handles = AtomicUsize::new(0);
        Self {
            registry,
            address,
            timeout,
            codec,
            names,
            options,
            handles,
            #[cfg(feature = "tokio")]
            reactor: Default::default(),
            state: state.into(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn event(&self, event: ClientEvent) {
        if let Some(on_event) = &self.options.on_event {
            on_event(event);
        }
    }

    pub(crate) fn explain(&self, error: Error) -> Error {
        error.during(Operation::Call).at(&self.address)
    }

    pub(super) fn repeats(&self) -> bool {
        self.options.resend == Resend::AtLeastOnce
    }

    /// Begins a call with this encoded request, and sends it if that needs no wait. `None` if there
    /// is no room for another call.
    ///
    /// # Errors
    /// `MessageTooLarge`.
    pub(crate) fn try_begin(
        &self,
        state: &mut State,
        request: &mut [u8],
        deadline: Option<Instant>,
        window: u16,
    ) -> Option<u32> {
        if !state.calls.has_room(request.len(), state.max_bytes) {
            return None;
        }
        // Those that wait to send come first.
        let may_send = !state.calls.has_unsent() && state.control.is_empty();
        let id = state.calls.insert(Call::new(deadline, window), request.len());
        set_id(request, id);
        let mut sent = false;
        if may_send && let Out::Idle(sender) = &mut state.out {
            match sender.try_send(request) {
                Ok(()) => sent = true,
                Err(error) if has_ended(&error) => state.out = Out::Dead,
                // No room, or not in one frame: a call that can wait sends it.
                Err(_) => {}
            }
        }
        if sent {
            state.calls.set(id, Progress::Sent);
        }
        if (!sent || self.repeats())
            && let Some(call) = state.calls.get(id)
        {
            call.request = request.to_vec();
        }
        Some(id)
    }

    /// Takes the request of an unsent call out, to be sent now.
    pub(crate) fn take_request(state: &mut State, id: u32) -> Option<Vec<u8>> {
        let call = state.calls.get(id)?;
        let mut request = std::mem::take(&mut call.request);
        let now = Instant::now();
        set_left(&mut request, call.deadline.map(|at| at.saturating_duration_since(now)));
        state.calls.set(id, Progress::Sending);
        Some(request)
    }

    /// Puts the sender back after a send, and moves the call on as that ended.
    pub(crate) fn put_sent(
        &self,
        state: &mut State,
        id: u32,
        epoch: u64,
        sender: Sender,
        request: Vec<u8>,
        sent: Result<()>,
    ) {
        let current = state.up && state.epoch == epoch;
        let mut dead = false;
        let next = match sent {
            Ok(()) if current => Progress::Sent,
            Ok(()) if self.repeats() => Progress::Unsent,
            Ok(()) => Progress::Done(Err(unanswered(ErrorKind::PeerGone, "the connection ended"))),
            Err(error) if error.kind() == ErrorKind::TimedOut => Progress::Unsent,
            Err(error) if has_ended(&error) => {
                dead = true;
                Progress::Unsent
            }
            Err(error) => Progress::Done(Err(error)),
        };
        if current {
            state.out = if dead { Out::Dead } else { Out::Idle(sender) };
        }
        let Some(call) = state.calls.get(id) else { return };
        match call.progress {
            Progress::Sending => {
                let unsent = matches!(next, Progress::Unsent);
                call.repeated |= !current && unsent;
                if unsent || self.repeats() {
                    call.request = request;
                }
                state.calls.set(id, next);
            }
            // No answer will come.
            Progress::Abandoned if !matches!(next, Progress::Sent) => {
                state.calls.forget(id);
            }
            // Its answer has come meanwhile.
            _ => {}
        }
    }

    /// Nobody waits for this call any more: its answer is thrown away, and a request that was sent
    /// is cancelled.
    pub(crate) fn abandon(&self, id: u32) {
        let mut state = self.lock();
        let Some(call) = state.calls.get(id) else { return };
        call.waker = None;
        match call.progress {
            Progress::Unsent | Progress::Done(_) => state.calls.forget(id),
            Progress::Sending | Progress::Sent => {
                state.calls.set(id, Progress::Abandoned);
                state.control.push(Frame::Cancel { id }.encode());
            }
            Progress::Abandoned => {}
        }
        let wakers = state.hand_over();
        drop(state);
        wake(wakers);
    }

    /// Tells the server that there is room for more items.
    pub(crate) fn grant(state: &mut State, id: u32, items: u16) {
        state.control.push(Frame::Credit { id, items }.encode());
        state.flush_control();
    }

    /// Takes a new connection into use. The sender is returned: the caller sends what is unsent,
    /// and puts it back.
    ///
    /// # Errors
    /// `Mismatch` if the owner serves no requests.
    pub(crate) fn install(&self, channel: Channel) -> Result<(Sender, u64)> {
        self.names.check_server(channel.peer())?;
        let peer = channel.peer().clone();
        let (sender, receiver) = channel.split();
        let mut state = self.lock();
        state.up = true;
        state.epoch += 1;
        state.out = Out::Busy;
        state.receiver = Some(receiver);
        state.max_bytes = max_bytes(sender.max_message());
        let epoch = state.epoch;
        drop(state);
        self.event(ClientEvent::Connected(peer));
        Ok((sender, epoch))
    }

    /// The connection has ended, and everything that arrived was received.
    pub(crate) fn lose(&self, reason: Error) {
        let mut state = self.lock();
        state.up = false;
        state.out = Out::Dead;
        state.receiver = None;
        state.control.clear();
        state.max_bytes = usize::MAX;
        let text = reason.to_string();
        let kind = reason.kind();
        let mut wakers = state.calls.lose(self.repeats(), || unanswered(kind, &text));
        wakers.append(&mut state.room);
        drop(state);
        self.event(ClientEvent::Lost(reason));
        wake(wakers);
    }
}

#[cfg(feature = "tokio")]
impl Shared {
    /// No owner can be reached, for this reason: what waits for one fails.
    pub(crate) fn fail_unsent(&self, reason: &Error) {
        let mut state = self.lock();
        let mut wakers = Vec::new();
        while let Some((id, call)) = state.calls.first_unsent() {
            wakers.extend(call.waker.take());
            let error = Error::new(Operation::Call, reason.kind()).because(reason.to_string());
            state.calls.set(id, Progress::Done(Err(error)));
        }
        drop(state);
        wake(wakers);
    }
}

impl State {
    /// Sends cancels and credits as far as there is room.
    fn flush_control(&mut self) {
        let Out::Idle(sender) = &mut self.out else { return };
        let mut count = 0;
        for frame in &self.control {
            match sender.try_send(frame) {
                Ok(()) => count += 1,
                Err(error) if has_ended(&error) => {
                    self.out = Out::Dead;
                    break;
                }
                Err(_) => break,
            }
        }
        self.control.drain(..count);
    }

    /// Finds those that can go on after the sender or the receiver was put back or a call has
    /// ended, to be woken once the lock is free.
    #[must_use]
    pub(crate) fn hand_over(&mut self) -> Vec<Waker> {
        let mut wakers = std::mem::take(&mut self.room);
        if !self.control.is_empty() {
            self.flush_control();
        }
        if self.calls.len() == 0 {
            return wakers;
        }
        if matches!(self.out, Out::Idle(_))
            && let Some((_, call)) = self.calls.first_unsent()
        {
            wakers.extend(call.waker.take());
        }
        if !self.leading {
            let any = !self.up || matches!(self.out, Out::Dead);
            let waits = |call: &Call| any || matches!(call.progress, Progress::Sent);
            let next = self
                .calls
                .iter_mut()
                .find_map(|(_, call)| if waits(call) { call.waker.take() } else { None });
            wakers.extend(next);
        } else if self.calls.has_unsent() || !self.control.is_empty() {
            wakers.extend(self.driver.take());
        }
        wakers
    }
}

pub(crate) fn wake(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

/// True if nothing can be sent over this connection any more.
pub(crate) fn has_ended(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Closed | ErrorKind::PeerGone | ErrorKind::Corrupt | ErrorKind::Io
    )
}

fn unanswered(kind: ErrorKind, reason: &str) -> Error {
    Error::new(Operation::Call, kind).because(format!(
        "the request was sent, and no answer came: the owner may have acted on it, or not. \
         Resend::AtLeastOnce would repeat it ({reason})"
    ))
}

/// A handle of the user that keeps the connection open.
pub(crate) struct Handle(pub(crate) std::sync::Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: std::sync::Arc<Shared>) -> Self {
        shared.handles.fetch_add(1, Ordering::Relaxed);
        Self(shared)
    }
}

impl std::ops::Deref for Handle {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(std::sync::Arc::clone(&self.0))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // AcqRel: the last one sees what all others did before.
        if self.0.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = self.0.lock();
            state.closed = true;
            let driver = state.driver.take();
            drop(state);
            driver.into_iter().for_each(Waker::wake);
        }
    }
}
