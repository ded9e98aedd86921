use std::time::Duration;

use anyipc_core::{Result, Role, Wait};

use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::endpoint::connect::Attempting;
use crate::wait::deadline;
use crate::wait::select::{Member, Sleep};

/// An owner that accepts bit by bit, from [`Endpoint::acceptor`]: connectors whose handshake has begun stay between
/// the calls, and a [`Select`](crate::Select) can wait for the next channel beside other things.
#[derive(Debug)]
pub struct Acceptor<'a> {
    attempting: Attempting<'a>,
    /// What a [`Select`](crate::Select) has found, until the next call asks for it: a channel, or an error.
    found: Option<Result<Channel>>,
}

impl Endpoint {
    /// A way to accept without waiting. Owner only.
    ///
    /// # Errors
    /// `WrongRole`.
    pub fn acceptor(&self) -> Result<Acceptor<'_>> {
        let attempting = Attempting::new(self, Role::Owner, self.hello())?;
        Ok(Acceptor { attempting, found: None })
    }
}

impl<'a> Acceptor<'a> {
    /// Accepts a peer if one is there.
    ///
    /// # Errors
    /// `WouldBlock` if none is, and those of [`Endpoint::accept`].
    pub fn try_accept(&mut self) -> Result<Channel> {
        match self.found.take() {
            Some(found) => found,
            None => self.attempting.attempt(),
        }
        .map_err(|error| self.attempting.explain(error))
    }

    /// See [`Endpoint::accept`].
    ///
    /// # Errors
    /// Those of [`Endpoint::accept`].
    pub fn accept(&mut self) -> Result<Channel> {
        match self.found.take() {
            Some(found) => found.map_err(|error| self.attempting.explain(error)),
            None => self.attempting.run(None),
        }
    }

    /// See [`Endpoint::accept_timeout`].
    ///
    /// # Errors
    /// Those of [`Endpoint::accept_timeout`].
    pub fn accept_timeout(&mut self, timeout: Duration) -> Result<Channel> {
        match self.found.take() {
            Some(found) => found.map_err(|error| self.attempting.explain(error)),
            None => self.attempting.run(deadline(Some(timeout))),
        }
    }

    pub(crate) fn is_ready(&mut self) -> bool {
        if self.found.is_none() {
            match self.attempting.attempt() {
                Err(error) if error.is_would_block() => return false,
                found => self.found = Some(found),
            }
        }
        true
    }

    pub(crate) fn attempting(&mut self) -> &mut Attempting<'a> {
        &mut self.attempting
    }
}

impl Member for Acceptor<'_> {
    fn is_ready(&mut self) -> bool {
        self.is_ready()
    }
    fn sleep_on(&mut self, sleep: Sleep<'_>) -> Result<bool> {
        sleep.arm(self.attempting())
    }
    fn stop_sleeping(&mut self) {
        self.attempting().disarm();
    }
    fn spins(&mut self) -> bool {
        // Nobody hurries to a door.
        true
    }
}
