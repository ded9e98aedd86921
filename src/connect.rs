//! Connecting and accepting as something to wait for, by threads and tasks alike.

use std::fmt;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Operation, Result, Role, Source, Wait, Waiter,
};

use crate::settings::WaitMode;
use crate::wait::{Spinner, Waitable, deadline, wait};
use crate::{Address, Channel, Endpoint, Registry};

/// First and longest pause between two looks for an owner.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// An owner that starts together with us is there by then. If it is not, and another transport has something of its
/// name, the two sides have different schemes in their addresses: no use to wait for the rest of the timeout.
const LOOK_AROUND: Duration = Duration::from_millis(500);

/// What is not there yet is waited for: remembers whether nobody was there last, and how long to pause.
#[derive(Debug, Clone, Copy)]
struct Absence {
    pause: Duration,
    nobody: bool,
}

impl Absence {
    fn new() -> Self {
        Self { pause: BACKOFF.0, nobody: false }
    }

    /// Turns "nobody there (yet)" into `WouldBlock`.
    fn defer<T>(&mut self, result: Result<T>, operation: Operation) -> Result<T> {
        match result {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NoOwner) => {
                self.nobody = true;
                Err(Error::new(operation, ErrorKind::WouldBlock))
            }
            // Also `WouldBlock`: an owner is there and has not answered yet.
            other => {
                self.nobody = false;
                other
            }
        }
    }

    fn pause(&mut self) -> Option<Armed> {
        let pause = self.pause;
        self.nobody.then(|| {
            self.pause = (pause * 2).min(BACKOFF.1);
            Armed::After(pause)
        })
    }

    /// At the deadline: nobody came, which says more than `TimedOut`.
    fn explain(&mut self, error: Error) -> Error {
        if !std::mem::take(&mut self.nobody) || error.kind() != ErrorKind::TimedOut {
            return error;
        }
        Error::new(Operation::Connect, ErrorKind::NoOwner)
            .because("nobody accepts there; start the owner first, or raise timeout=")
    }
}

/// One attempt of an endpoint to connect or to accept.
pub(crate) struct Attempting<'a> {
    endpoint: &'a Endpoint,
    attempt: Attempt,
    absence: Absence,
    spinner: Spinner,
    /// The last try left something to do, and took as long as one may: a task lets others run after the next one.
    busy: bool,
    /// Unparks the thread that waited last.
    waker: Option<(ThreadId, Waker)>,
}

impl<'a> Attempting<'a> {
    pub(crate) fn new(endpoint: &'a Endpoint, role: Role, hello: Hello) -> Result<Self> {
        let operation = operation(role);
        if endpoint.role() != role {
            let other = match role {
                Role::Owner => "an opener connects",
                Role::Opener => "the owner accepts",
            };
            return Err(Error::new(operation, ErrorKind::WrongRole)
                .because(format!("this handle is the {}'s: {other}", endpoint.role().as_str()))
                .at(endpoint.address()));
        }
        Ok(Self {
            endpoint,
            attempt: Attempt::new(hello),
            absence: Absence::new(),
            spinner: Spinner::new(WaitMode::Block),
            busy: false,
            waker: None,
        })
    }

    pub(crate) fn operation(&self) -> Operation {
        operation(self.endpoint.role())
    }

    /// One step; `WouldBlock` until a peer is there.
    pub(crate) fn attempt(&mut self) -> Result<Channel> {
        let halves = self.endpoint.raw().try_connect(&mut self.attempt);
        let halves = match self.endpoint.role() {
            Role::Opener => self.absence.defer(halves, Operation::Connect)?,
            Role::Owner => halves?,
        };
        Ok(Channel::new(halves, self.endpoint.address(), self.endpoint.settings()))
    }

    pub(crate) fn explain(&mut self, error: Error) -> Error {
        let mut error = self.absence.explain(error).during(self.operation());
        if error.kind() == ErrorKind::TimedOut && error.message().is_none() {
            error = error.because(match self.endpoint.role() {
                Role::Opener => {
                    "an owner is there, but does not accept: it is busy, stopped, or out of descriptors"
                }
                Role::Owner => "no connector came, or none could be let in (see Endpoint::rejections)",
            });
        }
        if error.is_would_block() { error } else { error.at(self.endpoint.address()) }
    }

    /// Steps until a peer is there.
    pub(crate) fn run(&mut self, deadline: Option<Instant>) -> Result<Channel> {
        let operation = self.operation();
        match self.attempt() {
            Err(error) if error.is_would_block() => wait(self, operation, deadline, Self::attempt),
            done => done,
        }
        .map_err(|error| self.explain(error))
    }
}

fn operation(role: Role) -> Operation {
    match role {
        Role::Owner => Operation::Accept,
        Role::Opener => Operation::Connect,
    }
}

/// Unparks a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Wait for Attempting<'_> {
    fn source(&self) -> Result<Source> {
        self.endpoint.raw().source(&self.attempt)
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        if let Some(pause) = self.absence.pause() {
            return Ok(pause);
        }
        let armed = match waiter {
            Waiter::Task(_) => self.endpoint.raw().arm(&mut self.attempt, waiter)?,
            // Endpoints never park, but they may know how to wake: a thread waits as a task of its own.
            Waiter::Thread => {
                let thread = std::thread::current();
                self.waker.take_if(|(id, _)| *id != thread.id());
                let (_, waker) = self
                    .waker
                    .get_or_insert_with(|| (thread.id(), Waker::from(Arc::new(Unpark(thread)))));
                match self.endpoint.raw().arm(&mut self.attempt, Waiter::Task(waker))? {
                    Armed::Waker => Armed::Park,
                    armed => armed,
                }
            }
        };
        self.busy = armed == Armed::Ready;
        Ok(armed)
    }

    fn park(&mut self, timeout: Duration) {
        std::thread::park_timeout(timeout);
    }
}

impl Waitable for Attempting<'_> {
    fn wait(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
    fn interrupted(&mut self) -> bool {
        std::mem::take(&mut self.busy)
    }
}

impl fmt::Debug for Attempting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempting").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

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
