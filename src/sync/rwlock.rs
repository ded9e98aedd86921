use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;
use anyipc_sync::{Effort, Taken};

use super::waiting::Waiting;
use super::{Flag, LockResult, Named, Plain, within};
use crate::address::IntoAddress;
use crate::address::of_memory;
use crate::address::settings::WaitMode;

/// A lock for one writer or many readers, with a value that processes share.
///
/// ```
/// use anyipc::sync::RwLock;
///
/// let limits = RwLock::create("shm://sync.limits", [10u32, 20])?;
/// {
///     // Readers do not wait for each other, in any process.
///     let (one, other) = (limits.read()?.into_inner(), limits.read()?.into_inner());
///     assert_eq!(one[0] + other[1], 30);
/// }
/// limits.write()?.recover(|_limits| { /* a writer died */ })[1] = 40;
/// assert_eq!(*limits.read()?.into_inner(), [10, 40]);
/// # Ok::<(), anyipc::Error>(())
/// ```
///
/// *The value* is copied as that of a [`Mutex`](super::Mutex): out when the lock is taken, and back
/// when a changed write guard is dropped. Large data belongs into a [`Block`] that an `RwLock<()>`
/// protects.
///
/// *Deaths.* A reader that dies gives its lock back, which is no news. After a writer has died with
/// the lock, all that lock it get [`LockResult::OwnerDied`], readers as well, until a writer has
/// called [`make_consistent`](RwLockWriteGuard::make_consistent); if the first writer that was told
/// drops its guard without that, the lock is poisoned as a mutex is. A death is noticed within 1
/// second and mostly within 10 ms.
///
/// *Order.* While a writer waits for readers to leave, no reader comes in. Those that wait get
/// their turn as with a mutex: a newcomer passes them for half a millisecond at most. So neither
/// readers nor writers starve.
///
/// A thread that locks while it has a guard may wait for itself, also if both are read guards: a
/// writer may have come in between. There is no way to make a read guard a write guard.
pub struct RwLock<T> {
    raw: anyipc_sync::RwLock,
    wait: WaitMode,
    /// `Send` and `Sync` for any `T`: it holds none.
    value: PhantomData<fn() -> T>,
}

/// A reader's lock on an [`RwLock`]. Dropping it unlocks.
///
/// `Send`: the lock belongs to the process's handle, not to the thread.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockReadGuard<'a, T: Plain> {
    lock: &'a RwLock<T>,
    value: T,
}

/// The writer's lock on an [`RwLock`]. Dropping it unlocks.
///
/// `Send`: the lock belongs to the process's handle, not to the thread.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct RwLockWriteGuard<'a, T: Plain> {
    lock: &'a RwLock<T>,
    value: T,
    is_changed: Flag,
    /// No writer died before, or what it left was repaired.
    is_consistent: Flag,
}

impl<T: Plain> RwLock<T> {
    /// Bytes of an rwlock in a block, for [`at`](Self::at). The next object begins at a
    /// multiple of 64.
    pub const SIZE: usize = anyipc_sync::RwLock::size(size_of::<T>());

    /// Makes an rwlock with this value, at an address of its own. It lives until its last handle is
    /// dropped.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `Unsupported` for any scheme but `shm`; those of
    /// [`create`](crate::create).
    pub fn create(address: impl IntoAddress, value: T) -> Result<Self> {
        Self::make(&Named::new(address)?, &value, false)
    }

