use std::fmt;
use std::time::Duration;

use anyipc_core::{Operation, Result, Wait};
use anyipc_shared_memory::ValueWaiter;

use super::located;
use crate::address::settings::WaitMode;
use crate::wait::select::{Arming, Member};
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, deadline, done, wait};

/// Waits for changes of a block's stored value, from [`BlockExt::watch`](crate::BlockExt::watch):
/// as a thread, as a task, or in a [`Select`](crate::Select).
///
/// ```
/// # fn main() -> anyipc::Result<()> {
/// use std::time::Duration;
///
/// use anyipc::{BlockExt, Select};
///
/// let settings = anyipc::create("shm://watch.settings?size=4KiB")?;
/// let jobs = anyipc::create("shm://watch.jobs")?;
/// # let other = std::thread::spawn(|| {
/// #     anyipc::open("shm://watch.settings")?.block()?.store_bytes(b"dark")
/// # });
/// let (mut watch, mut acceptor) = (settings.block()?.watch()?, jobs.acceptor()?);
/// # *watch.seen_mut() = 0;
/// let mut select = Select::new()?;
/// match select.wait(&mut [&mut watch, &mut acceptor])? {
///     0 => {
///         // The version that is loaded becomes the one that was seen.
///         let value = settings.block()?.load_newer_bytes(watch.seen_mut(), Duration::ZERO)?;
///         assert_eq!(value, b"dark");
///     }
///     _ => drop(acceptor.try_accept()?),
/// }
/// # other.join().unwrap()
/// # }
/// ```
///
/// It holds the block's memory until it is dropped. In a child made by `fork` its calls return
/// `Forked`.
pub struct BlockWatch {
    waiting: Waiting<ValueWaiter>,
}

impl BlockWatch {
    pub(super) fn new(waiter: ValueWaiter) -> Self {
        Self { waiting: Waiting::new(waiter, WaitMode::Adaptive) }
    }

    /// The version that it does not wait for: at first the one at its creation, then the last one
    /// that it told of.
    pub fn seen(&self) -> u64 {
        self.waiting.waiter.seen
    }

    /// The same, to be changed: for
    /// [`load_newer`](crate::BlockExt::load_newer), which sets it to the version of the value that
    /// it loads. With 0 any stored value is a change.
    pub fn seen_mut(&mut self) -> &mut u64 {
        &mut self.waiting.waiter.seen
    }

    /// Waits until the version is not the one seen, without a limit of time; returns it, and notes
    /// it as seen. A value that is loaded after that may be a later one.
    ///
    /// # Errors
    /// `Removed` (found while waiting: the name leads to another block, or to none); `OutOfMemory`
    /// (no participant slot left, where a thread needs one); `Forked`.
    pub fn wait(&mut self) -> Result<u64> {
        self.wait_within(None)
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `wait`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<u64> {
        self.wait_within(Some(timeout))
    }

    /// As [`wait`](Self::wait), without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if the version is the one seen, and those of `wait`.
    pub fn try_wait(&mut self) -> Result<u64> {
        self.waiting
            .waiter
            .try_wait()
            .map_err(|error| located(error, self.waiting.waiter.memory_name()))
    }

    /// As [`wait`](Self::wait), for a task. A dropped future has no effect.
    ///
    /// # Errors
    /// `OutOfMemory` (no participant slot left); `Unsupported` outside of a tokio runtime; those of
    /// `wait`.
    #[cfg(feature = "tokio")]
    pub async fn changed(&mut self) -> Result<u64> {
        crate::asynchronous::wait_once(&mut self.waiting, Operation::Block, |waiting| {
            waiting.waiter.try_wait()
        })
        .await
        .map_err(|error| located(error, self.waiting.waiter.memory_name()))
    }

    fn wait_within(&mut self, timeout: Option<Duration>) -> Result<u64> {
        if let Some(done) = done(self.try_wait()) {
            return done;
        }
        wait(&mut self.waiting, Operation::Block, deadline(timeout), |waiting| {
            waiting.waiter.try_wait()
        })
        .map_err(|error| located(error, self.waiting.waiter.memory_name()))
    }
}

impl fmt::Debug for BlockWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockWatch").field("seen", &self.seen()).finish_non_exhaustive()
    }
}

impl Member for BlockWatch {
    fn is_ready(&mut self) -> bool {
        // An error, too: the next `try_wait` returns it.
        !matches!(self.waiting.waiter.newer(), Err(error) if error.is_would_block())
    }
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool> {
        arming.arm(&mut self.waiting.waiter)
    }
    fn disarm_in_select(&mut self) {
        self.waiting.waiter.disarm();
    }
    fn may_spin(&mut self) -> bool {
        self.waiting.spinner.may_spin()
    }
}

/// A waiter of a block in the wait loop.
pub(super) struct Waiting<W> {
    pub(super) waiter: W,
    spinner: Spinner,
}

impl<W> Waiting<W> {
    pub(super) fn new(waiter: W, mode: WaitMode) -> Self {
        Self { waiter, spinner: Spinner::new(mode) }
    }
}

impl<W: Wait> Waitable for Waiting<W> {
    fn target(&mut self) -> &mut dyn Wait {
        &mut self.waiter
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}
