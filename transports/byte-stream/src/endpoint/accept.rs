use std::ffi::CStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Operation, Peer, Rejections, Reply, Result, Source,
};
use anyipc_os::half_open::{Admission, HalfOpen, Listening, Next, Reserve, Step};
use anyipc_os::{Set, user};

use super::owner_handshake::{Heard, OwnerHandshake};
use crate::halves::{StreamReceiver, StreamSender, duplex, halves};
use crate::named::Access;
use crate::proof::Key;
use crate::sys::{Listener, Stream};
use crate::text::{self, Text};

/// The descriptors of a local channel beside the connection: both ends of its control stream, until one was handed over.
const LOCAL_RESERVE: usize = if Stream::PASSES_STREAMS { 2 } else { 1 };

/// What a connector has to show.
#[derive(Debug)]
pub enum Authentication {
    /// The kernel says that it is one of these users.
    Users(Access),
    /// It proves to know a secret, and which port it came to. Then it may also ask for the text.
    Secret(Arc<Key>, u16, Text),
}

/// The owner's side of the handshakes.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    authentication: Authentication,
    /// Bytes in flight per direction of a channel; 0 leaves it to the transport.
    capacity: u64,
    half_open: Mutex<HalfOpen<OwnerHandshake>>,
}

/// The owner's part in one call.
struct Accepting<'a> {
    acceptor: &'a Acceptor,
    ours: Hello,
}

impl Acceptor {
    /// Accepts whoever comes to the listener and has what it takes.
    pub fn new(
        listener: Listener,
        authentication: Authentication,
        capacity: u64,
        operation: Operation,
    ) -> Result<Self> {
        Ok(Self {
            listener,
            authentication,
            capacity,
            half_open: Mutex::new(HalfOpen::new(operation)?),
        })
    }

    fn half_open(&self) -> MutexGuard<'_, HalfOpen<OwnerHandshake>> {
        self.half_open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every handshake a step further; gives the first that is complete.
    pub(crate) fn try_accept(
        &self,
        attempt: &Attempt,
    ) -> Result<(StreamSender, StreamReceiver, Peer)> {
        let mut ours = attempt.hello.clone();
        if ours.capacity == 0 {
            ours.capacity = self.capacity;
        }
        self.half_open().try_accept(&mut Accepting { acceptor: self, ours })
    }

    /// Whether a stream that a connector came over can carry both directions, and the one that it adds is for control.
    fn both_ways(&self) -> bool {
        matches!(self.authentication, Authentication::Secret(..)) && Stream::TCP_BOTH_WAYS
    }

    /// Whether an admitted connector is handed its control stream. Otherwise it gets a token for a stream of its own.
    fn passes_streams(&self) -> bool {
        matches!(self.authentication, Authentication::Users(_)) && Stream::PASSES_STREAMS
    }

    /// The owner's own text.
    pub(crate) fn read_text(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        match &self.authentication {
            Authentication::Secret(_, _, text) => text.read(read),
            Authentication::Users(_) => {
                Err(Error::new(Operation::ReadLpsz, ErrorKind::Unsupported))
            }
        }
    }

    pub(crate) fn arm(&self) -> Result<Armed> {
        self.half_open().arm()
    }

    pub(crate) fn source(&self) -> Source {
        self.half_open().source()
    }

    pub(crate) fn rejections(&self) -> Rejections {
        self.half_open().rejections()
    }
}

