use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use anyipc_core::{Operation, Result, Source};

use crate::sys::{self, Fd, Socket};

/// The socket of a channel, shared by its two halves.
#[derive(Debug)]
pub struct Link {
    socket: Arc<Socket>,
    generation: u32,
    /// The generation, until the peer is known to be gone.
    alive: AtomicU32,
    /// Something was sent since the receiving half last looked at this.
    sent: Arc<AtomicBool>,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The tasks that sleep on the socket: the sender's, the receiver's. Whoever empties the socket
    /// may have taken the other's bell away and wakes it.
    wakers: [Option<Waker>; 2],
    /// How often a task slept on the socket since it was last emptied.
    sleeps: u32,
    /// Memory that the peer has handed over and the receiver has not handshake for yet.
    handed: Vec<Fd>,
}

/// Foreign code that was found under the lock. It runs without it, and so is it dropped.
type Woken = [Option<Waker>; 2];

fn wake(woken: Woken) {
    woken.into_iter().flatten().for_each(Waker::wake);
}

/// The most memory that a peer may hand over ahead of the receiver.
const MAX_HANDED: usize = 4;

/// The most sleeps with old bells on the socket: each adds one, and they must never fill it, since
/// it would take no new one then, and tell of none.
const MAX_SLEEPS: u32 = 8;

/// Which half of the channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The sending one.
    Sender,
    /// The receiving one.
    Receiver,
}

impl Link {
    pub(crate) fn new(socket: Arc<Socket>) -> Self {
        let generation = sys::generation();
        Self {
            socket,
            generation,
            alive: AtomicU32::new(generation),
            sent: Arc::default(),
            shared: Mutex::default(),
        }
    }

    /// Two ends of one connection without a handshake, for tests.
    ///
    /// # Errors
    /// What the system says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (a, b) = Socket::pair()?;
        Ok((Self::new(Arc::new(a)), Self::new(Arc::new(b))))
    }

    /// Notes that something is sent.
    #[inline]
    pub fn note_sent(&self) {
        // Looked at first: the halves may be two threads'.
        if !self.sent.load(Ordering::Relaxed) {
            self.sent.store(true, Ordering::Relaxed);
        }
    }

    /// Whether anything was sent, for a receiver that takes it back.
    pub fn sent_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.sent)
    }

    /// `Forked` in a child of the process that made the channel, whose memory is not there any
    /// more.
    #[inline]
    pub fn check_generation(&self, operation: Operation) -> Result<()> {
        sys::check_generation(self.generation, operation)
    }

    /// True if this is the process that made the channel.
    #[inline]
    pub fn is_ours(&self) -> bool {
        sys::generation() == self.generation
    }

    /// What is known so far of the peer's death.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.alive.load(Ordering::Relaxed) != self.generation
    }

    fn set_gone(&self) {
        self.alive.store(!self.generation, Ordering::Relaxed);
    }

    /// Whether it is ours and the peer is not known to be gone, in one comparison.
    #[inline]
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed) == sys::generation()
    }

    /// Asks the kernel whether the peer has hung up.
    pub fn check_gone(&self) -> bool {
        if !self.is_gone() && self.socket.hung_up() {
            self.set_gone();
        }
        self.is_gone()
    }

    /// One byte on the socket. A full socket is full of doorbell.
    pub fn ring_doorbell(&self) {
        if !self.socket.ring_doorbell() {
            self.set_gone();
        }
    }

    /// Ends the connection, for tests: the peer sees what it sees of a death.
    pub fn hang_up(&self) {
        self.socket.hang_up();
    }

    /// What a reactor registers, for both halves.
    ///
    /// # Errors
    /// None yet.
    pub fn source(&self) -> Result<Source> {
        self.socket.source()
    }

    /// Before a task sleeps: remembers its waker and empties the socket of old doorbell.
    pub fn register(&self, half: Half, waker: &Waker) {
        let (mut shared, forgotten) = self.remember(half, waker);
        let woken = self.empty(&mut shared, Some(half));
        drop(shared);
        drop(forgotten);
        wake(woken);
    }

    /// As [`register`](Self::register), for a task that hears new bells beside old ones: those are
    /// mostly left there.
    pub fn register_again(&self, half: Half, waker: &Waker) {
        let (mut shared, forgotten) = self.remember(half, waker);
        shared.sleeps += 1;
        let woken = if shared.sleeps >= MAX_SLEEPS {
            self.empty(&mut shared, Some(half))
        } else {
            Woken::default()
        };
        drop(shared);
        drop(forgotten);
        wake(woken);
    }

    /// Also returns the waker that was remembered before, to be dropped without the lock.
    fn remember(&self, half: Half, waker: &Waker) -> (MutexGuard<'_, Shared>, Option<Waker>) {
        let shared = self.shared();
        if shared.wakers[half as usize].as_ref().is_some_and(|known| known.will_wake(waker)) {
            return (shared, None);
        }
        drop(shared);
        let waker = waker.clone();
        let mut shared = self.shared();
        let forgotten = shared.wakers[half as usize].replace(waker);
        (shared, forgotten)
    }

    /// Takes everything off the socket, for who sleeps on many of them. True if the peer is gone.
    pub(crate) fn drain(&self) -> bool {
        let woken = self.empty(&mut self.shared(), None);
        wake(woken);
        // OpenerHandshake for: behind the last bell it is told only once.
        self.check_gone()
    }

    /// Takes everything off the socket. Returns the tasks that slept on that, but for the caller's
    /// own: the caller wakes them without the lock.
    fn empty(&self, shared: &mut Shared, own: Option<Half>) -> Woken {
        shared.sleeps = 0;
        let doorbell = self.socket.take_doorbell_bytes(&mut shared.handed);
        // Nobody honest is that far ahead.
        if doorbell.ended || shared.handed.len() > MAX_HANDED {
            shared.handed.truncate(MAX_HANDED);
            self.set_gone();
        }
        let mut woken = Woken::default();
        if doorbell.rang || doorbell.ended {
            for half in [Half::Sender, Half::Receiver] {
                if own != Some(half) {
                    woken[half as usize] = shared.wakers[half as usize].take();
                }
            }
        }
        woken
    }

    /// Hands memory over to the peer. False if the socket is full or gone: not now.
    pub fn hand_over(&self, memory: &Fd) -> bool {
        matches!(self.socket.send_with(&[1], &[memory]), Ok(1))
    }

    /// The memory that the peer handed over next, for the receiver.
    pub fn handed_over(&self) -> Option<Fd> {
        let mut shared = self.shared();
        let mut woken = Woken::default();
        if shared.handed.is_empty() {
            woken = self.empty(&mut shared, Some(Half::Receiver));
        }
        let next = if shared.handed.is_empty() { None } else { Some(shared.handed.remove(0)) };
        drop(shared);
        wake(woken);
        next
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
