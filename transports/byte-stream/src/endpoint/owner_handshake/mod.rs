//! The owner's side of a half-open handshake.
//!
//! `steps` takes it as far as the received bytes allow; this file has its state, and what the
//! acceptor does with it in between.

mod steps;

use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Hello, Interest, Operation, Peer, Reply, Result};
use anyipc_os::half_open::{Handshake, Reserve};

use crate::opening::JoinToken;
use crate::proof::{self, Nonce, PROOF, Session, Statement};
use crate::sys::{Credentials, Stream};
use crate::text::Text;

/// The limit of a handshake until each side is authenticated: from its beginning for the owner,
/// from the owner's first byte for the opener.
pub(in crate::endpoint) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(1);
/// The limit of each later stage. Honest sides may be slow, and an owner that gave up while the
/// opener shows its join token would leave it with a channel that was never accepted.
pub(in crate::endpoint) const ADMITTED_LIMIT: Duration = Duration::from_secs(10);

/// A half-open handshake. What it makes the owner keep is bounded: a stream, the
/// descriptors that its channel needs, and the longest hello.
#[derive(Debug)]
pub(in crate::endpoint) struct OwnerHandshake {
    stream: Stream,
    /// The connector's, as the kernel says, over local streams.
    credentials: Option<Credentials>,
    /// What the connector has sent of the present stage.
    received: Vec<u8>,
    stage: Stage,
    /// What the proofs belong to: over TCP, once both nonces are known.
    session: Option<Session>,
    /// When the time limit began, and its length.
    time: (Instant, Duration),
    /// True once a stage is complete, so the connector has sent something even if `received` is
    /// empty.
    has_passed_a_stage: bool,
    /// True if bytes of the channel may already be in the stream of a connector with a join token:
    /// its readiness then no longer tells of its end.
    has_channel_bytes: bool,
    /// Descriptors that its channel needs beside the stream.
    reserve: Reserve,
}

/// What the handshake waits for.
#[derive(Debug)]
enum Stage {
    /// The first bytes of a TCP connection.
    Opening,
    /// The connector's proof that it knows the secret.
    Proof,
    /// The connector's hello, with a proof where there is a secret.
    Hello,
    /// The second stream if a join token was issued, otherwise nothing.
    Welcomed { hello: Hello, token: Option<IssuedToken> },
    /// Nothing: it is the second stream of this handshake.
    Joined(Box<OwnerHandshake>, JoinToken),
    /// Room in the stream for the rest of the text; `sent` bytes of the answer are sent.
    Text { text: Text, sent: usize },
}

/// A join token that waits for its stream.
#[derive(Debug)]
struct IssuedToken {
    /// What the second stream has to show.
    shown: Nonce,
    /// What is sent back then, over TCP: the proof that this owner issued the token.
    answer: Option<[u8; PROOF]>,
}

/// The result of a step.
pub(in crate::endpoint) enum Heard {
    /// Too little for the present stage.
    Nothing,
    /// The connector left before its hello: a probe.
    Left,
    /// The text was sent whole.
    TextSent,
    /// The connector's hello.
    Hello(Hello),
    /// This is the second stream of the handshake that holds this token.
    Join(JoinToken),
}

impl OwnerHandshake {
    /// Of a connector that has to prove the secret, or to show a join token.
    pub(in crate::endpoint) fn unauthenticated(stream: Stream) -> Self {
        Self::new(stream, None, Stage::Opening, Reserve::default())
    }

    /// Of a connector that the kernel has identified, with the descriptors that its channel needs.
    pub(in crate::endpoint) fn authenticated(
        stream: Stream,
        credentials: Credentials,
        reserve: Reserve,
    ) -> Self {
        Self::new(stream, Some(credentials), Stage::Hello, reserve)
    }

    fn new(
        stream: Stream,
        credentials: Option<Credentials>,
        stage: Stage,
        reserve: Reserve,
    ) -> Self {
        Self {
            stream,
            credentials,
            received: Vec::new(),
            stage,
            session: None,
            time: (Instant::now(), HANDSHAKE_LIMIT),
            has_passed_a_stage: false,
            has_channel_bytes: !Stream::PEEKS,
            reserve,
        }
    }

    pub(in crate::endpoint) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// True if this handshake waits for a second stream that shows this.
    pub(in crate::endpoint) fn expects(&self, shown: &Nonce) -> bool {
        matches!(&self.stage, Stage::Welcomed { token: Some(token), .. } if token.shown == *shown)
    }

    /// Marks it as complete: it needs no second stream from the connector.
    pub(in crate::endpoint) fn complete(&mut self, hello: Hello) {
        self.stage = Stage::Welcomed { hello, token: None };
    }

