//! Opening an object that may not be there yet, as something to wait for, by threads and tasks alike.

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Wait, Waiter};

use super::Registry;
use crate::address::Address;
use crate::address::settings::WaitMode;
use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::endpoint::connect::Absence;
use crate::wait::{Spinner, Waitable, deadline, wait};

/// An owner that starts together with us is there by then. If it is not, and another transport has something of its
/// name, the two sides have different schemes in their addresses: no use to wait for the rest of the timeout.
const LOOK_AROUND: Duration = Duration::from_millis(500);

/// Opening an object that may not be there yet. An attempt may take as long as is left of the address's `timeout`.
pub(crate) struct Opening {
    registry: Registry,
    address: Address,
    deadline: Option<Instant>,
    absence: Absence,
    /// When to look whether the other side means another transport.
    look_around: Instant,
    spinner: Spinner,
}

impl Opening {
    pub(crate) fn new(registry: Registry, address: Address, timeout: Duration) -> Self {
        let (absence, spinner) = (Absence::new(), Spinner::new(WaitMode::Block));
        let (deadline, look_around) = (deadline(Some(timeout)), Instant::now() + LOOK_AROUND);
        Self { registry, address, deadline, absence, look_around, spinner }
    }

    /// What to say at the deadline if the next attempt has not ended by then.
    #[cfg(feature = "tokio")]
    pub(crate) fn if_late(&self) -> impl FnOnce() -> Error + use<> {
        let (mut absence, address) = (self.absence, self.address.clone());
        move || {
            let error = Error::new(Operation::Connect, ErrorKind::TimedOut);
            absence.explain(error).during(Operation::Connect).at(address)
        }
    }

    /// When it gives up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn attempt(&mut self) -> Result<Endpoint> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let opened =
            self.absence.defer(self.registry.open_quietly(&self.address, left), Operation::Connect);
        if self.absence.nobody && Instant::now() >= self.look_around {
            self.look_around = Instant::now() + LOOK_AROUND;
            if let Some(hint) = self.registry.elsewhere(&self.address) {
                self.absence.nobody = false;
                return Err(Error::new(Operation::Connect, ErrorKind::Mismatch).because(hint));
            }
        }
        opened
    }

    pub(crate) fn explain(&mut self, error: Error) -> Error {
        self.absence.explain(error).during(Operation::Connect).at(&self.address)
    }

    /// How long to wait before the next attempt.
    #[cfg(feature = "tokio")]
    pub(crate) fn pause(&mut self) -> Duration {
        match self.absence.pause() {
            Some(Armed::After(pause)) => pause,
            _ => Duration::ZERO,
        }
    }
}

impl Wait for Opening {
    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        Ok(self.absence.pause().unwrap_or(Armed::Ready))
    }
}

impl Waitable for Opening {
    fn wait(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}

/// Opens and connects, both within the address's timeout.
pub(crate) fn open_then_connect(opening: &mut Opening) -> Result<Channel> {
    let deadline = opening.deadline();
    let endpoint = match opening.attempt() {
        Err(error) if error.is_would_block() => {
            wait(opening, Operation::Connect, deadline, Opening::attempt)
        }
        done => done,
    }
    .map_err(|error| opening.explain(error))?;
    endpoint.dial(endpoint.hello(), deadline)
}
