//! How threads wait for the answers to their calls.
//!
//! One of them, the leader, receives for all and hands each answer to its call; the others park.
//! When the leader has its own answer, it puts the receiver back and wakes one of the others, which
//! leads next. Without a connection the leader connects. No thread of the library's own is needed,
//! and a thread that is alone receives its answer itself.

use std::sync::MutexGuard;
use std::task::Waker;
use std::thread::{park, park_timeout};
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::ClientEvent;
use super::calls::{Call, Progress};
use super::resending::Resending;
use super::shared::{Out, Shared, State, wake};
use crate::channel::Channel;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;
use crate::registry::opening::{Opening, open_then_connect};
use crate::request::frame::Frame;
use crate::wait::deadline;
use crate::wait::unpark::Unpark;

/// Reads the payload of a response.
pub(super) type Read<'a> = dyn FnMut(&[u8]) + 'a;

/// How a wait for a call has ended.
pub(super) enum Waited<'a> {
    /// The response was shown to the caller's closure, and the call is removed.
    Read,
    /// Something has come for the call.
    News(MutexGuard<'a, State>),
}

/// How a turn as the leader has ended.
enum Led {
    Read,
    /// Something has changed: look again.
    Changed,
    Late,
}

impl Call {
    /// True if there is something to take: the outcome, or an item.
    pub(crate) fn has_news(&self) -> bool {
        matches!(self.progress, Progress::Done(_))
            || self.stream.as_ref().is_some_and(|stream| !stream.items.is_empty())
    }
}

impl Shared {
    /// Begins a call. Blocks while there is no room for another one.
    ///
    /// # Errors
    /// `TimedOut`, `Forked`.
    pub(super) fn begin(
        &self,
        request: &mut [u8],
        deadline: Option<Instant>,
        window: u16,
    ) -> Result<u32> {
        let mut unpark = Unpark::default();
        let mut state = self.lock();
        loop {
            if let Some(id) = self.try_begin(&mut state, request, deadline, window) {
                return Ok(id);
            }
            let late = deadline.is_some_and(|at| Instant::now() >= at);
            if !late && state.up && state.receiver.is_some() {
                // An answer makes room.
                self.lead(state, None, deadline, &mut None)?;
            } else if late {
                return Err(Error::new(Operation::Call, ErrorKind::TimedOut)
                    .because("the client has as many calls in flight as it may"));
            } else {
                state.room.push(unpark.waker().clone());
                drop(state);
                park_until(deadline);
            }
            state = self.lock();
        }
    }

