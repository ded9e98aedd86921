use std::fmt;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;
use anyipc_sync::Effort;

use super::waiting::Waiting;
use super::{Named, within};
use crate::address::IntoAddress;
use crate::address::settings::WaitMode;

/// A number of permits that processes share: so many may do something at a time.
///
/// ```
/// use anyipc::sync::Semaphore;
///
/// let slots = Semaphore::create("shm://sync.slots", 2)?;
/// let one = slots.acquire()?;
/// let other = slots.acquire()?;
/// assert!(slots.try_acquire().is_err_and(|e| e.is_would_block()));
/// drop(one);
/// assert_eq!(slots.available()?, 1);
/// # drop(other);
/// # Ok::<(), anyipc::Error>(())
/// ```
///
/// *Deaths.* The permits of a process that dies are given back: at the next call that finds too
/// few, and for those that wait within 1 second and mostly within 10 ms. Nobody is told; if what
/// the permits stand for must be repaired after a death, use a [`Mutex`](super::Mutex).
///
/// *Order.* Permits go to the first call that comes, for half a millisecond; then one of those that
/// wait is first, and what it wants is left to it, one permit or many, until it has it. Calls that
/// do not wait take what they find.
pub struct Semaphore {
    raw: anyipc_sync::Semaphore,
    wait: WaitMode,
}

/// Permits of a [`Semaphore`]. Dropping it gives them back.
///
/// `Send`: they belong to the process's handle, not to the thread.
#[must_use = "a permit that is dropped at once allows nothing"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// At most [`MAX_PERMITS`](Semaphore::MAX_PERMITS). A whole word, see [`Flag`](super::Flag).
    count: u64,
}

impl Semaphore {
    /// Bytes of a semaphore in a block, for [`at`](Self::at). The next object begins at a
    /// multiple of 64.
    pub const SIZE: usize = anyipc_sync::Semaphore::SIZE;

    /// The most permits of a semaphore: 16,777,215.
    pub const MAX_PERMITS: u32 = anyipc_sync::Semaphore::MAX_PERMITS;

    /// Makes a semaphore with so many permits, at an address of its own. It lives until its last
    /// handle is dropped.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `InvalidOption` for more than
    /// [`MAX_PERMITS`](Self::MAX_PERMITS); `Unsupported` for any scheme but `shm`; those of
    /// [`create`](crate::create).
    pub fn create(address: impl IntoAddress, permits: u32) -> Result<Self> {
        Self::make(&Named::new(address)?, permits, false)
    }

    /// Opens a semaphore.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` if there is something else; those of [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(anyipc_sync::Semaphore::new)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Opens a semaphore, or makes it with so many permits.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`.
    pub fn open_or_create(address: impl IntoAddress, permits: u32) -> Result<Self> {
        Self::make(&Named::new(address)?, permits, true)
    }

