use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, FrameHeader, Operation, Result, Waiter,
};

use crate::lock;

/// The longest frame of any channel, in bytes.
const MAX_FRAME: usize = 64 << 10;

/// The tokens of the channels that may have something to receive.
pub(crate) type Hints = Mutex<BTreeSet<u64>>;

/// One direction of a channel: a bounded queue of frames, one sender, one receiver.
#[derive(Debug)]
pub(crate) struct Direction {
    state: Mutex<State>,
    reader_wakes: Condvar,
    writer_wakes: Condvar,
    capacity: usize,
    hint: Option<(Arc<Hints>, u64)>,
}

#[derive(Debug, Default)]
struct State {
    /// The frames, each a [`FrameHeader`] and its payload. The memory is reused, never given back.
    bytes: VecDeque<u8>,
    sender_left: bool,
    receiver_left: bool,
    reader: Option<Sleeper>,
    /// The sleeping sender and the payload it needs room for.
    writer: Option<(Sleeper, usize)>,
    /// The hints name this direction.
    hinted: bool,
}

/// A task's waker is foreign code: it is cloned, woken and dropped without the lock.
#[derive(Debug)]
enum Sleeper {
    Thread,
    Task(Waker),
}

impl Direction {
    pub(crate) fn new(capacity: usize, hint: Option<(Arc<Hints>, u64)>) -> Self {
        let state = Mutex::default();
        Self { state, reader_wakes: Condvar::new(), writer_wakes: Condvar::new(), capacity, hint }
    }

    pub(crate) fn max_frame(&self) -> usize {
        self.capacity.min(MAX_FRAME)
    }

    pub(crate) fn token(&self) -> Option<u64> {
        self.hint.as_ref().map(|(_, token)| *token)
    }

    /// Whether a frame of `len` bytes could be pushed now.
    pub(crate) fn check_room(&self, len: usize) -> Result<()> {
        self.check(&lock(&self.state), len)
    }

    fn check(&self, state: &State, len: usize) -> Result<()> {
        if state.receiver_left {
            Err(Error::new(Operation::Send, ErrorKind::Closed))
        } else if !self.fits(state, len) {
            Err(Error::new(Operation::Send, ErrorKind::WouldBlock))
        } else {
            Ok(())
        }
    }

    /// An empty queue takes any frame, so that the longest one fits beside its header.
    fn fits(&self, state: &State, len: usize) -> bool {
        state.bytes.is_empty() || state.bytes.len() + FRAME_HEADER + len <= self.capacity
    }

    /// Appends one frame of at most `max_frame` bytes.
    pub(crate) fn push(&self, flags: Flags, payload: &[u8]) -> Result<()> {
        let mut state = lock(&self.state);
        self.check(&state, payload.len())?;
        state.bytes.extend(FrameHeader { len: payload.len() as u32, flags }.encode());
        state.bytes.extend(payload);
        self.hint(&mut state, true);
        let reader = state.reader.take();
        drop(state);
        wake(reader, &self.reader_wakes);
        Ok(())
    }

    /// Removes one frame and appends its payload to `buffer`.
    pub(crate) fn pop(&self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let mut state = lock(&self.state);
        let Some(header) = take_header(&mut state.bytes, self.max_frame())? else {
            if state.sender_left {
                return Err(Error::new(Operation::Receive, ErrorKind::Closed));
            }
            self.hint(&mut state, false);
            return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
        };
        let (front, back) = state.bytes.as_slices();
        let len = (header.len as usize).min(state.bytes.len());
        let split = len.min(front.len());
        buffer.extend_from_slice(&front[..split]);
        buffer.extend_from_slice(&back[..len - split]);
        state.bytes.drain(..len);
        let writer = match &state.writer {
            Some((_, wanted)) if self.fits(&state, *wanted) => {
                state.writer.take().map(|(sleeper, _)| sleeper)
            }
            _ => None,
        };
        drop(state);
        wake(writer, &self.writer_wakes);
        Ok(header.flags)
    }

    fn hint(&self, state: &mut State, on: bool) {
        if let Some((hints, token)) = &self.hint
            && state.hinted != on
        {
            state.hinted = on;
            if on {
                lock(hints).insert(*token)
            } else {
                lock(hints).remove(token)
            };
        }
    }

    pub(crate) fn arm_reader(&self, waiter: Waiter<'_>) -> Armed {
        let (sleeper, armed) = sleeper(waiter);
        let mut state = lock(&self.state);
        if !state.bytes.is_empty() || state.sender_left {
            return Armed::Ready;
        }
        let forgotten = state.reader.replace(sleeper);
        drop(state);
        drop(forgotten);
        armed
    }

    pub(crate) fn arm_writer(&self, waiter: Waiter<'_>, wanted: usize) -> Armed {
        let (sleeper, armed) = sleeper(waiter);
        let mut state = lock(&self.state);
        if self.fits(&state, wanted) || state.receiver_left {
            return Armed::Ready;
        }
        let forgotten = state.writer.replace((sleeper, wanted));
        drop(state);
        drop(forgotten);
        armed
    }

    pub(crate) fn park_reader(&self, timeout: Duration) {
        self.park(&self.reader_wakes, timeout, |state| state.reader.is_some());
    }

    pub(crate) fn park_writer(&self, timeout: Duration) {
        self.park(&self.writer_wakes, timeout, |state| state.writer.is_some());
    }

    fn park(&self, wakes: &Condvar, timeout: Duration, asleep: fn(&State) -> bool) {
        let state: MutexGuard<'_, State> = lock(&self.state);
        let woken = wakes.wait_timeout_while(state, timeout, |state| asleep(state));
        drop(woken.unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn disarm_reader(&self) {
        let forgotten = lock(&self.state).reader.take();
        drop(forgotten);
    }

    pub(crate) fn disarm_writer(&self) {
        let forgotten = lock(&self.state).writer.take();
        drop(forgotten);
    }

    /// The receiver gets what is queued, then `Closed`.
    pub(crate) fn sender_leaves(&self) {
        let mut state = lock(&self.state);
        state.sender_left = true;
        self.hint(&mut state, true);
        let reader = state.reader.take();
        drop(state);
        wake(reader, &self.reader_wakes);
    }

    /// The sender gets `Closed`; nobody will read what is queued.
    pub(crate) fn receiver_leaves(&self) {
        let mut state = lock(&self.state);
        state.receiver_left = true;
        state.bytes = VecDeque::new();
        self.hint(&mut state, false);
        let writer = state.writer.take().map(|(sleeper, _)| sleeper);
        drop(state);
        wake(writer, &self.writer_wakes);
    }
}

fn sleeper(waiter: Waiter<'_>) -> (Sleeper, Armed) {
    match waiter {
        Waiter::Thread => (Sleeper::Thread, Armed::Park),
        Waiter::Task(waker) => (Sleeper::Task(waker.clone()), Armed::Waker),
    }
}

/// Called without the lock.
fn wake(sleeper: Option<Sleeper>, wakes: &Condvar) {
    match sleeper {
        Some(Sleeper::Thread) => wakes.notify_one(),
        Some(Sleeper::Task(waker)) => waker.wake(),
        None => {}
    }
}

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
        assert_eq!(direction.arm_writer(Waiter::Thread, 10), Armed::Park);
        assert_eq!(direction.arm_writer(Waiter::Thread, 50), Armed::Park);
        let sleeps = || lock(&direction.state).writer.is_some();
        let pop = || direction.pop(&mut Vec::new()).unwrap();
        pop();
        pop();
        assert!(sleeps(), "46 bytes are free, 58 are needed");
        pop();
        assert!(!sleeps());
    }
}