impl Listening for Accepting<'_> {
    type Handshake = OwnerHandshake;
    type Channel = (StreamSender, StreamReceiver, Peer);
    type Listener = Listener;

    fn listener(&self) -> &Listener {
        &self.acceptor.listener
    }

    fn next(&mut self, set: &Set) -> io::Result<Next<OwnerHandshake>> {
        let Authentication::Users(access) = &self.acceptor.authentication else {
            let stream = self.acceptor.listener.accept()?;
            return Ok(
                stream.map_or(Next::Nobody, |stream| Next::Begun(OwnerHandshake::unknown(stream)))
            );
        };
        let reserve = Reserve::new(LOCAL_RESERVE, set)?;
        let Some(stream) = self.acceptor.listener.accept()? else { return Ok(Next::Nobody) };
        let Ok(who) = stream.credentials() else { return Ok(Next::Left) };
        Ok(match access.unauthorised(&who) {
            None => Next::Begun(OwnerHandshake::known(stream, who, reserve)),
            Some(uid) => {
                let why = format!("user {uid} may not connect to user {}", user());
                let error = Error::new(Operation::Accept, ErrorKind::PermissionDenied).because(why);
                if let Ok(reply) = Reply::reject(&error).encode() {
                    let _ = stream.send(&reply);
                }
                Next::Rejected(error)
            }
        })
    }

    fn step(
        &mut self,
        handshake: &mut OwnerHandshake,
        others: &mut HalfOpen<OwnerHandshake>,
    ) -> Result<Step> {
        let theirs = match handshake.step(&self.acceptor.authentication, others.set())? {
            Heard::Nothing => return Ok(Step::Waits),
            Heard::Left | Heard::Told => return Ok(Step::Left),
            Heard::Short => return Ok(Step::Short),
            Heard::Join(token) => {
                let welcome = !token.controls || self.acceptor.both_ways();
                let first = others
                    .take(|other| welcome && other.expects(&token.nonce))
                    .ok_or_else(|| {
                        Error::new(Operation::Accept, ErrorKind::PermissionDenied)
                            .because("the connector's token is not one of ours")
                    })?;
                handshake.join(first, token)?;
                return Ok(Step::Complete);
            }
            Heard::Hello(theirs) => theirs,
        };
        if text::is_question(&theirs) {
            return match &self.acceptor.authentication {
                Authentication::Secret(_, _, text) => {
                    handshake.tell_text(text.clone())?;
                    Ok(Step::Waits)
                }
                Authentication::Users(_) => Err(Error::new(Operation::Accept, ErrorKind::Mismatch)
                    .because("only over tcp:// is a text asked for")),
            };
        }
        self.ours.check(&theirs)?;
        if self.acceptor.passes_streams() {
            handshake.welcome(theirs);
            return Ok(Step::Complete);
        }
        let welcome = Reply::Welcome(self.ours.clone()).encode()?;
        handshake.invite(theirs, welcome, self.acceptor.both_ways())?;
        Ok(Step::Waits)
    }

    fn admit(
        &mut self,
        mut handshake: OwnerHandshake,
        _set: &Set,
    ) -> Admission<OwnerHandshake, (StreamSender, StreamReceiver, Peer)> {
        handshake.release();
        let capacity = self.acceptor.capacity;
        let made = match handshake.take_first() {
            Some((first, token)) => {
                let second = handshake.into_peer().0;
                let (stream, peer) = first.into_peer();
                let made = match token.controls {
                    true => duplex(stream, second, capacity),
                    false => halves(second, stream, capacity),
                };
                made.map(|(sender, receiver)| (sender, receiver, peer))
            }
            None => {
                let control = match self.hand_over(&handshake) {
                    Ok(control) => control,
                    Err(error) => return Admission::Refused(Some(handshake), error),
                };
                let (data, peer) = handshake.into_peer();
                duplex(data, control, capacity).map(|(sender, receiver)| (sender, receiver, peer))
            }
        };
        match made {
            Ok(channel) => Admission::Channel(channel),
            Err(error) => {
                Admission::Refused(None, Error::io(Operation::Accept, "sizing a channel", error))
            }
        }
    }
}

impl Accepting<'_> {
    /// Welcomes a connector with the end of a control stream; ours is the other.
    fn hand_over(&self, handshake: &OwnerHandshake) -> Result<Stream> {
        let welcome = Reply::Welcome(self.ours.clone()).encode()?;
        let fail = |what: &'static str| move |error| Error::io(Operation::Accept, what, error);
        let (control, other) = Stream::pair().map_err(fail("making a channel"))?;
        let sent =
            handshake.stream().send_with(&welcome, &other).map_err(fail("sending the welcome"))?;
        if sent != welcome.len() {
            return Err(Error::new(Operation::Accept, ErrorKind::Io)
                .because("the welcome went out in part"));
        }
        Ok(control)
    }
}
