use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, Operation, Peer, Reply, Result, Source,
};
use anyipc_os::{Set, user};

use super::Place;
use super::owner_handshake::{HANDSHAKE, REST};
use crate::halves::{StreamReceiver, StreamSender, duplex, halves};
use crate::proof::{self, JoinToken, Nonce, OPENING, Opening, PROOF, Session, Statement};
use crate::sys::{Credentials, Stream};
use crate::text;

/// How soon to look again for an owner, for room in its queue, or for a connection to stand.
pub(super) const SOON: Duration = Duration::from_millis(1);

/// What an attempt keeps: taken out when it is complete.
type Progress = Option<OpenerHandshake>;

/// A handshake on its way.
#[derive(Debug)]
pub(super) struct OpenerHandshake {
    stream: Stream,
    set: Arc<Set>,
    who: Option<Credentials>,
    /// What was heard of the present stage.
    heard: Vec<u8>,
    /// The stream of the other direction, or for control, once there is one.
    other: Option<Stream>,
    stage: Stage,
    /// What the proofs belong to, over TCP, once both nonces are known.
    session: Option<Session>,
    /// Set by the owner's first byte, and again when it has shown who it is, and when it lets us in.
    deadline: Option<Instant>,
    /// What it is all for: a channel, or the text.
    asks_text: bool,
}

/// What is awaited.
#[derive(Debug)]
enum Stage {
    /// The TCP connection.
    Connection,
    /// The owner's nonce.
    Challenge { ours: Nonce },
    /// The owner's proof that it knows the key.
    Proof,
    /// The owner's welcome or rejection.
    Reply,
    /// The second connection, which then shows the token.
    Other { hello: Hello, token: JoinToken },
    /// The owner's proof, over that connection, that it is the one that gave the token.
    Joined { hello: Hello, token: JoinToken },
    /// The rest of the text, which has so many bytes in all.
    Text { hello: Hello, length: usize },
}

/// Takes one step of the handshake with the owner.
pub(super) fn try_connect(
    place: &Place,
    attempt: &mut Attempt,
) -> Result<(StreamSender, StreamReceiver, Peer)> {
    let hello = attempt.hello.clone();
    let progress: &mut Progress =
        attempt.progress(|| OpenerHandshake::begin(place, &hello).map(Some))?;
    let Some(asked) = progress else { return Err(no_owner()) };
    // Whether it is late is judged by what it has said until now.
    let now = Instant::now();
    let result = match asked.step(place, &hello) {
        Ok(Some(theirs)) => hello.check(&theirs).and_then(|()| {
            let asked = progress.take().ok_or_else(no_owner)?;
            asked.enter(theirs)
        }),
        Ok(None) if asked.deadline.is_none_or(|deadline| now < deadline) => {
            return Err(Error::new(Operation::Connect, ErrorKind::WouldBlock));
        }
        Ok(None) => Err(Error::new(Operation::Connect, ErrorKind::TimedOut).because(
            "the owner began to answer and did not finish within 1 s (or 10 s, once it had shown who it is)",
        )),
        Err(error) => Err(error),
    };
    // Whatever it came to, the next call begins anew.
    attempt.reset();
    result
}

fn stored(attempt: &Attempt) -> Option<&OpenerHandshake> {
    attempt.stored::<Progress>()?.as_ref()
}

pub(super) fn arm(attempt: &Attempt) -> Result<Armed> {
    let Some((asked, set)) = stored(attempt).and_then(|asked| Some((asked, asked.set()?))) else {
        return Ok(Armed::After(SOON));
    };
    set.ring_at(asked.deadline)
        .map_err(|error| Error::io(Operation::Connect, "setting the clock", error))?;
    Ok(Armed::Source(Interest::Readable))
}

pub(super) fn source(attempt: &Attempt) -> Result<Source> {
    match stored(attempt) {
        Some(asked) => Ok(asked.set.source()),
        None => Err(Error::new(Operation::Connect, ErrorKind::Unsupported)),
    }
}

