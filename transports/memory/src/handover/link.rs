use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{Interest, Operation, Result, Source, Waiter};
use anyipc_os::{Event, sleep, sleep_on};

use crate::sys::{self, Fd, Socket};

/// The socket of a channel, shared by its two halves.
#[derive(Debug)]
pub struct Link {
    socket: Arc<Socket>,
    generation: u32,
    /// Equals `generation` while the peer is alive as far as is known, its complement afterwards:
    /// one comparison tests "not forked" and "peer alive".
    alive: AtomicU32,
    /// True if the sending half has sent since the receiving half last cleared this.
    sent: Arc<AtomicBool>,
    shared: Mutex<Shared>,
    /// What wakes the thread of a half when the other half took its doorbell byte: the sender's,
    /// the receiver's. Made when a thread that cannot [park](sys::parks) first sleeps.
    events: [OnceLock<Arc<Event>>; 2],
}

#[derive(Debug, Default)]
struct Shared {
    /// The waiters that sleep on the socket: the sender's, the receiver's. A half that empties the
    /// socket may have taken the other's doorbell byte and therefore wakes the other.
    wakers: [Option<Waker>; 2],
    /// Sleeps on the socket since it was last emptied.
    sleeps: u32,
    /// Memory that the peer has handed over and the receiver has not taken yet.
    handed: Vec<Fd>,
}

/// Wakers that were found under the lock. They are foreign code: they run and are dropped without
/// it.
type Woken = [Option<Waker>; 2];

fn wake(woken: Woken) {
    woken.into_iter().flatten().for_each(Waker::wake);
}

/// The most memory that a peer may hand over ahead of the receiver.
const MAX_HANDED: usize = 4;

/// The most sleeps with old doorbell bytes on the socket. Each may add one; a full socket would
/// take no new byte and report none.
const MAX_SLEEPS: u32 = 8;

/// The longest sleep of a thread without an event: the other half may take its doorbell byte.
const EVENTLESS: Duration = Duration::from_millis(10);

/// A half of a channel.
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
            events: Default::default(),
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

    /// Notes that this side sends.
    #[inline]
    pub fn note_sent(&self) {
        // Read first: the halves may belong to two threads, and a store would take the cache line
        // each time.
        if !self.sent.load(Ordering::Relaxed) {
            self.sent.store(true, Ordering::Relaxed);
        }
    }

    /// True since this side sent; the receiver clears it.
    pub fn sent_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.sent)
    }

    /// `Forked` in a child of the process that made the channel: the memory is not mapped there.
    #[inline]
    pub fn check_generation(&self, operation: Operation) -> Result<()> {
        sys::check_generation(self.generation, operation)
    }

    /// True if this is the process that made the channel.
    #[inline]
    pub fn is_ours(&self) -> bool {
        sys::generation() == self.generation
    }

    /// True if the peer is known to be gone. Asks nothing.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.alive.load(Ordering::Relaxed) != self.generation
    }

    fn set_gone(&self) {
        self.alive.store(!self.generation, Ordering::Relaxed);
    }

    /// True if this process made the channel and the peer is not known to be gone: one comparison.
    #[inline]
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Relaxed) == sys::generation()
    }

    /// Asks the kernel whether the peer has closed its socket. True if it is gone.
    pub fn check_gone(&self) -> bool {
        if !self.is_gone() && self.socket.hung_up() {
            self.set_gone();
        }
        self.is_gone()
    }

    /// Sends the doorbell byte. A full socket holds enough of them.
    pub fn ring_doorbell(&self) {
        if !self.socket.ring_doorbell() {
            self.set_gone();
        }
    }

    /// Ends the connection, for tests: to the peer it looks like a death.
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

    /// Before the waiter of a half sleeps. True if the doorbell wakes it; false if it is a thread
    /// that sleeps on the half's state word. The caller then announces it accordingly and looks
    /// again.
    ///
    /// # Errors
    /// `Forked`.
    pub fn arm(&self, half: Half, waiter: Waiter<'_>, operation: Operation) -> Result<bool> {
        self.check_generation(operation)?;
        match waiter {
            Waiter::Thread if sys::parks() => return Ok(false),
            Waiter::Thread => match self.event(half) {
                Some(event) => {
                    // Before it is registered: what sets it from then on ends the next sleep.
                    event.reset();
                    self.register(half, &Waker::from(Arc::clone(event)));
                }
                None => self.register(half, Waker::noop()),
            },
            Waiter::Task(waker) => self.register(half, waker),
        }
        Ok(true)
    }

    /// Blocks the thread of a half that [`arm`](Self::arm) registered, until the doorbell or the
    /// end of the connection.
    ///
    /// No wake-up is lost. The peer rings after the waiter was announced, which is after it was
    /// registered here. The byte stays on the socket, where this sleep finds it, or the other half
    /// takes it and sets the event. If the other half took the waker before that, for an older
    /// byte, the event is set as well: nothing resets it before the next `arm`.
    pub fn park(&self, half: Half, timeout: Duration) {
        let socket = Arc::clone(&self.socket) as Source;
        match self.events[half as usize].get() {
            Some(event) => {
                let sources = [socket, event.source()].map(|source| (source, Interest::Readable));
                sleep_on(&sources, timeout);
            }
            None => {
                sleep(&socket, Interest::Readable, timeout.min(EVENTLESS));
            }
        }
    }

    /// `None` while the process has no descriptor left for it: a channel works without.
    fn event(&self, half: Half) -> Option<&Arc<Event>> {
        let slot = &self.events[half as usize];
        if slot.get().is_none()
            && let Ok(event) = Event::new()
        {
            let _ = slot.set(event);
        }
        slot.get()
    }

    /// Before a task sleeps: stores its waker and takes old doorbell bytes off the socket.
    pub fn register(&self, half: Half, waker: &Waker) {
        let (mut shared, forgotten) = self.remember(half, waker);
        let woken = self.empty(&mut shared, Some(half));
        drop(shared);
        drop(forgotten);
        wake(woken);
    }

    /// As [`register`](Self::register), for a task with a reactor that reports new bytes although
    /// old ones are left: most calls leave them.
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

    /// Also returns the waker that was stored before, to be dropped without the lock.
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

    /// Takes everything off the socket, for an inbox that sleeps on many. True if the peer is gone.
    pub(crate) fn drain(&self) -> bool {
        let woken = self.empty(&mut self.shared(), None);
        wake(woken);
        // Checked: an end behind the last doorbell byte is reported only once.
        self.check_gone()
    }

    /// Takes everything off the socket. Returns the wakers of those that slept on it, except the
    /// caller's own: the caller wakes them without the lock.
    fn empty(&self, shared: &mut Shared, own: Option<Half>) -> Woken {
        shared.sleeps = 0;
        let doorbell = self.socket.take_doorbell_bytes(&mut shared.handed);
        // An honest peer is never that far ahead.
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
