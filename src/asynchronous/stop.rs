//! Tasks that wait for a stop.

use std::sync::LazyLock;

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result, Source, Wait, Waiter};

use super::reactor::{Reactor, check_runtime};
use super::registration::Retained;
use super::wait::wait;
use crate::address::settings::WaitMode;
use crate::wait::Waitable;
use crate::wait::spin::Spinner;
use crate::wait::stop::Stop;

/// The event is one for all tasks: each runtime registers it once.
static REACTOR: LazyLock<Reactor> = LazyLock::new(Reactor::default);

impl Stop {
    /// Waits until [`stop`](Self::stop) is called, for tasks: the program drops the futures that
    /// it waits for beside this one. Cancel-safe.
    ///
    /// # Errors
    /// `Unsupported` outside of a tokio runtime; `Io` if the process has no descriptor left.
    ///
    /// # Panics
    /// In a tokio runtime without I/O and time.
    pub async fn stopped(&self) -> Result<()> {
        check_runtime()?;
        let mut waiting = Stopped { stop: *self, spinner: Spinner::new(WaitMode::Block) };
        let mut retained = Retained::default();
        wait(&mut waiting, &*REACTOR, &mut retained, Operation::Receive, None, |waiting| {
            match waiting.stop.is_stopped() {
                true => Ok(()),
                false => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
            }
        })
        .await
    }
}

struct Stopped {
    stop: Stop,
    spinner: Spinner,
}

impl Wait for Stopped {
    fn source(&self) -> Result<Source> {
        Ok(self.stop.event().source())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(match self.stop.is_stopped() {
            true => Armed::Ready,
            false => Armed::Source(Interest::Readable),
        })
    }
}

impl Waitable for Stopped {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}