impl OpenerHandshake {
    pub(super) fn begin(place: &Place, hello: &Hello) -> Result<Self> {
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::new(Operation::Connect, ErrorKind::WouldBlock),
            _ => unreached(error),
        };
        let stream = place.reach().map_err(fail)?;
        let set = Set::new().map_err(fail)?;
        set.watch(&stream, Interest::Readable).map_err(fail)?;
        let mut asked = Self {
            stream,
            set,
            who: None,
            heard: Vec::new(),
            other: None,
            stage: Stage::Connection,
            session: None,
            deadline: None,
            asks_text: text::is_question(hello),
        };
        if let Place::Local { access, .. } = place {
            let owner = asked.stream.credentials().map_err(fail)?;
            if let Some(uid) = access.unauthorised(&owner) {
                let why = format!("the owner is user {uid}, whom user {} does not trust", user());
                return Err(
                    Error::new(Operation::Connect, ErrorKind::PermissionDenied).because(why)
                );
            }
            asked.who = Some(owner);
            asked.say(&hello.encode()?)?;
            asked.stage = Stage::Reply;
        }
        Ok(asked)
    }

    /// What there is to wait for; nothing while a connection is being made.
    pub(super) fn set(&self) -> Option<&Arc<Set>> {
        (!matches!(self.stage, Stage::Connection | Stage::Other { .. })).then_some(&self.set)
    }

    /// The text that was told.
    pub(super) fn text(&self) -> &[u8] {
        &self.heard
    }

    /// The halves, when both streams stand.
    fn enter(self, theirs: Hello) -> Result<(StreamSender, StreamReceiver, Peer)> {
        let other = self.other.ok_or_else(|| strange("it gave no second stream"))?;
        let peer = Peer {
            pid: self.who.and_then(|who| who.pid),
            uid: self.who.and_then(|who| who.uid),
            hello: theirs,
        };
        let joined = matches!(
            self.stage,
            Stage::Other { token, .. } | Stage::Joined { token, .. } if !token.controls
        );
        let make = if joined { halves } else { duplex };
        let (sender, receiver) = make(self.stream, other, peer.hello.capacity)
            .map_err(|error| Error::io(Operation::Connect, "sizing the channel", error))?;
        Ok((sender, receiver, peer))
    }

    /// Goes as far as what has arrived allows; the owner's hello when both streams stand.
    pub(super) fn step(&mut self, place: &Place, hello: &Hello) -> Result<Option<Hello>> {
        loop {
            let missing = match &self.stage {
                Stage::Connection => {
                    if !stands(&self.stream)? {
                        return Ok(None);
                    }
                    let ours = proof::nonce()?;
                    self.say(&Opening::Challenge(ours).encode())?;
                    self.stage = Stage::Challenge { ours };
                    continue;
                }
                Stage::Other { hello, token } => {
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
                Stage::Joined { .. } => PROOF.saturating_sub(self.heard.len()),
                Stage::Challenge { .. } => OPENING.saturating_sub(self.heard.len()),
                Stage::Proof => PROOF.saturating_sub(self.heard.len()),
                Stage::Reply => self.missing_reply(place)?,
                Stage::Text { hello, length } => match length - self.heard.len() {
                    0 => return Ok(Some(hello.clone())),
                    missing => missing,
                },
            };
            let mut bytes = [0; 4096];
            // Nothing may be read beyond the answer: the stream goes on as the channel's.
            let room = bytes.get_mut(..missing.min(4096)).unwrap_or_default();
            let heard = match (&self.stage, &self.other) {
                (Stage::Joined { .. }, Some(other)) => other.recv(room),
                _ => self.stream.recv_with(room, &mut self.other),
            };
            match heard {
                Ok(0) => return Err(no_owner()),
                Ok(got) => {
                    self.heard.extend_from_slice(room.get(..got).unwrap_or_default());
                    self.deadline.get_or_insert_with(|| Instant::now() + HANDSHAKE);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => {
                    return Err(no_owner());
                }
                Err(error) => {
                    return Err(Error::io(Operation::Connect, "reading the owner's answer", error));
                }
            }
            if let Some(theirs) = self.advance(place, hello)? {
                return Ok(Some(theirs));
            }
        }
    }

    /// Reads what the owner said, and answers.
    fn advance(&mut self, place: &Place, hello: &Hello) -> Result<Option<Hello>> {
        match (&self.stage, place) {
            (Stage::Challenge { ours }, Place::Tcp { key, address, .. }) => {
                match Opening::decode(&self.heard)? {
                    None => return Ok(None),
                    Some(Opening::Join(_)) => return Err(strange("it began with a token")),
                    Some(Opening::Challenge(theirs)) => {
                        let session = Session::new(key, *ours, theirs, address.port());
                        self.say(&session.prove(Statement::Opener, &[])?)?;
                        (self.session, self.stage) = (Some(session), Stage::Proof);
                    }
                }
            }
            (Stage::Proof, _) => {
                let Some(session) = self.session.as_ref().filter(|_| self.heard.len() >= PROOF)
                else {
                    return Ok(None);
                };
                session.verify(Statement::Owner, &[], &self.heard)?;
                let hello = hello.encode()?;
                let proof = session.prove(Statement::Hello, &[&hello])?;
                self.say(&[&hello[..], &proof].concat())?;
                self.stage = Stage::Reply;
                self.deadline = Some(Instant::now() + REST);
            }
            (Stage::Joined { hello: theirs, token }, _) => {
                let Some(session) = self.session.as_ref().filter(|_| self.heard.len() >= PROOF)
                else {
                    return Ok(None);
                };
                session.verify(Statement::Joined, &[&token.nonce], &self.heard)?;
                return Ok(Some(theirs.clone()));
            }
            (Stage::Reply, _) => {
                let Some((reply, used)) = Reply::decode(&self.heard)? else { return Ok(None) };
                let theirs = reply.into_result()?;
                if place.passes_streams() {
                    return Ok(Some(theirs));
                }
                let more = self.more_than_reply();
                let (Some(said), Some(rest)) =
                    (self.heard.get(..used + more), self.heard.get(used..))
                else {
                    return Ok(None);
                };
                if let Some(session) = &self.session {
                    let proof = self.heard.get(used + more..).unwrap_or_default();
                    if proof.len() < PROOF {
                        return Ok(None);
                    }
                    session.verify(Statement::Reply, &[&hello.encode()?, said], proof)?;
                }
                if self.asks_text {
                    let Some(length) = rest.first_chunk() else { return Ok(None) };
                    self.stage = Stage::Text { hello: theirs, length: text::announced(*length)? };
                    self.heard.clear();
                    return Ok(None);
                }
                let Some((nonce, [both_ways, ..])) = rest.split_first_chunk() else {
                    return Ok(None);
                };
                let token =
                    JoinToken { nonce: *nonce, controls: *both_ways == 1 && place.both_ways() };
                self.stage = Stage::Other { hello: theirs, token };
                self.deadline = Some(Instant::now() + REST);
            }
            // The text grows.
            _ => return Ok(None),
        }
        self.heard.clear();
        Ok(None)
    }

    /// How many bytes the reply still lacks, at least.
    fn missing_reply(&self, place: &Place) -> Result<usize> {
        Ok(match Reply::decode(&self.heard)? {
            Some(_) if place.passes_streams() => 0,
            Some((Reply::Reject { .. }, _)) => 0,
            Some((Reply::Welcome(_), used)) => {
                let proof = if self.session.is_some() { PROOF } else { 0 };
                (used + self.more_than_reply() + proof).saturating_sub(self.heard.len())
            }
            None => Reply::missing(&self.heard),
        })
    }

    /// What follows a welcome: the length of a text, or a token.
    fn more_than_reply(&self) -> usize {
        if self.asks_text { text::LENGTH } else { size_of::<Nonce>() + 1 }
    }

    /// Shows the token on the other connection, once it stands.
    fn join(&mut self, place: &Place, token: &JoinToken) -> Result<bool> {
        let other = match &mut self.other {
            Some(other) => other,
            none => match place.reach() {
                Ok(stream) => none.insert(stream),
                // Its queue is full.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(unreached(error)),
            },
        };
        if !stands(other)? {
            return Ok(false);
        }
        let nonce = match &self.session {
            Some(session) => session.prove(Statement::Joins, &[&token.nonce])?,
            None => token.nonce,
        };
        // From now on the other one is waited for. What comes over the first is for the channel.
        self.set.forget(&self.stream);
        self.set
            .watch(other, Interest::Readable)
            .map_err(|error| Error::io(Operation::Connect, "watching a connection", error))?;
        let bytes = Opening::Join(JoinToken { nonce, ..*token }).encode();
        match other.send(&bytes) {
            Ok(sent) if sent == bytes.len() => Ok(true),
            _ => Err(no_owner()),
        }
    }

    fn say(&self, bytes: &[u8]) -> Result<()> {
        match self.stream.send(bytes) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => {
                Err(Error::new(Operation::Connect, ErrorKind::Io)
                    .because("the hello went out in part"))
            }
            // Why it hung up may be there to be read.
            Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => Ok(()),
            Err(error) => Err(Error::io(Operation::Connect, "speaking to the owner", error)),
        }
    }
}

fn stands(stream: &Stream) -> Result<bool> {
    stream.connected().map_err(unreached)
}

fn unreached(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset => no_owner(),
        _ => Error::io(Operation::Connect, "reaching the owner", error),
    }
}

/// The owner died, or closed with our question in its queue.
fn no_owner() -> Error {
    Error::new(Operation::Connect, ErrorKind::NoOwner)
}

fn strange(why: &str) -> Error {
    Error::new(Operation::Connect, ErrorKind::Corrupt)
        .because(format!("the owner's welcome is not sound: {why}"))
}