    /// Waits until the request of a call is sent, or the call is over.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub(super) fn wait_sent(&self, id: u32, deadline: Option<Instant>) -> Result<()> {
        let sent = |call: &Call| !matches!(call.progress, Progress::Unsent | Progress::Sending);
        self.wait_until(id, deadline, None, sent).map(drop)
    }

    /// Waits until something has come for a call. The response of a call without a stream is shown
    /// to `read` if this thread receives it itself.
    ///
    /// # Errors
    /// `TimedOut`, `Forked`; without a connection those of connecting.
    pub(super) fn wait(
        &self,
        id: u32,
        deadline: Option<Instant>,
        read: Option<&mut Read<'_>>,
    ) -> Result<Waited<'_>> {
        self.wait_until(id, deadline, read, Call::has_news)
    }

    fn wait_until(
        &self,
        id: u32,
        until: Option<Instant>,
        mut read: Option<&mut Read<'_>>,
        is_enough: impl Fn(&Call) -> bool,
    ) -> Result<Waited<'_>> {
        // When to give up without a connection.
        let mut patience = None;
        let mut unpark = Unpark::default();
        let mut state = self.lock();
        loop {
            let Some(call) = state.calls.get(id) else {
                return Err(Error::new(Operation::Call, ErrorKind::Closed));
            };
            if is_enough(call) {
                return Ok(Waited::News(state));
            }
            let unsent = matches!(call.progress, Progress::Unsent);
            let dead = matches!(state.out, Out::Dead);
            let mut limit = until;
            if state.up {
                patience = None;
                if unsent && matches!(state.out, Out::Idle(_)) {
                    state = self.send(state, id, until);
                    if !has_passed(until) {
                        continue;
                    }
                } else if state.receiver.is_some() && (!unsent || dead) {
                    let led = self.lead(state, Some(id), until, &mut read)?;
                    if matches!(led, Led::Read) {
                        return Ok(Waited::Read);
                    }
                    state = self.lock();
                    if matches!(led, Led::Changed)
                        || state.calls.get(id).is_some_and(|call| is_enough(call))
                    {
                        continue;
                    }
                }
            } else {
                let patience = *patience.get_or_insert_with(|| deadline(Some(self.timeout)));
                limit = until.into_iter().chain(patience).min();
                if !state.leading {
                    self.connect(state, limit)?;
                    state = self.lock();
                    continue;
                }
                // A task that leads sleeps while nobody needs a connection.
                state.driver.take().into_iter().for_each(Waker::wake);
            }
            if has_passed(limit) {
                return Err(if state.up { late() } else { absent() });
            }
            if let Some(call) = state.calls.get(id) {
                call.waker = Some(unpark.waker().clone());
            }
            drop(state);
            park_until(limit);
            state = self.lock();
        }
    }

    /// Sends the request of an unsent call. Blocks while there is no room: never for long, because
    /// a server always reads.
    fn send<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        id: u32,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        let Out::Idle(mut sender) = std::mem::replace(&mut state.out, Out::Busy) else {
            return state;
        };
        let epoch = state.epoch;
        let Some(request) = Self::take_request(&mut state, id) else {
            state.out = Out::Idle(sender);
            return state;
        };
        drop(state);
        let sent = send_until(&mut sender, &request, until);
        let mut state = self.lock();
        self.put_sent(&mut state, id, epoch, sender, request, sent);
        let wakers = state.hand_over();
        if wakers.is_empty() {
            return state;
        }
        drop(state);
        wake(wakers);
        self.lock()
    }

    /// Receives as the leader, until something has come for call `id`, or, without an id, for any.
    ///
    /// # Errors
    /// `Forked`.
    fn lead(
        &self,
        mut state: MutexGuard<'_, State>,
        id: Option<u32>,
        until: Option<Instant>,
        read: &mut Option<&mut Read<'_>>,
    ) -> Result<Led> {
        let Some(receiver) = state.receiver.take() else { return Ok(Led::Changed) };
        state.leading = true;
        drop(state);
        let mut leader = Leader { shared: self, receiver: Some(receiver), read: None };
        loop {
            if let Some(led) = leader.receive(id, until, read)? {
                return Ok(led);
            }
        }
    }

    /// Hands a message of the server to its call. True if the call is `mine`, or `mine` is none.
    ///
    /// # Errors
    /// `Corrupt` if the server broke the protocol.
    pub(crate) fn deliver(&self, frame: Frame, payload: &[u8], mine: Option<u32>) -> Result<bool> {
        let mut state = self.lock();
        let waker = state.calls.deliver(frame, payload)?;
        let is_mine = mine.is_none_or(|id| state.calls.get(id).is_none_or(|call| call.has_news()));
        let room = std::mem::take(&mut state.room);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        wake(room);
        Ok(is_mine)
    }

    /// Connects as the leader, and sends what is unsent.
    ///
    /// # Errors
    /// Those of connecting.
    fn connect(&self, mut state: MutexGuard<'_, State>, until: Option<Instant>) -> Result<()> {
        state.leading = true;
        let again = state.epoch > 0;
        drop(state);
        let leader = Leader { shared: self, receiver: None, read: None };
        if again {
            self.event(ClientEvent::Reconnecting);
        }
        let (sender, epoch) = self.install(self.open(until)?)?;
        // From here on others may lead.
        drop(leader);
        self.send_unsent(sender, epoch, until);
        Ok(())
    }

    /// Sends what is unsent over a new connection, in order, and puts the sender back.
    fn send_unsent(&self, sender: Sender, epoch: u64, until: Option<Instant>) {
        let mut resending = Resending::new(self, sender, epoch);
        while let Some((sender, next)) = resending.next() {
            let limit = until.into_iter().chain(next.until).min();
            let sent = send_until(sender, &next.request, limit);
            resending.sent(sent);
        }
    }

    /// Opens and connects. Blocks until `until`.
    fn open(&self, until: Option<Instant>) -> Result<Channel> {
        let time = until.map_or(self.timeout, |at| at.saturating_duration_since(Instant::now()));
        let registry = self.registry.clone();
        let mut opening = Opening::new(registry, self.address.clone(), Operation::Connect, time);
        open_then_connect(&mut opening, |endpoint| self.names.client_hello(endpoint))
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// Those of connecting.
    pub(super) fn ensure_connected(&self) -> Result<()> {
        let limit = deadline(Some(self.timeout));
        let mut unpark = Unpark::default();
        loop {
            let mut state = self.lock();
            if state.up {
                return Ok(());
            }
            if !state.leading {
                return self.connect(state, limit);
            }
            if has_passed(limit) {
                return Err(absent());
            }
            state.driver.take().into_iter().for_each(Waker::wake);
            state.room.push(unpark.waker().clone());
            drop(state);
            park_until(limit);
        }
    }
}

