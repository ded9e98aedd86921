//! Connecting and accepting as something to wait for, by threads and tasks alike.

use std::fmt;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Operation, Result, Role, Source, Wait, Waiter,
};

use super::Endpoint;
use super::absence::Absence;
use crate::address::Address;
use crate::address::settings::WaitMode;
use crate::channel::Channel;
use crate::wait::spin::Spinner;
use crate::wait::unpark::Unpark;
use crate::wait::{Waitable, wait};

/// The next channel of an endpoint: an opener's connect, or an owner's accept with its half-open
/// handshakes.
pub(crate) struct NextChannel<'a> {
    endpoint: &'a Endpoint,
    /// What the backend has begun.
    attempt: Attempt,
    /// For openers: whether there is an owner.
    absence: Absence,
    /// An opener waits for an owner to come.
    awaits_owner: bool,
    /// Never spins: nothing is gained by meeting a peer some microseconds earlier.
    spinner: Spinner,
    /// Arming found more to do, and one try takes as long as one may: a task yields after the next.
    interrupted: bool,
    unpark: Unpark,
}

impl<'a> NextChannel<'a> {
    /// # Errors
    /// `WrongRole`.
    pub(crate) fn new(endpoint: &'a Endpoint, role: Role, hello: Hello) -> Result<Self> {
        if endpoint.role() != role {
            let other = match role {
                Role::Owner => "an opener connects",
                Role::Opener => "the owner accepts",
            };
            return Err(Error::new(operation(role), ErrorKind::WrongRole)
                .because(format!("this handle is the {}'s: {other}", endpoint.role().as_str()))
                .at(endpoint.address()));
        }
        Ok(Self {
            endpoint,
            attempt: Attempt::new(hello),
            absence: Absence::new(),
            awaits_owner: true,
            spinner: Spinner::new(WaitMode::Block),
            interrupted: false,
            unpark: Unpark::default(),
        })
    }

    /// Of an opener: without an owner the error is `NoOwner`, at once.
    pub(crate) fn without_waiting_for_an_owner(mut self) -> Self {
        self.awaits_owner = false;
        self
    }

    pub(crate) fn address(&self) -> &Address {
        self.endpoint.address()
    }

    pub(crate) fn operation(&self) -> Operation {
        operation(self.endpoint.role())
    }

    /// Takes one step. `WouldBlock` until a handshake is complete.
    pub(crate) fn try_next(&mut self) -> Result<Channel> {
        let halves = self.endpoint.raw().try_connect(&mut self.attempt);
        let halves = match self.endpoint.role() {
            Role::Opener if self.awaits_owner => self.absence.defer(halves, Operation::Connect)?,
            _ => halves?,
        };
        Ok(Channel::new(halves, self.endpoint.address(), self.endpoint.settings()))
    }

    /// Takes steps until a handshake is complete.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> Result<Channel> {
        let operation = self.operation();
        match self.try_next() {
            Err(error) if error.is_would_block() => wait(self, operation, deadline, Self::try_next),
            done => done,
        }
        .map_err(|error| self.explain(error))
    }

    pub(crate) fn explain(&mut self, error: Error) -> Error {
        let endpoint = self.endpoint;
        let mut error = self.absence.explain(error, || endpoint.absence()).during(self.operation());
        if error.kind() == ErrorKind::TimedOut && error.message().is_none() {
            error = endpoint.explain_timeout(error);
        }
        if error.is_would_block() { error } else { error.at(self.endpoint.address()) }
    }
}

fn operation(role: Role) -> Operation {
    match role {
        Role::Owner => Operation::Accept,
        Role::Opener => Operation::Connect,
    }
}

impl Wait for NextChannel<'_> {
    fn source(&self) -> Result<Source> {
        self.endpoint.raw().source(&self.attempt)
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        if let Some(pause) = self.absence.pause() {
            return Ok(pause);
        }
        let armed = match waiter {
            Waiter::Task(_) => self.endpoint.raw().arm(&mut self.attempt, waiter)?,
            // An endpoint cannot park a thread, but may wake a task: the thread waits as a task.
            Waiter::Thread => {
                let waiter = Waiter::Task(self.unpark.waker());
                match self.endpoint.raw().arm(&mut self.attempt, waiter)? {
                    Armed::Waker => Armed::Park,
                    armed => armed,
                }
            }
        };
        self.interrupted = armed == Armed::Ready;
        Ok(armed)
    }

    fn park(&mut self, timeout: Duration) {
        std::thread::park_timeout(timeout);
    }
}

impl Waitable for NextChannel<'_> {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn take_interrupted(&mut self) -> bool {
        std::mem::take(&mut self.interrupted)
    }
}

impl fmt::Debug for NextChannel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextChannel").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
