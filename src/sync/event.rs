use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result, Wait};
use anyipc_shared_memory::Block;
use anyipc_sync::Reset;

use super::waiting::Waiting;
use super::{Named, within};
use crate::address::IntoAddress;
use crate::address::settings::WaitMode;
use crate::wait::select::{Arming, Member};

/// A signal that processes wait for: "ready", "stop", "there is work".
///
/// With [`Reset::Manual`] the event stays set, and every wait ends at once, until it is reset. With
/// [`Reset::Auto`] the wait that sees the signal takes it: each `set` ends one wait. Two calls of
/// `set` before a waiter comes are one signal; count with a semaphore what must be counted.
///
/// What was written before `set`, to shared memory or elsewhere, is seen after the wait.
///
/// *Deaths.* The event has no owner, and stays as it is when a process dies. A waiter that dies
/// costs no other one the signal, unless it had already taken it, that is, its wait had ended. If
/// the process that sets the event dies before it has woken the waiters, they find the signal
/// within 50 ms, in a [`Select`](crate::Select) within 100 ms.
///
/// *Cost.* `set` makes no system call if nothing waits.
///
/// ```
/// use anyipc::sync::{Event, Reset};
///
/// let ready = Event::create("shm://sync.ready", Reset::Manual)?;
/// let indexer = std::thread::spawn(|| Event::open("shm://sync.ready")?.set());
/// ready.wait()?;
/// assert!(ready.is_set()?);
/// # indexer.join().unwrap()?;
/// # Ok::<(), anyipc::Error>(())
/// ```
pub struct Event {
    raw: anyipc_sync::Event,
    wait: WaitMode,
}

impl Event {
    /// Bytes of an event in a block, for [`at`](Self::at). The next object begins at a
    /// multiple of 64.
    pub const SIZE: usize = anyipc_sync::Event::SIZE;

    /// Makes an event that is not set, at an address of its own. It lives until its last handle is
    /// dropped.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `Unsupported` for any scheme but `shm`; those of
    /// [`create`](crate::create).
    pub fn create(address: impl IntoAddress, reset: Reset) -> Result<Self> {
        Self::make(&Named::new(address)?, reset, false)
    }

    /// Opens an event, whatever its reset.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` or `Corrupt` if there is something else; those of
    /// [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(anyipc_sync::Event::find)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Opens an event with this reset, or makes it.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`;
    /// `Mismatch` also if it has the other reset.
    pub fn open_or_create(address: impl IntoAddress, reset: Reset) -> Result<Self> {
        Self::make(&Named::new(address)?, reset, true)
    }

    /// The event at an offset of a block, a multiple of 64. Where the block's bytes are zero it is
    /// made; [`SIZE`](Self::SIZE) bytes belong to it from then on, and other calls of the block
    /// must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` if there is something else, or its reset is the other one;
    /// `Corrupt`; `OutOfMemory` if the block has no place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize, reset: Reset) -> Result<Self> {
        let raw = within(block, offset, |place| anyipc_sync::Event::new(place, reset))?;
        Ok(Self { raw, wait: WaitMode::Adaptive })
    }

    fn make(named: &Named, reset: Reset, adopts: bool) -> Result<Self> {
        let identity = anyipc_sync::Event::fresh(reset);
        let raw = named.make(Self::SIZE, &[(0, &identity)], adopts, |place| {
            anyipc_sync::Event::new(place, reset)
        })?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Sets the event: all waits end, or one with [`Reset::Auto`].
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn set(&self) -> Result<()> {
        self.raw.set()
    }

    /// Ends being set. True if it was.
    ///
    /// # Errors
    /// `Forked`.
    pub fn reset(&self) -> Result<bool> {
        self.raw.reset()
    }

    /// True if it is set. Takes no signal.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn is_set(&self) -> Result<bool> {
        self.raw.is_set()
    }

    /// Waits until the event is set, and takes the signal with [`Reset::Auto`]. Blocks without a
    /// limit of time.
    ///
    /// # Errors
    /// `Removed` (found while waiting: the name leads to other memory, or to none); `Forked`.
    #[inline]
    pub fn wait(&self) -> Result<()> {
        self.wait_within(None)
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `wait`.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<()> {
        self.wait_within(Some(timeout))
    }

    /// As [`wait`](Self::wait), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if it is not set, and `Forked`.
    #[inline]
    pub fn try_wait(&self) -> Result<()> {
        match self.raw.try_wait()? {
            true => Ok(()),
            false => Err(Error::new(Operation::Lock, ErrorKind::WouldBlock)),
        }
    }

    /// As [`wait`](Self::wait), for tasks. A dropped future has taken no signal, and no wake-up
    /// from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `wait`.
    #[cfg(feature = "tokio")]
    pub async fn wait_async(&self) -> Result<()> {
        Waiting::new(self.raw.waiter(), self.wait).wait_async(Operation::Lock).await
    }

    /// A waiter for a [`Select`](crate::Select), which is ready when the event is set.
    pub fn waiter(&self) -> EventWaiter<'_> {
        EventWaiter { waiter: self.raw.waiter(), may_spin: self.wait != WaitMode::Block }
    }

    #[inline]
    fn wait_within(&self, timeout: Option<Duration>) -> Result<()> {
        match self.raw.try_wait()? {
            true => Ok(()),
            false => self.wait_later(timeout),
        }
    }

    #[cold]
    fn wait_later(&self, timeout: Option<Duration>) -> Result<()> {
        Waiting::new(self.raw.waiter(), self.wait).wait(Operation::Lock, timeout)
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("reset", &self.raw.how()).finish_non_exhaustive()
    }
}

/// An event as a member of a [`Select`](crate::Select), from [`Event::waiter`].
///
/// The select takes no signal: when it says that the event is ready, [`Event::try_wait`] does.
/// Another waiter may be faster; `try_wait` then returns `WouldBlock`.
///
/// ```
/// use anyipc::sync::{Event, Reset};
///
/// let stop = Event::create("shm://sync.stop", Reset::Manual)?;
/// let mut owner = anyipc::create("shm://sync.jobs")?;
/// let (mut jobs, mut stops) = (owner.acceptor()?, stop.waiter());
/// stop.set()?;
/// let mut select = anyipc::Select::new()?;
/// match select.wait(&mut [&mut jobs, &mut stops])? {
///     0 => drop(jobs.try_accept()?),
///     _ => stop.try_wait()?,
/// }
/// # Ok::<(), anyipc::Error>(())
/// ```
#[derive(Debug)]
pub struct EventWaiter<'a> {
    waiter: anyipc_sync::EventWaiter<'a>,
    may_spin: bool,
}

impl Member for EventWaiter<'_> {
    fn is_ready(&mut self) -> bool {
        // An error, too: the next `try_wait` returns it.
        !matches!(self.waiter.event().is_set(), Ok(false))
    }
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool> {
        arming.arm(&mut self.waiter)
    }
    fn disarm_in_select(&mut self) {
        self.waiter.disarm();
    }
    fn may_spin(&mut self) -> bool {
        self.may_spin
    }
}
