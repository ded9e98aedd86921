use std::ffi::CStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Operation, Rejections, Reply, Result, Source,
};
use anyipc_os::half_open::{Admission, HalfOpen, Listening, Next, Reserve, Step};
use anyipc_os::{Set, user};

use super::owner_handshake::{Heard, OwnerHandshake};
use crate::halves::{StreamChannel, duplex, halves};
use crate::named::Access;
use crate::proof::Key;
use crate::sys::{Listener, Stream};
use crate::text::{self, Text};

/// The descriptors of a local channel beside the connection: both ends of its control stream until
/// one is handed over, or the second stream.
const LOCAL_RESERVE: usize = if Stream::PASSES_STREAMS { 2 } else { 1 };

/// How an owner authenticates connectors.
#[derive(Debug)]
pub enum Authentication {
    /// The kernel says that the connector is one of these users.
    Users(Access),
    /// The connector proves that it knows the secret, and at which port it reached the owner. It
    /// may also request the text.
    Secret(Arc<Key>, u16, Text),
}

/// The owner's side of all handshakes at one name.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    authentication: Authentication,
    /// Bytes in flight per direction of a channel; 0 leaves it to the transport.
    capacity: u64,
    half_open: Mutex<HalfOpen<OwnerHandshake>>,
}

/// What one call of `try_accept` works with.
struct Accepting<'a> {
    acceptor: &'a Acceptor,
    ours: Hello,
}

impl Acceptor {
    /// Accepts the connectors that come to the listener and pass the authentication.
    ///
    /// # Errors
    /// `Io` if no descriptor is left.
    pub fn new(
        listener: Listener,
        authentication: Authentication,
        capacity: u64,
        operation: Operation,
    ) -> Result<Self> {
        let half_open = Mutex::new(HalfOpen::new(operation)?);
        Ok(Self { listener, authentication, capacity, half_open })
    }

    fn half_open(&self) -> MutexGuard<'_, HalfOpen<OwnerHandshake>> {
        self.half_open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every handshake one step further. Returns the first channel that is complete.
    pub(crate) fn try_accept(&self, attempt: &Attempt) -> Result<StreamChannel> {
        let mut ours = attempt.hello.clone();
        if ours.capacity == 0 {
            ours.capacity = self.capacity;
        }
        self.half_open().try_accept(&mut Accepting { acceptor: self, ours })
    }

    /// True if the connector's first stream carries both directions and its second one is for
    /// control.
    fn both_ways(&self) -> bool {
        matches!(self.authentication, Authentication::Secret(..)) && Stream::TCP_BOTH_WAYS
    }

    /// True if a welcomed connector is handed its control stream. Otherwise it gets a join token,
    /// and connects a second time.
    fn passes_streams(&self) -> bool {
        matches!(self.authentication, Authentication::Users(_)) && Stream::PASSES_STREAMS
    }

    /// Shows the owner its own text.
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
    type Channel = StreamChannel;
    type Listener = Listener;

    fn listener(&self) -> &Listener {
        &self.acceptor.listener
    }

    fn next(&mut self, set: &Set) -> io::Result<Next<OwnerHandshake>> {
        let reserve = match self.acceptor.authentication {
            Authentication::Users(_) => Reserve::new(LOCAL_RESERVE, set)?,
            Authentication::Secret(..) => Reserve::default(),
        };
        self.take(reserve)
    }

    fn next_second(&mut self, _set: &Set) -> io::Result<Next<OwnerHandshake>> {
        self.take(Reserve::default())
    }

    fn step(
        &mut self,
        handshake: &mut OwnerHandshake,
        others: &mut HalfOpen<OwnerHandshake>,
    ) -> Result<Step> {
        let theirs = match handshake.step(&self.acceptor.authentication, others.set())? {
            Heard::Nothing => return Ok(Step::Waits),
            Heard::Left | Heard::TextSent => return Ok(Step::Left),
            Heard::Join(token) => {
                let fits = !token.for_control || self.acceptor.both_ways();
                let first =
                    others.take(|other| fits && other.expects(&token.nonce)).ok_or_else(|| {
                        Error::new(Operation::Accept, ErrorKind::PermissionDenied)
                            .because("the connector's join token is not one of this owner's")
                    })?;
                handshake.join(first, token)?;
                return Ok(Step::Complete);
            }
            Heard::Hello(theirs) => theirs,
        };
        if text::is_request(&theirs) {
            return match &self.acceptor.authentication {
                Authentication::Secret(_, _, text) => {
                    handshake.send_text(text.clone())?;
                    Ok(Step::Waits)
                }
                Authentication::Users(_) => Err(Error::new(Operation::Accept, ErrorKind::Mismatch)
                    .because("a text is requested over tcp:// only")),
            };
        }
        self.ours.check(&theirs)?;
        if self.acceptor.passes_streams() {
            handshake.complete(theirs);
            return Ok(Step::Complete);
        }
        if !handshake.has_reserve() {
            return Ok(Step::Short);
        }
        let welcome = Reply::Welcome(self.ours.clone()).encode()?;
        handshake.issue_token(theirs, welcome, self.acceptor.both_ways())?;
        Ok(Step::Waits)
    }

    fn admit(
        &mut self,
        mut handshake: OwnerHandshake,
        _set: &Set,
    ) -> Admission<OwnerHandshake, StreamChannel> {
        handshake.release_reserve();
        let capacity = self.acceptor.capacity;
        let (made, peer) = match handshake.take_first() {
            Some((first, token)) => {
                let second = handshake.into_peer().0;
                let (stream, peer) = first.into_peer();
                let made = match token.for_control {
                    true => duplex(stream, second, capacity),
                    false => halves(second, stream, capacity),
                };
                (made, peer)
            }
            None => {
                let control = match self.hand_over(&handshake) {
                    Ok(control) => control,
                    Err(error) => return Admission::Refused(Some(handshake), error),
                };
                let (data, peer) = handshake.into_peer();
                (duplex(data, control, capacity), peer)
            }
        };
        match made {
            Ok((sender, receiver)) => Admission::Channel((sender, receiver, peer)),
            Err(error) => {
                Admission::Refused(None, Error::io(Operation::Accept, "sizing a channel", error))
            }
        }
    }
}

impl Accepting<'_> {
    /// Takes the next connector; local ones with what is reserved for their channel.
    fn take(&self, reserve: Reserve) -> io::Result<Next<OwnerHandshake>> {
        let Some(stream) = self.acceptor.listener.accept()? else { return Ok(Next::NoConnector) };
        let Authentication::Users(access) = &self.acceptor.authentication else {
            return Ok(Next::Begun(OwnerHandshake::unauthenticated(stream)));
        };
        let Ok(credentials) = stream.credentials() else { return Ok(Next::Left) };
        Ok(match access.unauthorised(&credentials) {
            None => Next::Begun(OwnerHandshake::authenticated(stream, credentials, reserve)),
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

    /// Sends the welcome together with one end of a new control stream. Returns the other end.
    fn hand_over(&self, handshake: &OwnerHandshake) -> Result<Stream> {
        let welcome = Reply::Welcome(self.ours.clone()).encode()?;
        let fail = |what: &'static str| move |error| Error::io(Operation::Accept, what, error);
        let (ours, theirs) = Stream::pair().map_err(fail("making a channel"))?;
        let sent =
            handshake.stream().send_with(&welcome, &theirs).map_err(fail("sending the welcome"))?;
        if sent != welcome.len() {
            return Err(Error::new(Operation::Accept, ErrorKind::Io)
                .because("a part of the welcome was not sent"));
        }
        Ok(ours)
    }
}
