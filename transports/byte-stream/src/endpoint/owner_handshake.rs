use std::io;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Hello, Interest, Operation, Peer, Reply, Result};
use anyipc_os::half_open::{Handshake, Reserve};
use anyipc_os::{Set, is_shortage};

use super::accept::Authentication;
use crate::proof::{self, JoinToken, Nonce, OPENING, Opening, PROOF, Session, Statement};
use crate::sys::{Credentials, Stream};
use crate::text::Text;

/// How long a handshake may take, from its beginning or from the owner's first word, until each side has shown who it is.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(1);
/// How long each part of the rest may take: honest sides may be slow, and if the owner gave up while the connector
/// shows its token, that would have a channel which nobody accepts.
pub(super) const REST: Duration = Duration::from_secs(10);

/// A connector on its way in. What it makes the owner keep is bounded: a stream, the descriptors that its channel
/// needs, and the longest hello.
#[derive(Debug)]
pub(super) struct OwnerHandshake {
    stream: Stream,
    who: Option<Credentials>,
    /// What it said of the present stage.
    said: Vec<u8>,
    stage: Stage,
    /// What its proofs belong to, over TCP, once both nonces are known.
    session: Option<Session>,
    /// It has so long, from then on.
    patience: Duration,
    since: Instant,
    /// It has said more than the present stage shows.
    spoke: bool,
    /// It has a token and speaks to the channel already, or nothing tells whether it does.
    has_begun: bool,
    /// What its channel needs beside the stream. Of one that has no token yet, it is not kept free for a second stream.
    reserve: Reserve,
}

/// What is awaited.
#[derive(Debug)]
enum Stage {
    /// The first bytes of a TCP connection.
    Opening,
    /// The proof that it knows the key.
    Proof,
    /// The hello of one that may come in; of one that knows the key, with its proof.
    Hello,
    /// The stream of the other direction, or for control, if it has this token.
    Welcomed { hello: Hello, token: Option<IssuedToken> },
    /// Nothing: it is the second stream of this one.
    Joined(Box<OwnerHandshake>, JoinToken),
    /// SendRoom for the rest of the text it asked for.
    Text { text: Text, told: usize },
}

/// A token that was given.
#[derive(Debug)]
struct IssuedToken {
    /// What the second stream has to show.
    shown: Nonce,
    /// What it is told then, over TCP: that the owner is still the one that gave the token.
    answer: Option<[u8; PROOF]>,
}

/// What was heard in a step.
pub(super) enum Heard {
    /// Not enough.
    Nothing,
    /// It left without a word: a prober.
    Left,
    /// It has heard the text.
    Told,
    /// It may come in, but there is no descriptor for its second stream.
    Short,
    /// Its hello.
    Hello(Hello),
    /// It is the second stream of the handshake that holds this token.
    Join(JoinToken),
}

impl OwnerHandshake {
    /// One that has to show that it may come in.
    pub(super) fn unknown(stream: Stream) -> Self {
        Self::new(stream, None, Stage::Opening, Reserve::default())
    }

    /// One of these users, with the descriptors that its channel needs.
    pub(super) fn known(stream: Stream, who: Credentials, reserve: Reserve) -> Self {
        Self::new(stream, Some(who), Stage::Hello, reserve)
    }

