use std::fmt;
use std::time::{Duration, Instant};

use anyipc_core::{Hello, Result, Role, Wait};

use super::Endpoint;
use super::next_channel::NextChannel;
use crate::channel::Channel;
use crate::wait::deadline;
use crate::wait::select::{Arming, Member};

/// An owner that accepts in steps, from [`Endpoint::acceptor`].
///
/// Half-open handshakes stay between its calls, and a [`Select`](crate::Select) can wait for the
/// next channel beside other things.
pub struct Acceptor<'a> {
    next: NextChannel<'a>,
    /// What a [`Select`](crate::Select) found, a channel or an error: the result of the next call.
    found: Option<Result<Channel>>,
}

impl Endpoint {
    /// A way to accept without blocking. Owner only.
    ///
    /// # Errors
    /// `WrongRole`.
    pub fn acceptor(&self) -> Result<Acceptor<'_>> {
        Acceptor::new(self, Role::Owner, self.hello())
    }
}

impl<'a> Acceptor<'a> {
    /// With the role of an opener it connects instead.
    ///
    /// # Errors
    /// `WrongRole`.
    pub(crate) fn new(endpoint: &'a Endpoint, role: Role, hello: Hello) -> Result<Self> {
        Ok(Self { next: NextChannel::new(endpoint, role, hello)?, found: None })
    }

    /// Accepts a peer if there is one, without blocking.
    ///
    /// # Errors
    /// `WouldBlock` if there is none, and those of [`Endpoint::accept`].
    pub fn try_accept(&mut self) -> Result<Channel> {
        match self.found.take() {
            Some(found) => found,
            None => self.next.try_next(),
        }
        .map_err(|error| self.next.explain(error))
    }

    /// Accepts a peer. Blocks until there is one, without a limit of time.
    ///
    /// # Errors
    /// Those of [`Endpoint::accept`].
    pub fn accept(&mut self) -> Result<Channel> {
        self.accept_until(None)
    }

    /// As [`accept`](Self::accept), for `timeout` at most.
    ///
    /// # Errors
    /// Those of [`Endpoint::accept_timeout`].
    pub fn accept_timeout(&mut self, timeout: Duration) -> Result<Channel> {
        self.accept_until(deadline(Some(timeout)))
    }

    pub(crate) fn accept_until(&mut self, deadline: Option<Instant>) -> Result<Channel> {
        match self.found.take() {
            Some(found) => found.map_err(|error| self.next.explain(error)),
            None => self.next.next(deadline),
        }
    }
}

impl Member for Acceptor<'_> {
    fn is_ready(&mut self) -> bool {
        if self.found.is_none() {
            match self.next.try_next() {
                Err(error) if error.is_would_block() => return false,
                found => self.found = Some(found),
            }
        }
        true
    }
    fn arm_in_select(&mut self, arming: Arming<'_>) -> Result<bool> {
        arming.arm(&mut self.next)
    }
    fn disarm_in_select(&mut self) {
        self.next.disarm();
    }
    fn may_spin(&mut self) -> bool {
        // A connector is not worth a spin, but does not forbid the others to spin either.
        true
    }
}

impl fmt::Debug for Acceptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acceptor({})", self.next.address())
    }
}
