//! One direction of a channel: a bounded queue of frames, one sender, one receiver.
//!
//! The wake-up protocol: a waiter stores itself in `State` under the lock, after it has checked
//! under the same lock that there is nothing to do. The other side changes the state under the
//! lock, takes the waiter out, and wakes it after unlocking. So a change is seen either by the
//! waiter's check or by its wake-up. Transports without a lock need fences for this; see
//! [`anyipc_core::Wait`].

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, FrameHeader, Operation, Result, Waiter,
};

use crate::lock::lock;

/// The longest frame of any channel, in bytes.
const MAX_FRAME: usize = 64 << 10;

/// The tokens of the channels that may have something to receive. Locked after a direction's state,
/// never before it.
pub(crate) type Hints = Mutex<BTreeSet<u64>>;

/// One direction of a channel.
#[derive(Debug)]
pub(crate) struct Direction {
    state: Mutex<State>,
    /// Where a receiving thread parks.
    receiver_parks: Condvar,
    /// Where a sending thread parks.
    sender_parks: Condvar,
    /// The limit of `State::bytes`, in bytes.
    capacity: usize,
    /// The hints of the owner's inbox and this channel's token in them.
    hint: Option<(Arc<Hints>, u64)>,
}

#[derive(Debug, Default)]
struct State {
    /// Whole frames, each a [`FrameHeader`] and its payload. The memory is reused, never given
    /// back.
    bytes: VecDeque<u8>,
    sender_closed: bool,
    receiver_closed: bool,
    /// The receiver while it sleeps.
    receiver: Option<Sleeper>,
    /// The sender while it sleeps, and the length of the frame that must fit, in bytes.
    sender: Option<(Sleeper, usize)>,
    /// True while the hints contain this direction's token.
    is_hinted: bool,
}

/// How to wake a waiter.
#[derive(Debug)]
enum Sleeper {
    /// It parks on the condition variable of its half.
    Thread,
    /// Foreign code: cloned, woken and dropped without the lock.
    Task(Waker),
}

impl Direction {
    pub(crate) fn new(capacity: usize, hint: Option<(Arc<Hints>, u64)>) -> Self {
        let (receiver_parks, sender_parks) = (Condvar::new(), Condvar::new());
        Self { state: Mutex::default(), receiver_parks, sender_parks, capacity, hint }
    }

    pub(crate) fn max_frame(&self) -> usize {
        self.capacity.min(MAX_FRAME)
    }

    pub(crate) fn token(&self) -> Option<u64> {
        self.hint.as_ref().map(|(_, token)| *token)
    }

    /// `Ok` if a frame of `len` bytes can be pushed now.
    pub(crate) fn check_room(&self, len: usize) -> Result<()> {
        self.check(&lock(&self.state), len)
    }

    fn check(&self, state: &State, len: usize) -> Result<()> {
        if state.receiver_closed {
            Err(Error::new(Operation::Send, ErrorKind::Closed))
        } else if !self.fits(state, len) {
            Err(Error::new(Operation::Send, ErrorKind::WouldBlock))
        } else {
            Ok(())
        }
    }

    /// An empty queue takes any frame, so that a frame of `max_frame` fits beside its header.
    fn fits(&self, state: &State, len: usize) -> bool {
        state.bytes.is_empty() || state.bytes.len() + FRAME_HEADER + len <= self.capacity
    }

    /// Appends one frame of at most `max_frame` bytes.
    pub(crate) fn push(&self, flags: Flags, payload: &[u8]) -> Result<()> {
        let mut state = lock(&self.state);
        self.check(&state, payload.len())?;
        state.bytes.extend(FrameHeader { len: payload.len() as u32, flags }.encode());
        state.bytes.extend(payload);
        self.set_hint(&mut state, true);
        let receiver = state.receiver.take();
        drop(state);
        wake(receiver, &self.receiver_parks);
        Ok(())
    }

    /// Removes one frame and appends its payload to `buffer`.
    pub(crate) fn pop(&self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let mut state = lock(&self.state);
        let Some(header) = take_header(&mut state.bytes, self.max_frame())? else {
            if state.sender_closed {
                return Err(Error::new(Operation::Receive, ErrorKind::Closed));
            }
            self.set_hint(&mut state, false);
            return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
        };
        let (front, back) = state.bytes.as_slices();
        let len = (header.len as usize).min(state.bytes.len());
        let split = len.min(front.len());
        buffer.extend_from_slice(&front[..split]);
        buffer.extend_from_slice(&back[..len - split]);
        state.bytes.drain(..len);
        // A sender sleeps on while its frame does not fit.
        let sender = match &state.sender {
            Some((_, wanted)) if self.fits(&state, *wanted) => {
                state.sender.take().map(|(sleeper, _)| sleeper)
            }
            _ => None,
        };
        drop(state);
        wake(sender, &self.sender_parks);
        Ok(header.flags)
    }

