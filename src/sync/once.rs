use std::time::Duration;

use anyipc_core::{Operation, Result};
use anyipc_shared_memory::Block;
use anyipc_sync::Duty;

use super::waiting::Waiting;
use super::{Named, within};
use crate::address::IntoAddress;
use crate::address::settings::WaitMode;

/// Something that one process does once, for all: a table that is filled, a file that is made.
///
/// The first caller does it, the others wait until it is done. What it wrote is seen by all that
/// find it done.
///
/// *Deaths.* If the process dies while it does it, or the function panics, the next caller does it,
/// and is told so by [`OnceState::is_after_death`]: a part may have been done. Those that wait find
/// out within 1 s, mostly within 10 ms. A process that is merely stopped goes on when it is
/// continued; the others wait for it.
///
/// A function that waits for its own once waits for itself.
///
/// ```
/// use anyipc::sync::Once;
///
/// let filled = Once::create("shm://sync.table")?;
/// filled.call(|state| {
///     if state.is_after_death() { /* empty what the dead process has filled */ }
///     // fill the table
/// })?;
/// filled.call_once(|| unreachable!("it is done"))?;
/// assert!(filled.is_completed()?);
/// # Ok::<(), anyipc::Error>(())
/// ```
pub struct Once {
    raw: anyipc_sync::Once,
    wait: WaitMode,
}

/// What the function that is done once is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnceState {
    after_death: bool,
}

impl OnceState {
    /// True if another call had begun, and its process died or it panicked.
    pub fn is_after_death(self) -> bool {
        self.after_death
    }
}

impl Once {
    /// Bytes of a once in a block, for [`at`](Self::at). The next object begins at a
    /// multiple of 64.
    pub const SIZE: usize = anyipc_sync::Once::SIZE;

    /// Makes a once of something that is not done, at an address of its own. It lives until its
    /// last handle is dropped.
    ///
    /// # Errors
    /// `Exists` if the name is taken; `Unsupported` for any scheme but `shm`; those of
    /// [`create`](crate::create).
    pub fn create(address: impl IntoAddress) -> Result<Self> {
        Self::make(&Named::new(address)?, false)
    }

    /// Opens a once.
    ///
    /// # Errors
    /// `NotFound`; `Mismatch` or `Corrupt` if there is something else; those of
    /// [`open`](crate::open).
    pub fn open(address: impl IntoAddress) -> Result<Self> {
        let named = Named::new(address)?;
        let raw = named.open(anyipc_sync::Once::new)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// Opens a once, or makes it.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), but `Exists` and `NotFound`.
    pub fn open_or_create(address: impl IntoAddress) -> Result<Self> {
        Self::make(&Named::new(address)?, true)
    }

    /// The once at an offset of a block, a multiple of 64. Where the block's bytes are zero it is
    /// made; [`SIZE`](Self::SIZE) bytes belong to it from then on, and other calls of the block
    /// must not touch them.
    ///
    /// # Errors
    /// `OutOfBounds`; `Mismatch` or `Corrupt` if there is something else; `OutOfMemory` if the
    /// block has no place for another participant; `Forked`.
    pub fn at(block: &Block, offset: usize) -> Result<Self> {
        let raw = within(block, offset, anyipc_sync::Once::new)?;
        Ok(Self { raw, wait: WaitMode::Adaptive })
    }

    fn make(named: &Named, adopts: bool) -> Result<Self> {
        let identity = anyipc_sync::Once::fresh();
        let raw = named.make(Self::SIZE, &[(0, &identity)], adopts, anyipc_sync::Once::new)?;
        Ok(Self { raw, wait: named.wait })
    }

    /// True if it is done.
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub fn is_completed(&self) -> Result<bool> {
        self.raw.is_complete()
    }

    /// Calls `f` if it is not done, as the only one. Blocks without a limit of time while another
    /// call is under way, in any process. Without a system call if it is done.
    ///
    /// # Errors
    /// `Removed` (found while waiting: the name leads to other memory, or to none); `Corrupt`;
    /// `Forked`. After an error `f` was not called.
    pub fn call_once(&self, f: impl FnOnce()) -> Result<()> {
        self.call(|_| f())
    }

    /// As [`call_once`](Self::call_once), with the news of a death.
    ///
    /// # Errors
    /// Those of `call_once`.
    pub fn call(&self, f: impl FnOnce(OnceState)) -> Result<()> {
        if self.is_completed()? {
            return Ok(());
        }
        let mut waiting = Waiting::new(self.raw.waiter(true), self.wait);
        if let Some(duty) = waiting.try_then_wait(Operation::Lock, None)? {
            f(state(&duty));
            duty.complete();
        }
        Ok(())
    }

    /// As [`call`](Self::call), for tasks. If the future is dropped while that of `f` is under way,
    /// the next caller does it, as after a panic.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `call`.
    #[cfg(feature = "tokio")]
    pub async fn call_async(&self, f: impl AsyncFnOnce(OnceState)) -> Result<()> {
        if self.is_completed()? {
            return Ok(());
        }
        let mut waiting = Waiting::new(self.raw.waiter(true), self.wait);
        if let Some(duty) = waiting.wait_async(Operation::Lock).await? {
            f(state(&duty)).await;
            duty.complete();
        }
        Ok(())
    }

    /// Waits until it is done, and does nothing itself. Blocks without a limit of time.
    ///
    /// # Errors
    /// `Removed` (found while waiting: the name leads to other memory, or to none); `Forked`.
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

    /// As [`wait`](Self::wait), for tasks.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `OutOfMemory` if the memory has no place for
    /// another participant, which a task that waits is; `Io` without a free descriptor; those of
    /// `wait`.
    #[cfg(feature = "tokio")]
    pub async fn wait_async(&self) -> Result<()> {
        let mut waiting = Waiting::new(self.raw.waiter(false), self.wait);
        waiting.wait_async(Operation::Lock).await.map(drop)
    }

    fn wait_within(&self, timeout: Option<Duration>) -> Result<()> {
        let mut waiting = Waiting::new(self.raw.waiter(false), self.wait);
        waiting.try_then_wait(Operation::Lock, timeout).map(drop)
    }
}

fn state(duty: &Duty<'_>) -> OnceState {
    OnceState { after_death: duty.is_after_death() }
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
