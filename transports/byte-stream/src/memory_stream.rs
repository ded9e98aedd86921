//! One direction of bytes in memory, for the tests: what a system may do to a stream at its worst.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{Interest, Source};

use crate::stream::{Incoming, Outgoing};
use crate::wire::{BYE, MAX_ENCODED};

/// Bytes that are in flight at most.
pub(crate) const CAPACITY: usize = 3 * MAX_ENCODED;

#[derive(Debug)]
struct Way {
    bytes: VecDeque<u8>,
    /// How many bytes it takes from now on, whatever it said that it has room for: memory is short.
    left: usize,
    /// How many it takes more when it is enlarged.
    more: usize,
    /// What one call moves at most.
    most: usize,
    calls: usize,
    sends: bool,
    receives: bool,
    stopped: bool,
}

impl Way {
    /// Every third call is interrupted.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.calls.is_multiple_of(3) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }
}

type Shared = Arc<Mutex<Way>>;

fn lock(way: &Shared) -> MutexGuard<'_, Way> {
    way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where bytes go in.
#[derive(Debug)]
pub(crate) struct Out(Shared);

impl In {
    /// From now on the carrier takes so many bytes, and so many more once it is enlarged.
    pub(crate) fn starve(&self, left: usize, more: usize) {
        let mut way = lock(&self.0);
        (way.left, way.more) = (left, more);
    }
}

/// Where they come out.
#[derive(Debug)]
pub(crate) struct In(Shared);

/// Both ends of a direction of which one call moves so many bytes at most.
pub(crate) fn way(most: usize) -> (Out, In) {
    let (bytes, left) = (VecDeque::new(), usize::MAX);
    let way =
        Way { bytes, left, more: 0, most, calls: 0, sends: true, receives: true, stopped: false };
    let way = Arc::new(Mutex::new(way));
    (Out(Arc::clone(&way)), In(way))
}

impl Outgoing for Out {
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        let way = lock(&self.0);
        Ok(!way.receives || way.bytes.len() + len + BYE.len() <= CAPACITY)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut way = lock(&self.0);
        way.call()?;
        if !way.receives {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = CAPACITY.saturating_sub(way.bytes.len()).min(way.left);
        let taken = bytes.len().min(room).min(way.most);
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        way.left -= taken;
        way.bytes.extend(&bytes[..taken]);
        Ok(taken)
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.send(&[first, second].concat())
    }

    fn enlarge(&mut self) {
        let mut way = lock(&self.0);
        way.left = way.left.saturating_add(std::mem::take(&mut way.more));
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
        let mut way = lock(&self.0);
        way.call()?;
        if way.bytes.is_empty() && way.sends {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = bytes.len().min(way.most);
        way.bytes.read(&mut bytes[..most])
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