    fn set_hint(&self, state: &mut State, on: bool) {
        if let Some((hints, token)) = &self.hint
            && state.is_hinted != on
        {
            state.is_hinted = on;
            if on {
                lock(hints).insert(*token)
            } else {
                lock(hints).remove(token)
            };
        }
    }

    pub(crate) fn arm_receiver(&self, waiter: Waiter<'_>) -> Armed {
        let (sleeper, armed) = sleeper(waiter);
        let mut state = lock(&self.state);
        if !state.bytes.is_empty() || state.sender_closed {
            return Armed::Ready;
        }
        let old = state.receiver.replace(sleeper);
        drop(state);
        drop(old);
        armed
    }

    pub(crate) fn arm_sender(&self, waiter: Waiter<'_>, wanted: usize) -> Armed {
        let (sleeper, armed) = sleeper(waiter);
        let mut state = lock(&self.state);
        if self.fits(&state, wanted) || state.receiver_closed {
            return Armed::Ready;
        }
        let old = state.sender.replace((sleeper, wanted));
        drop(state);
        drop(old);
        armed
    }

    pub(crate) fn park_receiver(&self, timeout: Duration) {
        self.park(&self.receiver_parks, timeout, |state| state.receiver.is_some());
    }

    pub(crate) fn park_sender(&self, timeout: Duration) {
        self.park(&self.sender_parks, timeout, |state| state.sender.is_some());
    }

    fn park(&self, parks: &Condvar, timeout: Duration, sleeps: fn(&State) -> bool) {
        let woken = parks.wait_timeout_while(lock(&self.state), timeout, |state| sleeps(state));
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn disarm_receiver(&self) {
        let sleeper = lock(&self.state).receiver.take();
        drop(sleeper);
    }

    pub(crate) fn disarm_sender(&self) {
        let sleeper = lock(&self.state).sender.take();
        drop(sleeper);
    }

    /// The receiver gets what is queued, then `Closed`.
    pub(crate) fn close_sender(&self) {
        let mut state = lock(&self.state);
        state.sender_closed = true;
        self.set_hint(&mut state, true);
        let receiver = state.receiver.take();
        drop(state);
        wake(receiver, &self.receiver_parks);
    }

    /// The sender gets `Closed`. What is queued is dropped, as it can no longer be received.
    pub(crate) fn close_receiver(&self) {
        let mut state = lock(&self.state);
        state.receiver_closed = true;
        state.bytes = VecDeque::new();
        self.set_hint(&mut state, false);
        let sender = state.sender.take().map(|(sleeper, _)| sleeper);
        drop(state);
        wake(sender, &self.sender_parks);
    }
}

/// What to store for this waiter, and what to answer it. Called without the lock.
fn sleeper(waiter: Waiter<'_>) -> (Sleeper, Armed) {
    match waiter {
        Waiter::Thread => (Sleeper::Thread, Armed::Park),
        Waiter::Task(waker) => (Sleeper::Task(waker.clone()), Armed::Waker),
    }
}

/// Wakes a waiter that was taken out of the state. Called without the lock.
fn wake(sleeper: Option<Sleeper>, parks: &Condvar) {
    match sleeper {
        Some(Sleeper::Thread) => parks.notify_one(),
        Some(Sleeper::Task(waker)) => waker.wake(),
        None => {}
    }
}

/// Removes the next frame's header; `None` if the queue is empty.
fn take_header(bytes: &mut VecDeque<u8>, max: usize) -> Result<Option<FrameHeader>> {
    if bytes.len() < FRAME_HEADER {
        return Ok(None);
    }
    let mut header = [0; FRAME_HEADER];
    for (to, from) in header.iter_mut().zip(bytes.drain(..FRAME_HEADER)) {
        *to = from;
    }
    FrameHeader::decode(header, max).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_reused() {
        let direction = Direction::new(1000, None);
        let mut buffer = Vec::new();
        let mut grown = Vec::new();
        for round in 0..10_000 {
            while direction.push(Flags::NONE, &[7; 100]).is_ok() {}
            for _ in 0..round % 9 + 1 {
                buffer.clear();
                direction.pop(&mut buffer).unwrap();
                assert_eq!(buffer, [7; 100]);
            }
            let capacity = lock(&direction.state).bytes.capacity();
            if grown.last() != Some(&capacity) {
                grown.push(capacity);
            }
        }
        assert!(grown.len() == 1 && grown[0] <= 2048, "{grown:?}");
    }

    #[test]
    fn only_enough_room_wakes_the_sender() {
        let direction = Direction::new(100, None);
        for _ in 0..5 {
            direction.push(Flags::NONE, &[0; 10]).unwrap();
        }
        assert_eq!(direction.arm_sender(Waiter::Thread, 10), Armed::Park);
        assert_eq!(direction.arm_sender(Waiter::Thread, 50), Armed::Park);
        let sleeps = || lock(&direction.state).sender.is_some();
        let pop = || direction.pop(&mut Vec::new()).unwrap();
        pop();
        pop();
        assert!(sleeps(), "46 bytes are free, 58 are needed");
        pop();
        assert!(!sleeps());
    }
}
