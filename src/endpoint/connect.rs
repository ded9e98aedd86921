//! Connecting and accepting as something to wait for, by threads and tasks alike.

use std::fmt;
use std::sync::Arc;
use std::task::{Wake, Waker};
use std::thread::{Thread, ThreadId};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Operation, Result, Role, Source, Wait, Waiter,
};

use crate::address::settings::WaitMode;
use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::wait::{Spinner, Waitable, wait};

/// First and longest pause between two looks for an owner.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// What is not there yet is waited for: remembers whether nobody was there last, and how long to pause.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Absence {
    pause: Duration,
    pub(crate) nobody: bool,
}

impl Absence {
    pub(crate) fn new() -> Self {
        Self { pause: BACKOFF.0, nobody: false }
    }

    /// Turns "nobody there (yet)" into `WouldBlock`.
    pub(crate) fn defer<T>(&mut self, result: Result<T>, operation: Operation) -> Result<T> {
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

    pub(crate) fn pause(&mut self) -> Option<Armed> {
        let pause = self.pause;
        self.nobody.then(|| {
            self.pause = (pause * 2).min(BACKOFF.1);
            Armed::After(pause)
        })
    }

    /// At the deadline: nobody came, which says more than `TimedOut`.
    pub(crate) fn explain(&mut self, error: Error) -> Error {
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
