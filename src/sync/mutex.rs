use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;
use anyipc_sync::{Effort, Taken};

use super::waiting::Waiting;
use super::{Flag, Named, Plain, within};
use crate::address::IntoAddress;
use crate::address::of_memory;
use crate::address::settings::WaitMode;

/// A mutual exclusion lock with a value that processes share.
///
/// *The value* is copied out when the lock is taken and, if the guard was used mutably, copied back
/// when it is given back: no process ever has a reference to memory that another one writes. A
/// process that dies with the lock leaves the value as it was before, unless it dies during that
/// copy. Large data belongs into a [`Block`] that a `Mutex<()>` protects.
///
/// *Deaths.* The next locker after the owner's death gets the lock with the news,
/// [`LockResult::OwnerDied`], within 1 second and mostly within 10 ms. It repairs what the lock
/// protects and calls [`make_consistent`](MutexGuard::make_consistent); if it does not, every
/// later call returns `Poisoned`, until [`clear_poison`](Self::clear_poison).
///
/// *Order.* A busy process may take the lock again before those that wait, for half a millisecond
/// at most; then the one that has waited goes first.
///
/// A thread that locks twice waits for itself.
pub struct Mutex<T> {
    raw: anyipc_sync::Mutex,
    wait: WaitMode,
    /// `Send` and `Sync` for any `T`: it holds none.
    value: PhantomData<fn() -> T>,
}

/// The lock, perhaps with the news of a death.
#[derive(Debug)]
#[must_use]
pub enum LockResult<G> {
    /// No owner has died.
    Locked(G),
    /// The owner before died while it had the lock. What the lock protects may be half changed.
    OwnerDied(G),
}

/// A mutex that this handle has locked. Dropping it unlocks.
///
/// `Send`: the lock belongs to the process's handle, not to the thread.
#[must_use = "a guard that is dropped at once protects nothing"]
pub struct MutexGuard<'a, T: Plain> {
    mutex: &'a Mutex<T>,
    value: T,
    is_changed: Flag,
}

impl<T: Plain> Mutex<T> {
    /// Bytes of a mutex in a block, for [`at`](Self::at). The next object begins at a
    /// multiple of 64.
    pub const SIZE: usize = anyipc_sync::Mutex::size(size_of::<T>());

    /// Makes a mutex with this value, at an address of its own. It lives until its last handle is
    /// dropped.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `Unsupported` for any scheme but `shm`; those of
    /// [`create`](crate::create).
    pub fn create(address: impl IntoAddress, value: T) -> Result<Self> {
        Self::make(&Named::new(address)?, &value, false)
    }