/// The thread that receives or connects for all. Its drop lets another lead.
struct Leader<'a> {
    shared: &'a Shared,
    /// `None` while it connects, and after the end of the connection.
    receiver: Option<Receiver>,
    /// The call with the response that the caller's closure has read.
    read: Option<u32>,
}

impl Leader<'_> {
    /// Receives one message.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    fn receive(
        &mut self,
        mine: Option<u32>,
        until: Option<Instant>,
        read: &mut Option<&mut Read<'_>>,
    ) -> Result<Option<Led>> {
        let Some(receiver) = &mut self.receiver else { return Ok(Some(Led::Changed)) };
        let (shared, is_read) = (self.shared, &mut self.read);
        let mut taken = Ok(false);
        let take = |message: &[u8]| {
            taken = Frame::decode(message).and_then(|(frame, payload)| match (frame, read) {
                (Frame::Response { id }, Some(read)) if Some(id) == mine => {
                    *is_read = mine;
                    read(payload);
                    Ok(true)
                }
                (frame, _) => shared.deliver(frame, payload, mine),
            });
        };
        let received = match until {
            None => receiver.recv_with(take),
            Some(at) => {
                receiver.recv_with_timeout(at.saturating_duration_since(Instant::now()), take)
            }
        };
        match received.and(taken) {
            Ok(_) if self.read.is_some() => Ok(Some(Led::Read)),
            Ok(is_mine) => Ok(is_mine.then_some(Led::Changed)),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(Some(Led::Late)),
            Err(error) if error.kind() == ErrorKind::Forked => Err(error),
            Err(error) => {
                self.receiver = None;
                shared.lose(shared.explain(error));
                Ok(Some(Led::Changed))
            }
        }
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.leading = false;
        if let Some(receiver) = self.receiver.take() {
            state.receiver = Some(receiver);
        }
        if let Some(id) = self.read {
            state.calls.forget(id);
        }
        let wakers = state.hand_over();
        drop(state);
        wake(wakers);
    }
}

fn send_until(sender: &mut Sender, request: &[u8], until: Option<Instant>) -> Result<()> {
    match until {
        None => sender.send(request),
        Some(at) => sender.send_timeout(request, at.saturating_duration_since(Instant::now())),
    }
}

fn park_until(until: Option<Instant>) {
    match until {
        None => park(),
        Some(at) => park_timeout(at.saturating_duration_since(Instant::now())),
    }
}

fn has_passed(until: Option<Instant>) -> bool {
    until.is_some_and(|at| Instant::now() >= at)
}

fn late() -> Error {
    Error::new(Operation::Call, ErrorKind::TimedOut).because("no answer came in time")
}

fn absent() -> Error {
    Error::new(Operation::Call, ErrorKind::NoOwner)
        .because("no owner serves there; start it first, or raise timeout=")
}
