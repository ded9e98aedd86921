//! For the tests: one direction of bytes in memory that does the worst that a system may do to a
//! stream.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{Interest, Source};

use crate::stream::{Incoming, Outgoing};
use crate::wire::{BYE, MAX_ENCODED};

/// The most bytes in flight.
pub(crate) const CAPACITY: usize = 3 * MAX_ENCODED;

#[derive(Debug)]
struct State {
    bytes: VecDeque<u8>,
    /// How many bytes it takes from now on, although it said that it has room: memory is short.
    left: usize,
    /// How many more it takes once its send buffer is raised.
    more: usize,
    /// The most bytes that one call moves.
    most: usize,
    /// The number of calls.
    calls: usize,
    /// True until the sender ends.
    sends: bool,
    /// True until the receiver is dropped.
    receives: bool,
    /// True once the receiver said that it closes.
    stopped: bool,
}

impl State {
    /// Counts a call. Every third one is interrupted.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The sender's end.
#[derive(Debug)]
pub(crate) struct Out(Shared);

/// The receiver's end.
#[derive(Debug)]
pub(crate) struct In(Shared);

/// Both ends of a stream of which one call moves at most `most` bytes.
pub(crate) fn stream(most: usize) -> (Out, In) {
    let state = State {
        bytes: VecDeque::new(),
        left: usize::MAX,
        more: 0,
        most,
        calls: 0,
        sends: true,
        receives: true,
        stopped: false,
    };
    let state = Arc::new(Mutex::new(state));
    (Out(Arc::clone(&state)), In(state))
}

impl In {
    /// From now on the stream takes `left` bytes, and `more` once its send buffer is raised.
    pub(crate) fn starve(&self, left: usize, more: usize) {
        let mut state = lock(&self.0);
        (state.left, state.more) = (left, more);
    }
}

impl Outgoing for Out {
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        let state = lock(&self.0);
        Ok(!state.receives || state.bytes.len() + len + BYE.len() <= CAPACITY)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = lock(&self.0);
        state.call()?;
        if !state.receives {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = CAPACITY.saturating_sub(state.bytes.len()).min(state.left);
        let taken = bytes.len().min(room).min(state.most);
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.left -= taken;
        state.bytes.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.send(&[first, second].concat())
    }

    fn raise_send_buffer(&mut self) {
        let mut state = lock(&self.0);
        state.left = state.left.saturating_add(std::mem::take(&mut state.more));
    }

    fn end(&mut self, _orderly: bool) {
        lock(&self.0).sends = false;
    }

    fn stopped(&mut self) -> bool {
        lock(&self.0).stopped
    }

    fn source(&self) -> Source {
        unreachable!("nothing here waits")
    }

    fn interest(&self) -> Interest {
        Interest::Writable
    }
}

impl Incoming for In {
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut state = lock(&self.0);
        state.call()?;
        if state.bytes.is_empty() && state.sends {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = bytes.len().min(state.most);
        state.bytes.read(&mut bytes[..most])
    }

    fn stop(&mut self) {
        lock(&self.0).stopped = true;
    }

    fn source(&self) -> Source {
        unreachable!("nothing here waits")
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        lock(&self.0).sends = false;
    }
}

impl Drop for In {
    fn drop(&mut self) {
        lock(&self.0).receives = false;
    }
}