    fn new(stream: Stream, who: Option<Credentials>, stage: Stage, reserve: Reserve) -> Self {
        let (patience, since) = (HANDSHAKE, Instant::now());
        Self {
            stream,
            who,
            said: Vec::new(),
            stage,
            session: None,
            patience,
            since,
            spoke: false,
            has_begun: !Stream::PEEKS,
            reserve,
        }
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn expects(&self, shown: &Nonce) -> bool {
        matches!(&self.stage, Stage::Welcomed { token: Some(token), .. } if token.shown == *shown)
    }

    /// May come in, and needs no second stream.
    pub(super) fn welcome(&mut self, hello: Hello) {
        self.stage = Stage::Welcomed { hello, token: None };
    }

    /// Is welcomed with a token for its second stream.
    pub(super) fn invite(
        &mut self,
        hello: Hello,
        mut welcome: Vec<u8>,
        controls: bool,
    ) -> Result<()> {
        let nonce: Nonce = proof::nonce().map_err(|error| error.during(Operation::Accept))?;
        welcome.extend(nonce);
        welcome.push(controls.into());
        self.reply(&welcome)?;
        let (shown, answer) = match &self.session {
            Some(session) => (
                session.prove(Statement::Joins, &[&nonce])?,
                Some(session.prove(Statement::Joined, &[&nonce])?),
            ),
            None => (nonce, None),
        };
        self.stage = Stage::Welcomed { hello, token: Some(IssuedToken { shown, answer }) };
        self.may_take_time();
        Ok(())
    }

    /// Answers its hello; with a proof, where it gave one.
    fn reply(&self, reply: &[u8]) -> Result<()> {
        match &self.session {
            Some(session) => {
                let proof = session.prove(Statement::Reply, &[&self.said, reply])?;
                self.answer(&[reply, &proof].concat())
            }
            None => self.answer(reply),
        }
    }

    /// Is the second stream of this one.
    pub(super) fn join(&mut self, mut first: Self, token: JoinToken) -> Result<()> {
        first.release();
        if let Stage::Welcomed { token: Some(IssuedToken { answer: Some(answer), .. }), .. } =
            &first.stage
        {
            self.answer(answer)?;
        }
        self.stage = Stage::Joined(Box::new(first), token);
        Ok(())
    }

    /// The one that this one joined.
    pub(super) fn take_first(&mut self) -> Option<(Self, JoinToken)> {
        match std::mem::replace(&mut self.stage, Stage::Opening) {
            Stage::Joined(first, token) => Some((*first, token)),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Is told a text from now on.
    pub(super) fn tell_text(&mut self, text: Text) -> Result<()> {
        self.reply(text.head())?;
        let told = text.head().len();
        self.stage = Stage::Text { text, told };
        self.may_take_time();
        Ok(())
    }

    /// The descriptors that its channel needs are free from now on.
    pub(super) fn release(&mut self) {
        self.reserve.release();
    }

    /// Has shown that it may come in.
    fn may_take_time(&mut self) {
        (self.patience, self.since) = (REST, Instant::now());
    }

    /// The stream, and who is at its other end.
    pub(super) fn into_peer(self) -> (Stream, Peer) {
        let hello = match self.stage {
            Stage::Welcomed { hello, .. } => hello,
            _ => Hello::default(),
        };
        let peer = Peer {
            pid: self.who.and_then(|who| who.pid),
            uid: self.who.and_then(|who| who.uid),
            hello,
        };
        (self.stream, peer)
    }

    /// Goes as far as what has arrived allows.
    pub(super) fn step(&mut self, authentication: &Authentication, set: &Set) -> Result<Heard> {
        loop {
            let missing = match &mut self.stage {
                Stage::Opening => OPENING.saturating_sub(self.said.len()),
                Stage::Proof => PROOF.saturating_sub(self.said.len()),
                Stage::Hello => match Reply::missing(&self.said) {
                    0 if self.session.is_some() => {
                        (Self::hello_len(&self.said)? + PROOF).saturating_sub(self.said.len())
                    }
                    missing => missing,
                },
                Stage::Welcomed { token: Some(_), .. } if !self.has_begun => {
                    return self.awaited();
                }
                Stage::Welcomed { .. } | Stage::Joined(..) => return Ok(Heard::Nothing),
                Stage::Text { text, told } => {
                    let rest = text.answer().get(*told..).unwrap_or_default();
                    if rest.is_empty() {
                        return Ok(Heard::Told);
                    }
                    match self.stream.send(rest) {
                        Ok(sent) => *told += sent,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Heard::Nothing);
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            return Err(Error::io(Operation::Accept, "telling the text", error));
                        }
                    }
                    continue;
                }
            };
            let mut bytes = [0; 512];
            let room = bytes.get_mut(..missing.min(512)).unwrap_or_default();
            match self.stream.recv(room) {
                Ok(0) => return self.left(),
                Ok(got) => self.said.extend_from_slice(room.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Heard::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if ErrorKind::of_io(&error) == ErrorKind::PeerGone => {
                    return self.left();
                }
                Err(error) => {
                    return Err(Error::io(Operation::Accept, "reading a handshake", error));
                }
            }
            if let Some(said) = self.advance(authentication, set)? {
                return Ok(said);
            }
        }
    }

    /// Of a connector with a token, whose second stream has not come yet: whether it has left. What
    /// it says meanwhile is for the channel.
    fn awaited(&mut self) -> Result<Heard> {
        match self.stream.has_begun() {
            Ok(begun) => {
                self.has_begun = begun;
                Ok(Heard::Nothing)
            }
            Err(_) => self.left(),
        }
    }

    /// Reads what it said, and answers.
    fn advance(&mut self, authentication: &Authentication, set: &Set) -> Result<Option<Heard>> {
        self.stage = match (&self.stage, authentication) {
            (Stage::Opening, authentication) => match (Opening::decode(&self.said), authentication)
            {
                (Ok(None), _) => return Ok(None),
                (Ok(Some(Opening::Join(token))), _) => return Ok(Some(Heard::Join(token))),
                (Ok(Some(Opening::Challenge(theirs))), Authentication::Secret(key, port, _)) => {
                    let ours = proof::nonce()?;
                    self.answer(&Opening::Challenge(ours).encode())?;
                    self.session = Some(Session::new(key, theirs, ours, *port));
                    Stage::Proof
                }
                (Err(error), Authentication::Secret(..)) if error.kind() == ErrorKind::Mismatch => {
                    // It learns from our version why it is turned away.
                    let _ = self.answer(&Opening::Challenge(proof::nonce()?).encode());
                    return Err(error);
                }
                (Err(error), _) => return Err(error),
                (Ok(Some(Opening::Challenge(_))), Authentication::Users(_)) => {
                    return Err(Error::new(Operation::Accept, ErrorKind::Corrupt)
                        .because("only over tcp:// is a proof asked for"));
                }
            },
            // The other direction of one that was let in.
            (Stage::Hello, Authentication::Users(_))
                if !Stream::PASSES_STREAMS && Opening::is_join(&self.said) =>
            {
                self.stage = Stage::Opening;
                return Ok(None);
            }
            (Stage::Proof, _) if self.said.len() == PROOF => {
                let Some(session) = &self.session else { return Ok(None) };
                if let Err(error) = session.verify(Statement::Opener, &[], &self.said) {
                    // A proof of nothing: an honest opener knows from it why it is turned away.
                    let _ = self.answer(&[0; PROOF]);
                    return Err(error);
                }
                // What it needs later is kept from now on: it must not be let in and then find no place.
                match Reserve::new(1, set) {
                    Ok(reserve) => self.reserve = reserve,
                    Err(error) if is_shortage(&error) => return Ok(Some(Heard::Short)),
                    Err(error) => return Err(Error::io(Operation::Accept, "making room", error)),
                }
                self.answer(&session.prove(Statement::Owner, &[])?)?;
                self.may_take_time();
                Stage::Hello
            }
            (Stage::Hello, _) => {
                let Some((hello, used)) = Hello::decode(&self.said)? else { return Ok(None) };
                if let Some(session) = &self.session {
                    let Some((said, proof)) = self.said.split_at_checked(used) else {
                        return Ok(None);
                    };
                    if proof.len() < PROOF {
                        return Ok(None);
                    }
                    session.verify(Statement::Hello, &[said], proof)?;
                    // The proof of our answer covers it.
                    self.said.truncate(used);
                }
                return Ok(Some(Heard::Hello(hello)));
            }
            _ => return Ok(None),
        };
        self.said.clear();
        self.spoke = true;
        Ok(None)
    }

    /// The length of a hello that is here.
    fn hello_len(said: &[u8]) -> Result<usize> {
        Ok(Hello::decode(said)?.map_or(said.len(), |(_, used)| used))
    }

    fn answer(&self, bytes: &[u8]) -> Result<()> {
        match self.stream.send(bytes) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => {
                Err(Error::new(Operation::Accept, ErrorKind::Io)
                    .because("an answer went out in part"))
            }
            Err(error) => Err(Error::io(Operation::Accept, "answering a connector", error)),
        }
    }

    /// A prober that says nothing is no offence.
    fn left(&self) -> Result<Heard> {
        if !self.has_spoken() {
            return Ok(Heard::Left);
        }
        Err(Error::new(Operation::Accept, ErrorKind::PeerGone)
            .because("the connector left in the middle of its handshake"))
    }
}

impl Handshake for OwnerHandshake {
    type Wire = Stream;

