//! The steps of the owner's side: receive, check, answer, next stage.

use std::io;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Reply, Result};
use anyipc_os::Set;
use anyipc_os::half_open::{Handshake, Reserve};

use super::{Heard, OwnerHandshake, Stage};
use crate::endpoint::accept::Authentication;
use crate::opening::{OPENING, Opening};
use crate::proof::{self, PROOF, Session, Statement};
use crate::sys::Stream;

impl OwnerHandshake {
    /// Goes as far as what has arrived allows.
    pub(in crate::endpoint) fn step(
        &mut self,
        authentication: &Authentication,
        set: &Set,
    ) -> Result<Heard> {
        loop {
            let missing = match &self.stage {
                Stage::Opening => OPENING.saturating_sub(self.received.len()),
                Stage::Proof => PROOF.saturating_sub(self.received.len()),
                Stage::Hello => match Reply::missing(&self.received) {
                    0 if self.session.is_some() => {
                        (self.hello_len()? + PROOF).saturating_sub(self.received.len())
                    }
                    missing => missing,
                },
                Stage::Welcomed { token: Some(_), .. } if !self.has_channel_bytes => {
                    return self.check_presence();
                }
                Stage::Welcomed { .. } | Stage::Joined(..) => return Ok(Heard::Nothing),
                Stage::Text { .. } => return self.send_more_text(),
            };
            let mut bytes = [0; 512];
            // What follows the present stage belongs to the channel.
            let room = bytes.get_mut(..missing.min(512)).unwrap_or_default();
            match self.stream.recv(room) {
                Ok(0) => return self.left(),
                Ok(got) => self.received.extend_from_slice(room.get(..got).unwrap_or_default()),
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
            if let Some(heard) = self.advance(authentication, set)? {
                return Ok(heard);
            }
        }
    }

    /// Enters the next stage, and answers, if the present one is received whole.
    fn advance(&mut self, authentication: &Authentication, set: &Set) -> Result<Option<Heard>> {
        self.stage = match (&self.stage, authentication) {
            (Stage::Opening, _) => match (Opening::decode(&self.received), authentication) {
                (Ok(None), _) => return Ok(None),
                (Ok(Some(Opening::Join(token))), _) => return Ok(Some(Heard::Join(token))),
                (Ok(Some(Opening::Challenge(theirs))), Authentication::Secret(key, port, _)) => {
                    let ours = proof::nonce()?;
                    self.send(&Opening::Challenge(ours).encode())?;
                    self.session = Some(Session::new(key, theirs, ours, *port));
                    Stage::Proof
                }
                (Err(error), Authentication::Secret(..)) if error.kind() == ErrorKind::Mismatch => {
                    // The connector learns from this version why it is rejected.
                    let _ = self.send(&Opening::Challenge(proof::nonce()?).encode());
                    return Err(error);
                }
                (Err(error), _) => return Err(error),
                (Ok(Some(Opening::Challenge(_))), Authentication::Users(_)) => {
                    return Err(Error::new(Operation::Accept, ErrorKind::Corrupt)
                        .because("a proof of the secret is for tcp:// only"));
                }
            },
            // The second stream of a connector that was welcomed.
            (Stage::Hello, Authentication::Users(_))
                if !Stream::PASSES_STREAMS && Opening::is_join(&self.received) =>
            {
                self.stage = Stage::Opening;
                return Ok(None);
            }
            (Stage::Proof, _) if self.received.len() == PROOF => {
                let Some(session) = &self.session else { return Ok(None) };
                if let Err(error) = session.verify(Statement::Opener, &[], &self.received) {
                    // An invalid proof: an honest connector learns from it why it is rejected.
                    let _ = self.send(&[0; PROOF]);
                    return Err(error);
                }
                // The descriptor of the second stream is reserved from now on: a connector that was
                // let in must not find that there is none.
                self.reserve = Reserve::new(1, set).map_err(|error| {
                    Error::io(Operation::Accept, "keeping a descriptor for the connector", error)
                })?;
                self.send(&session.prove(Statement::Owner, &[])?)?;
                self.extend_time();
                Stage::Hello
            }
            (Stage::Hello, _) => {
                let Some((hello, used)) = Hello::decode(&self.received)? else { return Ok(None) };
                if let Some(session) = &self.session {
                    let Some((encoded, proof)) = self.received.split_at_checked(used) else {
                        return Ok(None);
                    };
                    if proof.len() < PROOF {
                        return Ok(None);
                    }
                    session.verify(Statement::Hello, &[encoded], proof)?;
                    // The proof of the reply covers the hello, without its proof.
                    self.received.truncate(used);
                }
                return Ok(Some(Heard::Hello(hello)));
            }
            _ => return Ok(None),
        };
        self.received.clear();
        self.has_passed_a_stage = true;
        Ok(None)
    }

    /// The length of the hello, which is received whole.
    fn hello_len(&self) -> Result<usize> {
        Ok(Hello::decode(&self.received)?.map_or(self.received.len(), |(_, used)| used))
    }

    /// Checks that a connector with a join token is still there. What it sends meanwhile is for the
    /// channel and stays in the stream.
    fn check_presence(&mut self) -> Result<Heard> {
        match self.stream.has_bytes() {
            Ok(has_bytes) => {
                self.has_channel_bytes = has_bytes;
                Ok(Heard::Nothing)
            }
            Err(_) => self.left(),
        }
    }

    /// Sends as much of the text as the stream takes.
    fn send_more_text(&mut self) -> Result<Heard> {
        let Stage::Text { text, sent } = &mut self.stage else { return Ok(Heard::Nothing) };
        loop {
            let rest = text.answer().get(*sent..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(Heard::TextSent);
            }
            match self.stream.send(rest) {
                Ok(more) => *sent += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Heard::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::io(Operation::Accept, "sending the text", error));
                }
            }
        }
    }

    /// The connector hung up. One that had sent nothing was a probe, which is no fault.
    fn left(&self) -> Result<Heard> {
        if !self.has_spoken() {
            return Ok(Heard::Left);
        }
        Err(Error::new(Operation::Accept, ErrorKind::PeerGone)
            .because("the connector left in the middle of its handshake"))
    }
}
