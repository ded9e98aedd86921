//! The opener's side of a handshake.
//!
//! Over a local stream: hello, reply. Over TCP: nonces, then proofs of both sides, then hello,
//! reply (see [`proof`]). Where the reply brings no second stream, it brings a join token: the
//! opener connects a second time and shows the token there.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use anyipc_core::{Error, ErrorKind, Hello, Interest, Operation, Peer, Reply, Result, Source};
use anyipc_os::{Set, user};

use super::Place;
use super::owner_handshake::{ADMITTED_LIMIT, HANDSHAKE_LIMIT};
use crate::halves::{StreamChannel, duplex, halves};
use crate::opening::{JoinToken, OPENING, Opening};
use crate::proof::{self, Nonce, PROOF, Session, Statement};
use crate::sys::{Credentials, Stream};
use crate::text;

/// A handshake on its way.
#[derive(Debug)]
pub(super) struct OpenerHandshake {
    stream: Stream,
    /// The stream of the other direction, or for control, once there is one.
    second: Option<Stream>,
    /// Contains the stream that the owner answers on.
    set: Arc<Set>,
    /// The owner's, as the kernel says, over local streams.
    credentials: Option<Credentials>,
    /// What the owner has sent of the present stage.
    received: Vec<u8>,
    stage: Stage,
    /// What the proofs belong to: over TCP, once both nonces are known.
    session: Option<Session>,
    /// Set when the owner's first byte arrives, and anew when it has proved the secret and when it
    /// has accepted. Before that an owner that does not accept is waited for without a limit.
    deadline: Option<Instant>,
    /// True if this is a request for the text, false if it is for a channel.
    requests_text: bool,
}

/// What the handshake waits for.
#[derive(Debug)]
enum Stage {
    /// The TCP connection.
    Connection,
    /// The owner's nonce.
    Challenge { ours: Nonce },
    /// The owner's proof that it knows the secret.
    Proof,
    /// The owner's welcome or rejection.
    Reply,
    /// The second connection, on which the token is shown.
    SecondStream { hello: Hello, token: JoinToken },
    /// The owner's proof, on that connection, that it is the one that issued the token.
    Joined { hello: Hello, token: JoinToken },
    /// The rest of the text, of this total length in bytes.
    Text { hello: Hello, length: usize },
}