    /// Opens a mutex.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` if there is something else, or its value has another size; those of
    /// [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(|place| anyipc_sync::Mutex::new(place, size_of::<T>()))?;
        Ok(Self { raw, wait: named.wait, value: PhantomData })
    }

    /// Opens a mutex, or makes it with this value.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`.
    pub fn open_or_create(address: impl IntoAddress, value: T) -> Result<Self> {
        Self::make(&Named::new(address)?, &value, true)
    }

    /// The mutex at an offset of a block, a multiple of 64. Where the block's bytes are zero it is
    /// made, with a value of zeroes; [`SIZE`](Self::SIZE) bytes belong to it from then on, and
    /// other calls of the block must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` or `Corrupt` if there is something else; `OutOfMemory` if the
    /// block has no place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize) -> Result<Self> {
        let raw = within(block, offset, |place| anyipc_sync::Mutex::new(place, size_of::<T>()))?;
        Ok(Self { raw, wait: WaitMode::Adaptive, value: PhantomData })
    }

    fn make(named: &Named, value: &T, adopts: bool) -> Result<Self> {
        let (identity, at) = anyipc_sync::Mutex::fresh(size_of::<T>());
        let contents: &[(usize, &[u8])] = &[(0, &identity), (at, value.as_bytes())];
        let raw = named.make(Self::SIZE, contents, adopts, |place| {
            anyipc_sync::Mutex::new(place, size_of::<T>())
        })?;
        Ok(Self { raw, wait: named.wait, value: PhantomData })
    }

    /// Locks. Blocks without a limit of time while another guard exists, in any process.
    ///
    /// # Errors
    /// `Poisoned`; `Removed` (found while waiting: the name leads to other memory, or to none);
    /// `Forked`.
    #[inline(always)]
    pub fn lock(&self) -> Result<LockResult<MutexGuard<'_, T>>> {
        self.lock_within(None)
    }

    /// As [`lock`](Self::lock), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `lock`.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<LockResult<MutexGuard<'_, T>>> {
        self.lock_within(Some(timeout))
    }

    /// As [`lock`](Self::lock), without blocking. Follows a dead owner at once.
    ///
    /// # Errors
    /// `WouldBlock`, and those of `lock`.
    pub fn try_lock(&self) -> Result<LockResult<MutexGuard<'_, T>>> {
        match self.raw.try_lock(Effort::Once, true).map_err(|e| self.located(e))? {
            Some(taken) => Ok(self.guard(taken)),
            None => Err(Error::new(Operation::Lock, ErrorKind::WouldBlock)),
        }
    }

    /// As [`lock`](Self::lock), for tasks. A dropped future has not locked, and takes no wake-up
    /// from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `lock`.
    #[cfg(feature = "tokio")]
    pub async fn lock_async(&self) -> Result<LockResult<MutexGuard<'_, T>>> {
        let mut waiting = Waiting::new(self.raw.waiter(), self.wait);
        Ok(self.guard(waiting.wait_async(Operation::Lock).await?))
    }

    /// Ends the poisoning: whatever the lock protects was found, or made, consistent.
    ///
    /// # Errors
    /// `Forked`.
    pub fn clear_poison(&self) -> Result<()> {
        self.raw.clear_poison()
    }

    #[inline(always)]
    fn lock_within(&self, timeout: Option<Duration>) -> Result<LockResult<MutexGuard<'_, T>>> {
        match self.raw.try_lock(Effort::Fresh, false).map_err(|e| self.located(e))? {
            Some(taken) => Ok(self.guard(taken)),
            None => self.lock_later(timeout),
        }
    }

    #[cold]
    fn located(&self, error: Error) -> Error {
        error.at(of_memory(self.raw.memory_name()))
    }

    #[cold]
    fn lock_later(&self, timeout: Option<Duration>) -> Result<LockResult<MutexGuard<'_, T>>> {
        let mut waiting = Waiting::new(self.raw.waiter(), self.wait);
        Ok(self.guard(waiting.wait(Operation::Lock, timeout)?))
    }

    #[inline(always)]
    fn guard(&self, taken: Taken) -> LockResult<MutexGuard<'_, T>> {
        let mut value = T::new_zeroed();
        self.raw.load(value.as_mut_bytes());
        LockResult::new(taken, MutexGuard { mutex: self, value, is_changed: Flag::new(false) })
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<G> LockResult<G> {
    #[inline(always)]
    pub(super) fn new(taken: Taken, guard: G) -> Self {
        match taken {
            Taken::Free => Self::Locked(guard),
            Taken::OwnerDied => Self::OwnerDied(guard),
        }
    }

    /// True if the owner before died with the lock.
    pub fn owner_died(&self) -> bool {
        matches!(self, Self::OwnerDied(_))
    }

    /// The guard, whatever happened before. If an owner died, the lock is poisoned when the guard
    /// is dropped, unless it is made consistent.
    #[inline]
    pub fn into_inner(self) -> G {
        match self {
            Self::Locked(guard) | Self::OwnerDied(guard) => guard,
        }
    }
}

impl<'a, T: Plain> LockResult<MutexGuard<'a, T>> {
    /// The guard. If the owner before died, `repair` makes the value consistent first.
    #[inline]
    pub fn recover(self, repair: impl FnOnce(&mut T)) -> MutexGuard<'a, T> {
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

impl<'a, T: Plain> MutexGuard<'a, T> {
    /// The mutex. Not a method, which could hide one of the value.
    pub(super) fn mutex(guard: &Self) -> &'a Mutex<T> {
        guard.mutex
    }

    /// Says that what the lock protects is consistent again after the death of an owner. Stores the
    /// value first, as it is in the guard. Without a death it changes nothing.
    pub fn make_consistent(&mut self) {
        self.mutex.raw.make_consistent(self.changed());
        self.is_changed = Flag::new(false);
    }

    /// The bytes of the value, if it was changed.
    #[inline(always)]
    fn changed(&self) -> Option<&[u8]> {
        self.is_changed.is_set().then(|| self.value.as_bytes())
    }
}

impl<T: Plain> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Plain> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.is_changed = Flag::new(true);
        &mut self.value
    }
}

impl<T: Plain> Drop for MutexGuard<'_, T> {
    #[inline(always)]
    fn drop(&mut self) {
        self.mutex.raw.unlock(self.changed());
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutexGuard").field(&self.value).finish()
    }
}