    /// Sends the welcome with a join token for the second stream.
    pub(in crate::endpoint) fn issue_token(
        &mut self,
        hello: Hello,
        mut welcome: Vec<u8>,
        for_control: bool,
    ) -> Result<()> {
        let nonce: Nonce = proof::nonce().map_err(|error| error.during(Operation::Accept))?;
        welcome.extend(nonce);
        welcome.push(for_control.into());
        self.reply(&welcome)?;
        let (shown, answer) = match &self.session {
            Some(session) => (
                session.prove(Statement::Joins, &[&nonce])?,
                Some(session.prove(Statement::Joined, &[&nonce])?),
            ),
            None => (nonce, None),
        };
        self.stage = Stage::Welcomed { hello, token: Some(IssuedToken { shown, answer }) };
        self.extend_time();
        Ok(())
    }

    /// Makes this the second stream of `first`: it showed its token.
    pub(in crate::endpoint) fn join(&mut self, mut first: Self, token: JoinToken) -> Result<()> {
        first.release_reserve();
        if let Stage::Welcomed { token: Some(IssuedToken { answer: Some(answer), .. }), .. } =
            &first.stage
        {
            self.send(answer)?;
        }
        self.stage = Stage::Joined(Box::new(first), token);
        Ok(())
    }

    /// Takes out the handshake that this one joined.
    pub(in crate::endpoint) fn take_first(&mut self) -> Option<(Self, JoinToken)> {
        match std::mem::replace(&mut self.stage, Stage::Opening) {
            Stage::Joined(first, token) => Some((*first, token)),
            other => {
                self.stage = other;
                None
            }
        }
    }

    /// Begins to send the text.
    pub(in crate::endpoint) fn send_text(&mut self, text: Text) -> Result<()> {
        self.reply(text.head())?;
        let sent = text.head().len();
        self.stage = Stage::Text { text, sent };
        self.extend_time();
        Ok(())
    }

    /// True if there are descriptors for what its channel needs beside the stream.
    pub(in crate::endpoint) fn has_reserve(&self) -> bool {
        !self.reserve.is_empty()
    }

    /// Makes the reserved descriptors available: the channel's are made now.
    pub(in crate::endpoint) fn release_reserve(&mut self) {
        self.reserve.release();
    }

    /// The stream and its peer.
    pub(in crate::endpoint) fn into_peer(self) -> (Stream, Peer) {
        let hello = match self.stage {
            Stage::Welcomed { hello, .. } => hello,
            _ => Hello::default(),
        };
        let peer = Peer {
            pid: self.credentials.and_then(|peer| peer.pid),
            uid: self.credentials.and_then(|peer| peer.uid),
            hello,
        };
        (self.stream, peer)
    }

    /// Begins the longer limit: the connector is authenticated.
    fn extend_time(&mut self) {
        self.time = (Instant::now(), ADMITTED_LIMIT);
    }

    /// Sends the reply to the hello, with a proof where there is a secret.
    fn reply(&self, reply: &[u8]) -> Result<()> {
        match &self.session {
            Some(session) => {
                let proof = session.prove(Statement::Reply, &[&self.received, reply])?;
                self.send(&[reply, &proof].concat())
            }
            None => self.send(reply),
        }
    }

    fn send(&self, bytes: &[u8]) -> Result<()> {
        match self.stream.send(bytes) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            Ok(_) => Err(Error::new(Operation::Accept, ErrorKind::Io)
                .because("a part of the handshake was not sent")),
            Err(error) => Err(Error::io(Operation::Accept, "answering a connector", error)),
        }
    }
}

impl Handshake for OwnerHandshake {
    type Wire = Stream;

    fn wire(&self) -> &Stream {
        &self.stream
    }

    fn interest(&self) -> Option<Interest> {
        match self.stage {
            // Readable when it hangs up, which frees its place.
            Stage::Welcomed { token: Some(_), .. } if !self.has_channel_bytes => {
                Some(Interest::Readable)
            }
            // What the connector sends now is for the channel.
            Stage::Welcomed { .. } | Stage::Joined(..) => None,
            Stage::Text { .. } => Some(Interest::Writable),
            Stage::Opening | Stage::Proof | Stage::Hello => Some(Interest::Readable),
        }
    }

    fn deadline(&self) -> Instant {
        let (begun, limit) = self.time;
        begun + limit
    }

    fn late(&self) -> Error {
        Error::new(Operation::Accept, ErrorKind::TimedOut).because(format!(
            "the connector did not finish its handshake within {} s",
            self.time.1.as_secs()
        ))
    }

    /// Tells only connectors that are authenticated.
    fn refuse(&self, error: &Error) {
        if matches!(self.stage, Stage::Hello | Stage::Welcomed { .. })
            && let Ok(reply) = Reply::reject(error).encode()
        {
            let _ = self.stream.send(&reply);
        }
    }

    fn has_spoken(&self) -> bool {
        self.has_passed_a_stage || !self.received.is_empty()
    }

    fn reserve(&mut self) -> Option<&mut Reserve> {
        matches!(self.stage, Stage::Welcomed { token: Some(_), .. }).then_some(&mut self.reserve)
    }
}