    /// The semaphore at an offset of a block, a multiple of 64. Where the block's bytes are zero it
    /// is made, without permits: [`add_permits`](Self::add_permits). [`SIZE`](Self::SIZE) bytes
    /// belong to it from then on, and other calls of the block must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` or `Corrupt` if there is something else; `OutOfMemory` if the
    /// block has no place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize) -> Result<Self> {
        let raw = within(block, offset, anyipc_sync::Semaphore::new)?;
        Ok(Self { raw, wait: WaitMode::Adaptive })
    }

    fn make(named: &Named, permits: u32, adopts: bool) -> Result<Self> {
        let fresh = anyipc_sync::Semaphore::fresh(permits).map_err(|e| e.at(&named.address))?;
        let raw = named.make(Self::SIZE, &[(0, &fresh)], adopts, anyipc_sync::Semaphore::new)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Takes a permit. Blocks without a limit of time while there is none.
    ///
    /// # Errors
    /// `Removed` (found while waiting: the name leads to other memory, or to none); `Forked`.
    #[inline(always)]
    pub fn acquire(&self) -> Result<Permit<'_>> {
        self.acquire_within(1, None)
    }

    /// As [`acquire`](Self::acquire), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `acquire`.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit<'_>> {
        self.acquire_within(1, Some(timeout))
    }

    /// As [`acquire`](Self::acquire), without blocking.
    ///
    /// # Errors
    /// `WouldBlock`, and those of `acquire`.
    pub fn try_acquire(&self) -> Result<Permit<'_>> {
        self.try_acquire_many(1)
    }

    /// As [`acquire`](Self::acquire), for tasks. A dropped future has no permit, and takes no
    /// wake-up from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `acquire`.
    #[cfg(feature = "tokio")]
    pub async fn acquire_async(&self) -> Result<Permit<'_>> {
        self.acquire_many_async(1).await
    }

    /// Takes so many permits at once, or waits until there are as many. For more than exist it
    /// waits until some are added.
    ///
    /// # Errors
    /// `InvalidOption` for more than [`MAX_PERMITS`](Self::MAX_PERMITS); those of
    /// [`acquire`](Self::acquire).
    pub fn acquire_many(&self, count: u32) -> Result<Permit<'_>> {
        self.acquire_within(count, None)
    }

    /// As [`acquire_many`](Self::acquire_many), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `acquire_many`.
    pub fn acquire_many_timeout(&self, count: u32, timeout: Duration) -> Result<Permit<'_>> {
        self.acquire_within(count, Some(timeout))
    }

    /// As [`acquire_many`](Self::acquire_many), without blocking.
    ///
    /// # Errors
    /// `WouldBlock`, and those of `acquire_many`.
    pub fn try_acquire_many(&self, count: u32) -> Result<Permit<'_>> {
        if self.raw.try_acquire(count, Effort::Once, true)? {
            return Ok(Permit { semaphore: self, count: count.into() });
        }
        Err(Error::new(Operation::Lock, ErrorKind::WouldBlock))
    }

    /// As [`acquire_many`](Self::acquire_many), for tasks. A dropped future has no permit, and
    /// takes no wake-up from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `acquire_many`.
    #[cfg(feature = "tokio")]
    pub async fn acquire_many_async(&self, count: u32) -> Result<Permit<'_>> {
        let mut waiting = Waiting::new(self.raw.waiter(count), self.wait);
        waiting.wait_async(Operation::Lock).await?;
        Ok(Permit { semaphore: self, count: count.into() })
    }

    /// How many permits are left at the moment.
    ///
    /// # Errors
    /// `Forked`.
    pub fn available(&self) -> Result<u32> {
        self.raw.available()
    }

    /// Adds permits to those that exist.
    ///
    /// # Errors
    /// `InvalidOption` if that made more than [`MAX_PERMITS`](Self::MAX_PERMITS); `Forked`.
    pub fn add_permits(&self, count: u32) -> Result<()> {
        self.raw.add_permits(count)
    }

    #[inline(always)]
    fn acquire_within(&self, count: u32, timeout: Option<Duration>) -> Result<Permit<'_>> {
        if self.raw.try_acquire(count, Effort::Fresh, false)? {
            return Ok(Permit { semaphore: self, count: count.into() });
        }
        self.acquire_later(count, timeout)
    }

    #[cold]
    fn acquire_later(&self, count: u32, timeout: Option<Duration>) -> Result<Permit<'_>> {
        Waiting::new(self.raw.waiter(count), self.wait).wait(Operation::Lock, timeout)?;
        Ok(Permit { semaphore: self, count: count.into() })
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").finish_non_exhaustive()
    }
}

impl Permit<'_> {
    /// How many permits it is.
    #[inline]
    pub fn count(&self) -> u32 {
        self.count as u32
    }

    /// Destroys the permits: the semaphore has so many less from now on.
    pub fn forget(self) {
        self.semaphore.raw.forget(self.count());
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.semaphore.raw.release(self.count());
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").field("count", &self.count()).finish_non_exhaustive()
    }
}
