//! The owner's side: connectors are channels as soon as their user was checked. Shortages, their
//! pauses and the report of rejections are those of the transports with handshakes.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_byte_stream::{Credentials, Listener, Stream};
use anyipc_core::{Armed, Error, ErrorKind, Hello, Operation, Rejections, Result, Source};
use anyipc_os::Set;
use anyipc_os::half_open::{Admission, HalfOpen, Handshake, Listening, Next, Step};

use crate::endpoint::{PlainChannel, Settings};

/// The owner's listener.
#[derive(Debug)]
pub(crate) struct Acceptor {
    listener: Listener,
    arrived: Mutex<HalfOpen<Arrived>>,
}

/// A connector of a user that may connect. Nothing more is asked of it.
#[derive(Debug)]
struct Arrived {
    stream: Stream,
    peer: Credentials,
    since: Instant,
}

/// What one call of `try_accept` works with.
struct Accepting<'a> {
    listener: &'a Listener,
    settings: &'a Settings,
    hello: &'a Hello,
}

impl Acceptor {
    /// # Errors
    /// `Io` if no descriptor is left.
    pub(crate) fn new(listener: Listener, operation: Operation) -> Result<Self> {
        Ok(Self { listener, arrived: Mutex::new(HalfOpen::new(operation)?) })
    }

    fn arrived(&self) -> MutexGuard<'_, HalfOpen<Arrived>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connector of a user that may connect.
    pub(crate) fn try_accept(&self, settings: &Settings, hello: &Hello) -> Result<PlainChannel> {
        self.arrived().try_accept(&mut Accepting { listener: &self.listener, settings, hello })
    }

    pub(crate) fn arm(&self) -> Result<Armed> {
        self.arrived().arm()
    }

    pub(crate) fn source(&self) -> Source {
        self.arrived().source()
    }

    pub(crate) fn rejections(&self) -> Rejections {
        self.arrived().rejections()
    }
}

impl Handshake for Arrived {
    type Wire = Stream;

    fn wire(&self) -> &Stream {
        &self.stream
    }

    /// Never reached: the first step completes it.
    fn deadline(&self) -> Instant {
        self.since + Duration::from_secs(60)
    }

    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut)
    }

    /// The wire has no words for it: the peer sees the end of the stream.
    fn refuse(&self, _error: &Error) {}

    fn has_spoken(&self) -> bool {
        true
    }
}

impl Listening for Accepting<'_> {
    type Handshake = Arrived;
    type Channel = PlainChannel;
    type Listener = Listener;

    fn listener(&self) -> &Listener {
        self.listener
    }

    fn next(&mut self, _set: &Set) -> io::Result<Next<Arrived>> {
        let Some(stream) = self.listener.accept()? else { return Ok(Next::NoConnector) };
        let Ok(peer) = stream.credentials() else { return Ok(Next::Left) };
        Ok(match self.settings.check(&peer, Operation::Accept) {
            Ok(()) => Next::Begun(Arrived { stream, peer, since: Instant::now() }),
            Err(error) => Next::Rejected(error),
        })
    }

    fn step(&mut self, _: &mut Arrived, _: &mut HalfOpen<Arrived>) -> Result<Step> {
        Ok(Step::Complete)
    }

    fn admit(&mut self, arrived: Arrived, _set: &Set) -> Admission<Arrived, PlainChannel> {
        match self.settings.channel(arrived.stream, arrived.peer, self.hello) {
            Ok(channel) => Admission::Channel(channel),
            Err(error) => {
                Admission::Refused(None, Error::io(Operation::Accept, "sizing a channel", error))
            }
        }
    }
}