    fn wire(&self) -> &Stream {
        &self.stream
    }

    fn interest(&self) -> Option<Interest> {
        match self.stage {
            // Its end is noticed, so that it keeps no place any longer.
            Stage::Welcomed { token: Some(_), .. } if !self.has_begun => Some(Interest::Readable),
            // What it says now is for the channel.
            Stage::Welcomed { .. } | Stage::Joined(..) => None,
            Stage::Text { .. } => Some(Interest::Writable),
            Stage::Opening | Stage::Proof | Stage::Hello => Some(Interest::Readable),
        }
    }

    fn deadline(&self) -> Instant {
        self.since + self.patience
    }

    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut).because(format!(
            "the connector did not finish its handshake within {} s",
            self.patience.as_secs()
        ))
    }

    /// Only one that has shown that it may come in.
    fn tell(&self, error: &Error) {
        if matches!(self.stage, Stage::Hello | Stage::Welcomed { .. })
            && let Ok(reply) = Reply::reject(error).encode()
        {
            let _ = self.stream.send(&reply);
        }
    }

    fn has_spoken(&self) -> bool {
        self.spoke || !self.said.is_empty()
    }

    fn reserve(&mut self) -> Option<&mut Reserve> {
        matches!(self.stage, Stage::Welcomed { token: Some(_), .. }).then_some(&mut self.reserve)
    }
}
