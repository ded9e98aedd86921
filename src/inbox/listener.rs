//! Accepting: when to look for connectors, and what to do while the owner cannot accept.

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Attempt, Error, ErrorKind, Hello, Result, Waiter};

use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::wait::sleeper::Sleeper;

/// Least time between two looks for connectors while there are messages: a look takes as long as
/// some fifty messages.
const INTERVAL: Duration = Duration::from_micros(50);

/// The longest sleep while the owner cannot accept.
const RETRY: Duration = Duration::from_millis(10);

/// Least time between two reports that the owner cannot accept: its peers are served meanwhile.
const REPORT: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Listener {
    /// The half-open handshakes.
    attempt: Attempt,
    /// The next turn looks for a connector.
    pub(super) due: bool,
    /// When a connector was looked for last.
    looked: Instant,
    /// The next turn serves peers before it looks for a connector.
    pub(super) peers_first: bool,
    /// The last look failed, other than by `WouldBlock`: its source is left out of the next sleep.
    failed: bool,
    /// A failure to report once no peer has anything; none was reported within [`REPORT`] before
    /// it.
    fault: Option<Error>,
    /// When a failure was reported last.
    reported: Option<Instant>,
}

/// What the end of a sleep covers after [`Listener::arm`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covered {
    /// There is no need to sleep: the next look has more to do.
    Ready,
    Connectors,
    /// Connectors, and the messages of peers with hints: they have the same source.
    ConnectorsAndHints,
}

impl Listener {
    pub(super) fn new(hello: Hello) -> Self {
        let mut attempt = Attempt::new(hello);
        attempt.inbox = true;
        Self {
            attempt,
            due: true,
            looked: Instant::now(),
            peers_first: false,
            failed: false,
            fault: None,
            reported: None,
        }
    }

    /// A caller that does not wait asks for what there is: connectors count, too, but peers come
    /// first if connectors were looked for just now.
    pub(super) fn request(&mut self) {
        self.due = true;
        self.peers_first |= !self.is_time();
    }

    /// True if the last look is long enough ago to look again beside messages.
    pub(super) fn is_time(&self) -> bool {
        self.looked.elapsed() >= INTERVAL
    }

    /// Accepts a connector if one is there and a look is due. Failures are kept, see
    /// [`take_fault`](Self::take_fault).
    ///
    /// # Errors
    /// `Forked`.
    #[inline]
    pub(super) fn accept(&mut self, endpoint: &Endpoint) -> Result<Option<Channel>> {
        if std::mem::take(&mut self.due) { self.look(endpoint) } else { Ok(None) }
    }

    #[cold]
    fn look(&mut self, endpoint: &Endpoint) -> Result<Option<Channel>> {
        self.looked = Instant::now();
        let accepted = endpoint.raw().try_connect(&mut self.attempt);
        self.failed = false;
        match accepted {
            Ok(halves) => {
                // More connectors may be waiting.
                self.due = true;
                self.peers_first = true;
                Ok(Some(Channel::new(halves, endpoint.address(), endpoint.settings())))
            }
            Err(error) if error.is_would_block() => Ok(None),
            Err(error) => self.fail(error).map(|()| None),
        }
    }

    /// Keeps a failure for a later report; `Forked` is returned at once.
    fn fail(&mut self, error: Error) -> Result<()> {
        if error.kind() == ErrorKind::Forked {
            return Err(error);
        }
        self.failed = true;
        if self.reported.is_none_or(|reported| reported.elapsed() >= REPORT) {
            self.fault = Some(error);
        }
        Ok(())
    }

    /// The failure to report now, if there is one.
    pub(super) fn take_fault(&mut self) -> Option<Error> {
        let fault = self.fault.take()?;
        self.reported = Some(Instant::now());
        Some(fault)
    }

    /// Adds connectors to what ends the next sleep.
    ///
    /// # Errors
    /// `Forked`, and `Io` if there is no source.
    pub(super) fn arm(&mut self, endpoint: &Endpoint, sleeper: &mut Sleeper) -> Result<Covered> {
        self.due = true;
        let waker = sleeper.waker();
        let armed = match endpoint.raw().arm(&mut self.attempt, Waiter::Task(&waker)) {
            Ok(armed) => armed,
            Err(error) => {
                self.fail(error)?;
                Armed::After(RETRY)
            }
        };
        if self.failed {
            // The pending connection keeps the listener readable and would end every sleep at once.
            // Without its source, hints are found at the end of the short sleep.
            sleeper.limit(RETRY);
            return Ok(Covered::ConnectorsAndHints);
        }
        if !sleeper.add(armed, || endpoint.raw().source(&self.attempt))? {
            return Ok(Covered::Ready);
        }
        // A transport with hints has one source for connectors and messages.
        Ok(match armed {
            Armed::Source(_) => Covered::ConnectorsAndHints,
            _ => Covered::Connectors,
        })
    }
}
