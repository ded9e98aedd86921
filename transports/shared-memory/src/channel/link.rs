use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use anyipc_core::{Operation, Result, Source};

use crate::ring::Wake;
use crate::sys::{self, Socket};

/// The socket of a channel, shared by its two halves.
#[derive(Debug)]
pub(crate) struct Link {
    socket: Arc<Socket>,
    generation: u32,
    gone: AtomicBool,
    /// The tasks that sleep on the socket: the sender's, the receiver's. Whoever empties the socket may have
    /// taken the other's bell away and wakes it.
    wakers: Mutex<[Option<Waker>; 2]>,
}

/// Which half of the channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Half {
    Sender,
    Receiver,
}

impl Link {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        Self {
            socket,
            generation: sys::generation(),
            gone: AtomicBool::new(false),
            wakers: Mutex::new([None, None]),
        }
    }

    /// `Forked` in a child of the process that made the channel, whose memory is not there any more.
    #[inline]
    pub(crate) fn check_generation(&self, operation: Operation) -> Result<()> {
        sys::check_generation(self.generation, operation)
    }

    /// True if this is the process that made the channel.
    pub(crate) fn is_ours(&self) -> bool {
        sys::generation() == self.generation
    }

    /// What is known so far of the peer's death.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Asks the kernel whether the peer has hung up.
    pub(crate) fn look(&self) -> bool {
        if !self.is_gone() && self.socket.hung_up() {
            self.gone.store(true, Ordering::Relaxed);
        }
        self.is_gone()
    }

    /// Wakes the peer, whose state word is `word`.
    #[cold]
    pub(crate) fn wake(&self, wake: Wake, word: &std::sync::atomic::AtomicU32) {
        match wake {
            Wake::Nobody => {}
            Wake::Thread => sys::futex_wake(word, 1),
            Wake::Reactor => self.ring_bell(),
        }
    }

    /// One byte on the socket. A full socket is full of bells.
    pub(crate) fn ring_bell(&self) {
        if !self.socket.ring_bell() {
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn hang_up(&self) {
        self.socket.hang_up();
    }

    /// What a reactor registers, for both halves.
    pub(crate) fn source(&self) -> Result<Source> {
        self.socket.source()
    }

    /// Before a task sleeps: remembers its waker and empties the socket of old bells.
    pub(crate) fn prepare(&self, half: Half, waker: &Waker) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let [sender, receiver] = &mut *wakers;
        let (mine, other) = match half {
            Half::Sender => (sender, receiver),
            Half::Receiver => (receiver, sender),
        };
        if !mine.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *mine = Some(waker.clone());
        }
        let bells = self.socket.take_bells();
        if bells.hung_up {
            self.gone.store(true, Ordering::Relaxed);
        }
        if (bells.rung || bells.hung_up)
            && let Some(other) = other.take()
        {
            other.wake();
        }
    }
}

/// When a half last looked at the socket: it looks again after 100 ms of calls that tell nothing of the peer.
#[derive(Debug)]
pub(crate) struct Pulse {
    looked: u64,
}

const LOOK_EVERY_MS: u64 = 100;

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { looked: sys::coarse_millis() }
    }

    #[inline]
    pub(crate) fn is_due(&mut self) -> bool {
        let now = sys::coarse_millis();
        let due = now.wrapping_sub(self.looked) >= LOOK_EVERY_MS;
        if due {
            self.looked = now;
        }
        due
    }
}