    /// Opens an rwlock.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` if there is something else, or its value has another size; those of
    /// [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(|place| anyipc_sync::RwLock::new(place, size_of::<T>()))?;
        Ok(Self { raw, wait: named.wait, value: PhantomData })
    }

    /// Opens an rwlock, or makes it with this value.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`.
    pub fn open_or_create(address: impl IntoAddress, value: T) -> Result<Self> {
        Self::make(&Named::new(address)?, &value, true)
    }

    /// The rwlock at an offset of a block, a multiple of 64. Where the block's bytes are zero it is
    /// made, with a value of zeroes; [`SIZE`](Self::SIZE) bytes belong to it from then on, and
    /// other calls of the block must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` or `Corrupt` if there is something else; `OutOfMemory` if the
    /// block has no place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize) -> Result<Self> {
        let raw = within(block, offset, |place| anyipc_sync::RwLock::new(place, size_of::<T>()))?;
        Ok(Self { raw, wait: WaitMode::Adaptive, value: PhantomData })
    }

    fn make(named: &Named, value: &T, adopts: bool) -> Result<Self> {
        let (identity, at) = anyipc_sync::RwLock::fresh(size_of::<T>());
        let contents: &[(usize, &[u8])] = &[(0, &identity), (at, value.as_bytes())];
        let raw = named.make(Self::SIZE, contents, adopts, |place| {
            anyipc_sync::RwLock::new(place, size_of::<T>())
        })?;
        Ok(Self { raw, wait: named.wait, value: PhantomData })
    }

    /// Locks as a reader. Blocks without a limit of time while a write guard exists or is waited
    /// for, in any process.
    ///
    /// # Errors
    /// `Poisoned`; `Removed` (found while waiting: the name leads to other memory, or to none);
    /// `Forked`.
    #[inline(always)]
    pub fn read(&self) -> Result<LockResult<RwLockReadGuard<'_, T>>> {
        self.read_within(None)
    }

    /// As [`read`](Self::read), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `read`.
    pub fn read_timeout(&self, timeout: Duration) -> Result<LockResult<RwLockReadGuard<'_, T>>> {
        self.read_within(Some(timeout))
    }

    /// As [`read`](Self::read), without blocking. Follows a dead writer at once.
    ///
    /// # Errors
    /// `WouldBlock`, also while another call tries to lock at the same moment; those of `read`.
    pub fn try_read(&self) -> Result<LockResult<RwLockReadGuard<'_, T>>> {
        let taken = self.raw.try_read(Effort::Once, true).map_err(|e| self.located(e))?;
        taken.map(|taken| self.read_guard(taken)).ok_or_else(would_block)
    }

    /// As [`read`](Self::read), for tasks. A dropped future has not locked, and takes no wake-up
    /// from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `read`.
    #[cfg(feature = "tokio")]
    pub async fn read_async(&self) -> Result<LockResult<RwLockReadGuard<'_, T>>> {
        let mut waiting = Waiting::new(self.raw.reader(), self.wait);
        Ok(self.read_guard(waiting.wait_async(Operation::Lock).await?))
    }

    /// Locks as the writer. Blocks without a limit of time while another guard exists, in any
    /// process.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    #[inline(always)]
    pub fn write(&self) -> Result<LockResult<RwLockWriteGuard<'_, T>>> {
        self.write_within(None)
    }

    /// As [`write`](Self::write), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `write`.
    pub fn write_timeout(&self, timeout: Duration) -> Result<LockResult<RwLockWriteGuard<'_, T>>> {
        self.write_within(Some(timeout))
    }

    /// As [`write`](Self::write), without blocking. Follows dead holders at once.
    ///
    /// # Errors
    /// `WouldBlock`, also while another call tries to lock at the same moment; those of `write`.
    pub fn try_write(&self) -> Result<LockResult<RwLockWriteGuard<'_, T>>> {
        let taken = self.raw.try_write(Effort::Once, true).map_err(|e| self.located(e))?;
        taken.map(|taken| self.write_guard(taken)).ok_or_else(would_block)
    }

    /// As [`write`](Self::write), for tasks. A dropped future has not locked, and takes no wake-up
    /// from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `write`.
    #[cfg(feature = "tokio")]
    pub async fn write_async(&self) -> Result<LockResult<RwLockWriteGuard<'_, T>>> {
        let mut waiting = Waiting::new(self.raw.writer(), self.wait);
        Ok(self.write_guard(waiting.wait_async(Operation::Lock).await?))
    }

    /// Ends the poisoning: whatever the lock protects was found, or made, consistent.
    ///
    /// # Errors
    /// `Forked`.
    pub fn clear_poison(&self) -> Result<()> {
        self.raw.clear_poison()
    }

    #[inline(always)]
    fn read_within(&self, timeout: Option<Duration>) -> Result<LockResult<RwLockReadGuard<'_, T>>> {
        match self.raw.try_read(Effort::Fresh, false).map_err(|e| self.located(e))? {
            Some(taken) => Ok(self.read_guard(taken)),
            None => self.read_later(timeout),
        }
    }

    #[cold]
    fn located(&self, error: Error) -> Error {
        error.at(of_memory(self.raw.memory_name()))
    }

    #[cold]
    fn read_later(&self, timeout: Option<Duration>) -> Result<LockResult<RwLockReadGuard<'_, T>>> {
        let mut waiting = Waiting::new(self.raw.reader(), self.wait);
        Ok(self.read_guard(waiting.wait(Operation::Lock, timeout)?))
    }

    #[inline(always)]
    fn write_within(
        &self,
        timeout: Option<Duration>,
    ) -> Result<LockResult<RwLockWriteGuard<'_, T>>> {
        match self.raw.try_write(Effort::Fresh, false).map_err(|e| self.located(e))? {
            Some(taken) => Ok(self.write_guard(taken)),
            None => self.write_later(timeout),
        }
    }

    #[cold]
    fn write_later(
        &self,
        timeout: Option<Duration>,
    ) -> Result<LockResult<RwLockWriteGuard<'_, T>>> {
        let mut waiting = Waiting::new(self.raw.writer(), self.wait);
        Ok(self.write_guard(waiting.wait(Operation::Lock, timeout)?))
    }

    #[inline(always)]
    fn load(&self) -> T {
        let mut value = T::new_zeroed();
        self.raw.load(value.as_mut_bytes());
        value
    }

    #[inline(always)]
    fn read_guard(&self, taken: Taken) -> LockResult<RwLockReadGuard<'_, T>> {
        LockResult::new(taken, RwLockReadGuard { lock: self, value: self.load() })
    }

    #[inline(always)]
    fn write_guard(&self, taken: Taken) -> LockResult<RwLockWriteGuard<'_, T>> {
        let (is_changed, is_consistent) = (Flag::new(false), Flag::new(taken == Taken::Free));
        let guard = RwLockWriteGuard { lock: self, value: self.load(), is_changed, is_consistent };
        LockResult::new(taken, guard)
    }
}

