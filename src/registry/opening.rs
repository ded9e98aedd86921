//! Opening an object that may not be there yet, as something to wait for, by threads and tasks
//! alike.

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Hello, Operation, Result, Wait, Waiter};

use super::Registry;
use crate::address::Address;
use crate::address::settings::WaitMode;
use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::endpoint::absence::{Absence, no_owner};
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, deadline, wait};

/// Time after which an absent object is looked for under other schemes, and between two such looks.
/// An owner that starts together with its opener is there by then. If another transport has the
/// name instead, the two sides have different schemes in their addresses, and to wait for the rest
/// of the timeout is of no use.
const LOOK_ELSEWHERE: Duration = Duration::from_millis(500);

/// Opening an object that may not be there yet. One try may take as long as is left of the
/// address's `timeout`.
pub(crate) struct Opening {
    registry: Registry,
    address: Address,
    /// `Open`, or `Connect` if a connect follows.
    operation: Operation,
    deadline: Option<Instant>,
    absence: Absence,
    /// When to look for the name under other schemes next.
    look_elsewhere: Instant,
    /// Never spins.
    spinner: Spinner,
}

impl Opening {
    pub(crate) fn new(
        registry: Registry,
        address: Address,
        operation: Operation,
        timeout: Duration,
    ) -> Self {
        Self {
            registry,
            address,
            operation,
            deadline: deadline(Some(timeout)),
            absence: Absence::new(),
            look_elsewhere: Instant::now() + LOOK_ELSEWHERE,
            spinner: Spinner::new(WaitMode::Block),
        }
    }

    /// The error to return if the next try has not ended by the deadline.
    #[cfg(feature = "tokio")]
    pub(crate) fn if_late(&self) -> impl FnOnce() -> Error + use<> {
        let (mut absence, operation) = (self.absence, self.operation);
        let address = self.address.clone();
        move || {
            let error = Error::new(operation, ErrorKind::TimedOut);
            explain(&mut absence, operation, error).at(address)
        }
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    /// When to give up; `None` if never.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Tries to open the object. `WouldBlock` if it is not there.
    pub(crate) fn try_open(&mut self) -> Result<Endpoint> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let opened =
            self.absence.defer(self.registry.open_here(&self.address, left), self.operation);
        if self.absence.absent && Instant::now() >= self.look_elsewhere {
            self.look_elsewhere = Instant::now() + LOOK_ELSEWHERE;
            if let Some(hint) = self.registry.elsewhere(&self.address) {
                self.absence.absent = false;
                return Err(Error::new(self.operation, ErrorKind::Mismatch).because(hint));
            }
        }
        opened
    }

    pub(crate) fn explain(&mut self, error: Error) -> Error {
        explain(&mut self.absence, self.operation, error).at(&self.address)
    }

    /// Opens as a thread, until the deadline at most.
    ///
    /// # Errors
    /// Those of opening; `NotFound`, or `NoOwner` before a connect, at the deadline.
    pub(crate) fn open(&mut self) -> Result<Endpoint> {
        let (operation, deadline) = (self.operation, self.deadline);
        match self.try_open() {
            Err(error) if error.is_would_block() => wait(self, operation, deadline, Self::try_open),
            done => done,
        }
        .map_err(|error| self.explain(error))
    }

    /// How long to wait before the next try.
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
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}

/// Says what was missing at the deadline: an owner to connect to, or an object to open.
fn explain(absence: &mut Absence, operation: Operation, error: Error) -> Error {
    let error = absence.explain(error, || no_owner("")).during(operation);
    if operation == Operation::Open && error.kind() == ErrorKind::NoOwner {
        return Error::new(operation, ErrorKind::NotFound)
            .because("nothing came there in time; create it first, or wait for longer");
    }
    error
}

/// Opens and connects, both within the address's `timeout`. `hello` says what this side is. Blocks.
pub(crate) fn open_then_connect(
    opening: &mut Opening,
    hello: impl FnOnce(&Endpoint) -> Result<Hello>,
) -> Result<Channel> {
    let deadline = opening.deadline();
    let endpoint = opening.open()?;
    endpoint.connect_until(hello(&endpoint)?, deadline)
}