impl OpenerHandshake {
    pub(super) fn begin(place: &Place, hello: &Hello) -> Result<Self> {
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::new(Operation::Connect, ErrorKind::WouldBlock),
            _ => not_reached(error),
        };
        let stream = place.reach().map_err(fail)?;
        let set = Set::new().map_err(fail)?;
        set.watch(&stream, Interest::Readable).map_err(fail)?;
        let mut handshake = Self {
            stream,
            second: None,
            set,
            credentials: None,
            received: Vec::new(),
            stage: Stage::Connection,
            session: None,
            deadline: None,
            requests_text: text::is_request(hello),
        };
        if let Place::Local { access, .. } = place {
            let owner = handshake.stream.credentials().map_err(fail)?;
            if let Some(uid) = access.unauthorised(&owner) {
                let why = format!("the owner is user {uid}, which user {} does not trust", user());
                return Err(
                    Error::new(Operation::Connect, ErrorKind::PermissionDenied).because(why)
                );
            }
            handshake.credentials = Some(owner);
            handshake.send(&hello.encode()?)?;
            handshake.stage = Stage::Reply;
        }
        Ok(handshake)
    }

    /// True if the source tells of the next step. False while a connection is being established.
    pub(super) fn is_on_the_wire(&self) -> bool {
        !matches!(self.stage, Stage::Connection | Stage::SecondStream { .. })
    }

    /// True if the deadline had passed at `now`.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| now >= deadline)
    }

    pub(super) fn source(&self) -> Source {
        self.set.source()
    }

    /// Makes the source ready at the deadline.
    pub(super) fn arm(&self) -> Result<()> {
        self.set
            .wake_at(self.deadline)
            .map_err(|error| Error::io(Operation::Connect, "setting the clock", error))
    }

    /// Keeps the source from becoming ready at a deadline.
    pub(super) fn clear_alarm(&self) -> Result<()> {
        self.set
            .wake_at(None)
            .map_err(|error| Error::io(Operation::ReadLpsz, "setting the clock", error))
    }

    /// The text, once the handshake is complete.
    pub(super) fn text(&self) -> &[u8] {
        &self.received
    }

    /// The channel, once the handshake is complete.
    pub(super) fn into_channel(self, theirs: Hello) -> Result<StreamChannel> {
        let second = self.second.ok_or_else(|| corrupt("it brought no second stream"))?;
        let peer = Peer {
            pid: self.credentials.and_then(|owner| owner.pid),
            uid: self.credentials.and_then(|owner| owner.uid),
            hello: theirs,
        };
        let one_way = matches!(
            self.stage,
            Stage::SecondStream { token, .. } | Stage::Joined { token, .. } if !token.for_control
        );
        let make = if one_way { halves } else { duplex };
        let (sender, receiver) = make(self.stream, second, peer.hello.capacity)
            .map_err(|error| Error::io(Operation::Connect, "sizing the channel", error))?;
        Ok((sender, receiver, peer))
    }

    /// Goes as far as what has arrived allows. Returns the owner's hello when the handshake is
    /// complete.
    pub(super) fn step(&mut self, place: &Place, hello: &Hello) -> Result<Option<Hello>> {
        loop {
            let missing = match &self.stage {
                Stage::Connection => {
                    if !is_connected(&self.stream)? {
                        return Ok(None);
                    }
                    let ours = proof::nonce()?;
                    self.send(&Opening::Challenge(ours).encode())?;
                    self.stage = Stage::Challenge { ours };
                    continue;
                }
                Stage::SecondStream { hello, token } => {
                    let (hello, token) = (hello.clone(), *token);
                    if !self.join(place, &token)? {
                        return Ok(None);
                    }
                    if self.session.is_none() {
                        return Ok(Some(hello));
                    }
                    self.stage = Stage::Joined { hello, token };
                    continue;
                }
                Stage::Challenge { .. } => OPENING.saturating_sub(self.received.len()),
                Stage::Proof | Stage::Joined { .. } => PROOF.saturating_sub(self.received.len()),
                Stage::Reply => self.missing_reply(place)?,
                Stage::Text { hello, length } => match length - self.received.len() {
                    0 => return Ok(Some(hello.clone())),
                    missing => missing,
                },
            };
            if !self.receive(missing)? {
                return Ok(None);
            }
            if let Some(theirs) = self.advance(place, hello)? {
                return Ok(Some(theirs));
            }
        }
    }

    /// Receives at most `missing` bytes of the present stage: what follows them belongs to the
    /// channel. False if nothing is there.
    fn receive(&mut self, missing: usize) -> Result<bool> {
        let mut bytes = [0; 4096];
        let room = bytes.get_mut(..missing.min(4096)).unwrap_or_default();
        let got = match (&self.stage, &self.second) {
            (Stage::Joined { .. }, Some(second)) => second.recv(room),
            _ => self.stream.recv_with(room, &mut self.second),
        };
        match got {
            Ok(0) => Err(no_owner()),
            Ok(got) => {
                self.received.extend_from_slice(room.get(..got).unwrap_or_default());
                self.deadline.get_or_insert_with(|| Instant::now() + HANDSHAKE_LIMIT);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => Err(no_owner()),
            Err(error) => Err(Error::io(Operation::Connect, "reading the owner's answer", error)),
        }
    }

    /// Enters the next stage if the present one is received whole. Returns the owner's hello when
    /// the handshake is complete.
    fn advance(&mut self, place: &Place, hello: &Hello) -> Result<Option<Hello>> {
        match (&self.stage, place) {
            (Stage::Challenge { ours }, Place::Tcp { key, address, .. }) => {
                match Opening::decode(&self.received)? {
                    None => return Ok(None),
                    Some(Opening::Join(_)) => return Err(corrupt("it began with a join token")),
                    Some(Opening::Challenge(theirs)) => {
                        let session = Session::new(key, *ours, theirs, address.port());
                        self.send(&session.prove(Statement::Opener, &[])?)?;
                        (self.session, self.stage) = (Some(session), Stage::Proof);
                    }
                }
            }
            (Stage::Proof, _) => {
                let Some(session) = self.session_and_proof() else { return Ok(None) };
                session.verify(Statement::Owner, &[], &self.received)?;
                let hello = hello.encode()?;
                let proof = session.prove(Statement::Hello, &[&hello])?;
                self.send(&[&hello[..], &proof].concat())?;
                self.stage = Stage::Reply;
                self.deadline = Some(Instant::now() + ADMITTED_LIMIT);
            }
            (Stage::Joined { hello: theirs, token }, _) => {
                let Some(session) = self.session_and_proof() else { return Ok(None) };
                session.verify(Statement::Joined, &[&token.nonce], &self.received)?;
                return Ok(Some(theirs.clone()));
            }
            (Stage::Reply, _) => return self.advance_reply(place, hello),
            // The text is not complete yet.
            _ => return Ok(None),
        }
        self.received.clear();
        Ok(None)
    }

    /// [`advance`](Self::advance) of the reply.
    fn advance_reply(&mut self, place: &Place, hello: &Hello) -> Result<Option<Hello>> {
        let Some((reply, used)) = Reply::decode(&self.received)? else { return Ok(None) };
        let theirs = reply.into_result()?;
        if place.passes_streams() {
            return Ok(Some(theirs));
        }
        let end = used + self.after_welcome();
        let (Some(proved), Some(rest)) = (self.received.get(..end), self.received.get(used..))
        else {
            return Ok(None);
        };
        if let Some(session) = &self.session {
            let proof = self.received.get(end..).unwrap_or_default();
            if proof.len() < PROOF {
                return Ok(None);
            }
            session.verify(Statement::Reply, &[&hello.encode()?, proved], proof)?;
        }
        if self.requests_text {
            let Some(length) = rest.first_chunk() else { return Ok(None) };
            self.stage = Stage::Text { hello: theirs, length: text::announced(*length)? };
        } else {
            let Some((nonce, [for_control, ..])) = rest.split_first_chunk() else {
                return Ok(None);
            };
            let for_control = *for_control == 1 && place.both_ways();
            let token = JoinToken { nonce: *nonce, for_control };
            self.stage = Stage::SecondStream { hello: theirs, token };
            self.deadline = Some(Instant::now() + ADMITTED_LIMIT);
        }
        self.received.clear();
        Ok(None)
    }

    /// The session, once a whole proof is received.
    fn session_and_proof(&self) -> Option<&Session> {
        self.session.as_ref().filter(|_| self.received.len() >= PROOF)
    }

    /// How many bytes the reply still lacks, at least.
    fn missing_reply(&self, place: &Place) -> Result<usize> {
        Ok(match Reply::decode(&self.received)? {
            Some(_) if place.passes_streams() => 0,
            Some((Reply::Reject { .. }, _)) => 0,
            Some((Reply::Welcome(_), used)) => {
                let proof = if self.session.is_some() { PROOF } else { 0 };
                (used + self.after_welcome() + proof).saturating_sub(self.received.len())
            }
            None => Reply::missing(&self.received),
        })
    }

    /// The length of what follows a welcome: the length of a text, or a join token.
    fn after_welcome(&self) -> usize {
        if self.requests_text { text::LENGTH } else { size_of::<Nonce>() + 1 }
    }

    /// Connects a second time and shows the token there. False while there is no connection.
    fn join(&mut self, place: &Place, token: &JoinToken) -> Result<bool> {
        let second = match &mut self.second {
            Some(second) => second,
            none => match place.reach() {
                Ok(stream) => none.insert(stream),
                // The owner's queue is full.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(not_reached(error)),
            },
        };
        if !is_connected(second)? {
            return Ok(false);
        }
        let nonce = match &self.session {
            Some(session) => session.prove(Statement::Joins, &[&token.nonce])?,
            None => token.nonce,
        };
        // The owner answers on the second stream. What comes over the first one is for the channel.
        self.set.forget(&self.stream);
        self.set
            .watch(second, Interest::Readable)
            .map_err(|error| Error::io(Operation::Connect, "watching a connection", error))?;
        let bytes = Opening::Join(JoinToken { nonce, ..*token }).encode();
        match second.send(&bytes) {
            Ok(sent) if sent == bytes.len() => Ok(true),
            _ => Err(no_owner()),
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        match self.stream.send(bytes) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => Err(Error::new(Operation::Connect, ErrorKind::Io)
                .because("a part of the handshake was not sent")),
            // The owner's reason for hanging up may be there to be read.
            Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => Ok(()),
            Err(error) => Err(Error::io(Operation::Connect, "sending to the owner", error)),
        }
    }
}

fn is_connected(stream: &Stream) -> Result<bool> {
    stream.connected().map_err(not_reached)
}

fn not_reached(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset => no_owner(),
        _ => Error::io(Operation::Connect, "reaching the owner", error),
    }
}

/// No owner listens, or it died or closed while the opener waited in its queue.
pub(super) fn no_owner() -> Error {
    Error::new(Operation::Connect, ErrorKind::NoOwner)
}

fn corrupt(why: &str) -> Error {
    Error::new(Operation::Connect, ErrorKind::Corrupt)
        .because(format!("the owner's welcome is damaged: {why}"))
}