fn would_block() -> Error {
    Error::new(Operation::Lock, ErrorKind::WouldBlock)
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}

impl<'a, T: Plain> LockResult<RwLockWriteGuard<'a, T>> {
    /// The guard. If a writer before died, `repair` makes the value consistent first.
    pub fn recover(self, repair: impl FnOnce(&mut T)) -> RwLockWriteGuard<'a, T> {
        match self {
            Self::Locked(guard) => guard,
            Self::OwnerDied(mut guard) => {
                repair(&mut guard);
                guard.make_consistent();
                guard
            }
        }
    }
}

impl<T: Plain> RwLockWriteGuard<'_, T> {
    /// Says that what the lock protects is consistent again after the death of a writer. Stores the
    /// value first, as it is in the guard. Without a death it changes nothing.
    pub fn make_consistent(&mut self) {
        if let Some(value) = self.changed() {
            self.lock.raw.store(value);
        }
        self.is_changed = Flag::new(false);
        self.is_consistent = Flag::new(true);
    }

    /// The bytes of the value, if it was changed.
    #[inline(always)]
    fn changed(&self) -> Option<&[u8]> {
        self.is_changed.is_set().then(|| self.value.as_bytes())
    }
}

impl<T: Plain> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = Flag::new(true);
        &mut self.value
    }
}

impl<T: Plain> Drop for RwLockReadGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.raw.unlock_read();
    }
}

impl<T: Plain> Drop for RwLockWriteGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.lock.raw.unlock_write(self.changed(), self.is_consistent.is_set());
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockReadGuard").field(&self.value).finish()
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RwLockWriteGuard").field(&self.value).finish()
    }
}
