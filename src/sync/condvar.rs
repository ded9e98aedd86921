use std::time::Duration;

use anyipc_core::{ErrorKind, Operation, Result};
use anyipc_shared_memory::Block;

use super::mutex::{LockResult, MutexGuard};
use super::waiting::Waiting;
use super::{Named, Plain, within};
use crate::address::IntoAddress;
use crate::address::settings::WaitMode;

/// A condition variable: waits, without the lock, until another process has changed what the lock
/// protects.
///
/// The process that changes it has the [`Mutex`](super::Mutex) while it does so, and notifies
/// before or after it unlocks. A waiter may return without a notification (a *spurious wake-up*):
/// it looks at the value again, as [`wait_while`](Self::wait_while) does. One condition variable
/// belongs to one mutex.
///
/// *Deaths.* Nothing here has an owner. If a waiter dies after it was notified, or the process that
/// notifies dies before it has woken a waiter, the other waiters return within 50 ms, mostly within
/// 10 ms: one time too often rather than never. A process that dies with the mutex is told to the
/// next one that gets it, here as everywhere: see [`LockResult`].
///
/// *Cost.* Notifying makes no system call if nothing waits.
///
/// ```
/// use anyipc::sync::{Condvar, Mutex};
///
/// let jobs = Mutex::create("shm://sync.jobs", 0u32)?;
/// let more = Condvar::create("shm://sync.jobs.more")?;
/// let producer = std::thread::spawn(|| {
///     let jobs = Mutex::<u32>::open("shm://sync.jobs")?;
///     *jobs.lock()?.recover(|_| {}) += 1;
///     Condvar::open("shm://sync.jobs.more")?.notify_one()
/// });
/// let guard = jobs.lock()?.recover(|_| {});
/// let mut guard = more.wait_while(guard, |jobs| *jobs == 0)?.recover(|_| {});
/// *guard -= 1;
/// # drop(guard);
/// # producer.join().unwrap()?;
/// # Ok::<(), anyipc::Error>(())
/// ```
pub struct Condvar {
    raw: anyipc_sync::Condvar,
    wait: WaitMode,
}

/// How a wait with a limit of time ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// True if the time was over before a notification came.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Bytes of a condition variable in a block, for [`at`](Self::at). The next object begins at a
    /// multiple of 64.
    pub const SIZE: usize = anyipc_sync::Condvar::SIZE;

    /// Makes a condition variable, at an address of its own. It lives until its last handle is
    /// dropped.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `Unsupported` for any scheme but `shm`; those of
    /// [`create`](crate::create).
    pub fn create(address: impl IntoAddress) -> Result<Self> {
        Self::make(&Named::new(address)?, false)
    }

    /// Opens a condition variable.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` or `Corrupt` if there is something else; those of
    /// [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(anyipc_sync::Condvar::new)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Opens a condition variable, or makes it.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`.
    pub fn open_or_create(address: impl IntoAddress) -> Result<Self> {
        Self::make(&Named::new(address)?, true)
    }

    /// The condition variable at an offset of a block, a multiple of 64. Where the block's bytes
    /// are zero it is made; [`SIZE`](Self::SIZE) bytes belong to it from then on, and other calls
    /// of the block must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` or `Corrupt` if there is something else; `OutOfMemory` if the
    /// block has no place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize) -> Result<Self> {
        let raw = within(block, offset, anyipc_sync::Condvar::new)?;
        Ok(Self { raw, wait: WaitMode::Adaptive })
    }

    fn make(named: &Named, adopts: bool) -> Result<Self> {
        let identity = anyipc_sync::Condvar::fresh();
        let raw = named.make(Self::SIZE, &[(0, &identity)], adopts, anyipc_sync::Condvar::new)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Notifies a waiter, if there is any. Others may return as well.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn notify_one(&self) -> Result<()> {
        self.raw.notify_one()
    }

    /// Notifies all waiters.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn notify_all(&self) -> Result<()> {
        self.raw.notify_all()
    }

    /// Unlocks, waits for a notification, and locks again. The value is stored before, if the guard
    /// was used mutably, and copied out anew after. Blocks without a limit of time.
    ///
    /// A guard that followed a dead owner is made consistent before it waits: otherwise the mutex
    /// is poisoned, as if the guard were dropped.
    ///
    /// # Errors
    /// Those of [`Mutex::lock`](super::Mutex::lock). After an error the mutex is not locked.
    pub fn wait<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> Result<LockResult<MutexGuard<'a, T>>> {
        self.wait_within(guard, None).map(|(locked, _)| locked)
    }

    /// As [`wait`](Self::wait), for `timeout` at most; then it locks again. That takes as long as
    /// another process has the lock: it has no limit of time.
    ///
    /// # Errors
    /// Those of `wait`. The end of the time is none: the [`WaitTimeoutResult`] says it.
    pub fn wait_timeout<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Duration,
    ) -> Result<(LockResult<MutexGuard<'a, T>>, WaitTimeoutResult)> {
        self.wait_within(guard, Some(timeout))
    }

    /// Waits while the condition holds for the value. Blocks without a limit of time.
    ///
    /// If an owner of the mutex died, it returns with that at once: the value may be half changed,
    /// and the condition is not asked.
    ///
    /// # Errors
    /// Those of [`wait`](Self::wait).
    pub fn wait_while<'a, T: Plain>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<LockResult<MutexGuard<'a, T>>> {
        while condition(&guard) {
            match self.wait(guard)? {
                LockResult::Locked(locked) => guard = locked,
                told => return Ok(told),
            }
        }
        Ok(LockResult::Locked(guard))
    }

    /// As [`wait`](Self::wait), for tasks. A dropped future has unlocked, if it was polled, and
    /// takes no notification from others.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `wait`.
    #[cfg(feature = "tokio")]
    pub async fn wait_async<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
    ) -> Result<LockResult<MutexGuard<'a, T>>> {
        let (mutex, waiter) = (MutexGuard::mutex(&guard), self.raw.waiter()?);
        drop(guard);
        Waiting::new(waiter, self.wait).wait_async(Operation::Lock).await?;
        let notified = Notified(&self.raw);
        let locked = mutex.lock_async().await?;
        std::mem::forget(notified);
        Ok(locked)
    }

    fn wait_within<'a, T: Plain>(
        &self,
        guard: MutexGuard<'a, T>,
        timeout: Option<Duration>,
    ) -> Result<(LockResult<MutexGuard<'a, T>>, WaitTimeoutResult)> {
        let (mutex, waiter) = (MutexGuard::mutex(&guard), self.raw.waiter()?);
        drop(guard);
        let timed_out = match Waiting::new(waiter, self.wait).wait(Operation::Lock, timeout) {
            Err(error) if error.kind() == ErrorKind::TimedOut => true,
            done => done.map(|()| false)?,
        };
        let notified = (!timed_out).then(|| Notified(&self.raw));
        let locked = mutex.lock()?;
        std::mem::forget(notified);
        Ok((locked, WaitTimeoutResult(timed_out)))
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

/// A waiter that was notified and has not locked yet. Dropped, it wakes another one instead.
struct Notified<'a>(&'a anyipc_sync::Condvar);

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}
