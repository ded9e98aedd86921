use std::time::Duration;

use anyipc_core::{Error, Operation, Result, Wait};
use anyipc_sync::Attempt;

use crate::address::of_memory;
use crate::address::settings::WaitMode;
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, deadline, done, wait};

/// A call that waits for an object.
pub(super) struct Waiting<W> {
    pub(super) waiter: W,
    spinner: Spinner,
}

impl<W: Attempt> Waiting<W> {
    pub(super) fn new(waiter: W, mode: WaitMode) -> Self {
        Self { waiter, spinner: Spinner::new(mode) }
    }

    /// Waits as a thread, for `timeout` at most; `None` is no limit.
    ///
    /// # Errors
    /// `TimedOut`, and those of the object.
    pub(super) fn wait(
        &mut self,
        operation: Operation,
        timeout: Option<Duration>,
    ) -> Result<W::Got> {
        wait(self, operation, deadline(timeout), |waiting| waiting.waiter.attempt())
            .map_err(|error| self.located(error))
    }

    /// As [`wait`](Self::wait), after a try.
    ///
    /// # Errors
    /// Those of `wait`.
    pub(super) fn try_then_wait(
        &mut self,
        operation: Operation,
        timeout: Option<Duration>,
    ) -> Result<W::Got> {
        done(self.waiter.attempt()).unwrap_or_else(|| self.wait(operation, timeout))
    }

    /// Waits as a task.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime, and those of the object.
    #[cfg(feature = "tokio")]
    pub(super) async fn wait_async(&mut self, operation: Operation) -> Result<W::Got> {
        let attempt = |waiting: &mut Self| waiting.waiter.attempt();
        crate::asynchronous::wait_once(self, operation, attempt)
            .await
            .map_err(|error| self.located(error))
    }
}

impl<W: Attempt> Waiting<W> {
    /// The error, with the address of the object's memory.
    #[cold]
    fn located(&self, error: Error) -> Error {
        error.at(of_memory(self.waiter.memory_name()))
    }
}

impl<W: Attempt> Waitable for Waiting<W> {
    fn target(&mut self) -> &mut dyn Wait {
        &mut self.waiter
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn slice(&self) -> Duration {
        self.waiter.slice()
    }
}
