//! Proof of a shared secret, before anything else is said.
//!
//! The opener sends a nonce, the owner another, then the opener proves that it knows the key, then the owner
//! does. Then each side's hello is followed by a proof of its own, and so is the token for the second
//! stream, on which both sides prove once more which channel it belongs to. Every proof covers both nonces,
//! the port, and which of these it is: none can be played back, given out for another, or passed on to the
//! owner of another port. The messages that follow are neither encrypted nor signed: this keeps strangers
//! out, it does not hide anything from the network.

use std::fmt;
use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Operation, PROTOCOL_VERSION, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that both sides prove to know.
pub struct Key(Box<[u8]>);

impl Key {
    /// A secret of these bytes. Fewer than 16 are guessed.
    pub fn new(bytes: Box<[u8]>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// A number used once.
pub(crate) type Nonce = [u8; 32];
/// Bytes of a proof.
pub(crate) const PROOF: usize = 32;
/// Bytes of the first thing that each side says.
pub(crate) const OPENING: usize = LEAD + 32;

const LEAD: usize = 8;
/// The version (u16, little-endian) and a nonce follow. The line end makes a server of a line protocol answer at once,
/// with something else.
const CHALLENGE: [u8; LEAD - 2] = *b"AIPC\r\n";
/// What stood in place of the version before version 5.
const UNVERSIONED: [u8; 2] = *b"\r\n";
/// A token follows, and then the other direction of a channel.
const JOIN: [u8; LEAD] = *b"AIPC+1\r\n";
/// A token follows, and then what goes beside a channel whose first stream carries both directions.
const CONTROL: [u8; LEAD] = *b"AIPC+c\r\n";

/// What is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// The opener knows the key.
    Opener,
    /// The owner knows it.
    Owner,
    /// This is the opener's hello.
    Hello,
    /// This is the owner's answer to that hello.
    Reply,
    /// The opener comes a second time, with this token.
    Joins,
    /// It is the owner that gave this token.
    Joined,
}

impl Statement {
    /// Words of equal length.
    const fn label(self) -> &'static [u8; 8] {
        match self {
            Self::Opener => b"opener\0\0",
            Self::Owner => b"owner\0\0\0",
            Self::Hello => b"hello\0\0\0",
            Self::Reply => b"reply\0\0\0",
            Self::Joins => b"joins\0\0\0",
            Self::Joined => b"joined\0\0",
        }
    }
}

/// What a connection begins with.
pub(crate) enum Opening {
    Challenge(Nonce),
    Join(JoinToken),
}

/// What a second stream shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JoinToken {
    /// The token's number, or the proof of it.
    pub(crate) nonce: Nonce,
    /// Both directions are in the first stream, and this one is for control. Otherwise it is one of the directions.
    pub(crate) controls: bool,
}

impl Opening {
    pub(crate) fn encode(&self) -> [u8; OPENING] {
        let (lead, nonce) = match self {
            Self::Challenge(nonce) => {
                let ([a, b, c, d, e, f], [g, h]) = (CHALLENGE, PROTOCOL_VERSION.to_le_bytes());
                ([a, b, c, d, e, f, g, h], nonce)
            }
            Self::Join(JoinToken { nonce, controls: false }) => (JOIN, nonce),
            Self::Join(JoinToken { nonce, controls: true }) => (CONTROL, nonce),
        };
        let mut bytes = [0; OPENING];
        let (head, tail) = bytes.split_at_mut(LEAD);
        head.copy_from_slice(&lead);
        tail.copy_from_slice(nonce);
        bytes
    }

    /// Whether this is the beginning of one with a token. No hello begins so.
    pub(crate) fn is_join(bytes: &[u8]) -> bool {
        bytes == JOIN
    }

    /// Reads one. `Ok(None)` means that more bytes are needed; a wrong one is known from the first byte on.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        let lead = bytes.get(..LEAD).unwrap_or(bytes);
        let version = lead.strip_prefix(&CHALLENGE);
        if version.is_none()
            && ![&CHALLENGE[..], &JOIN, &CONTROL].iter().any(|known| known.starts_with(lead))
        {
            return Err(Error::new(Operation::Connect, ErrorKind::Corrupt)
                .because("the other side does not speak the anyipc handshake over TCP"));
        }
        if let Some(&[a, b]) = version
            && [a, b] != PROTOCOL_VERSION.to_le_bytes()
        {
            return Err(other_version([a, b]));
        }
        let Some(nonce) = bytes.get(LEAD..).and_then(|rest| rest.first_chunk::<32>()) else {
            return Ok(None);
        };
        Ok(Some(match version {
            Some(_) => Self::Challenge(*nonce),
            None => Self::Join(JoinToken { nonce: *nonce, controls: lead == CONTROL }),
        }))
    }
}

fn other_version(theirs: [u8; 2]) -> Error {
    let error = Error::new(Operation::Connect, ErrorKind::Mismatch);
    if theirs == UNVERSIONED {
        return error.because(format!(
            "the protocol versions differ: 4 or less on one side, {PROTOCOL_VERSION} on the other"
        ));
    }
    let theirs = u16::from_le_bytes(theirs);
    let (low, high) = (theirs.min(PROTOCOL_VERSION), theirs.max(PROTOCOL_VERSION));
    error.because(format!("the protocol versions differ: {low} on one side, {high} on the other"))
}

/// Fresh random bytes.
pub(crate) fn nonce() -> Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| {
        Error::new(Operation::Connect, ErrorKind::Io)
            .because("the system has no random numbers")
            .from_source(std::io::Error::other(error))
    })?;
    Ok(nonce)
}

/// One handshake between two that know the key.
#[derive(Debug)]
pub(crate) struct Session {
    key: Arc<Key>,
    opener: Nonce,
    owner: Nonce,
    /// The owner's port, as each side knows it.
    port: u16,
}

impl Session {
    pub(crate) fn new(key: &Arc<Key>, opener: Nonce, owner: Nonce, port: u16) -> Self {
        Self { key: Arc::clone(key), opener, owner, port }
    }

    /// The proof of a statement about these words.
    pub(crate) fn prove(&self, statement: Statement, words: &[&[u8]]) -> Result<[u8; PROOF]> {
        Ok(self.mac(statement, words)?.finalize().into_bytes().into())
    }

    /// Checks a proof. Takes as long for a wrong one as for a right one.
    pub(crate) fn verify(&self, statement: Statement, words: &[&[u8]], proof: &[u8]) -> Result<()> {
        self.mac(statement, words)?.verify_slice(proof).map_err(|_| {
            Error::new(Operation::Connect, ErrorKind::PermissionDenied).because(match statement {
                Statement::Opener | Statement::Owner => {
                    "the other side does not know the secret, or has the port under another number; both sides \
                     need the same key file (see key_file=)"
                }
                Statement::Hello | Statement::Reply | Statement::Joins | Statement::Joined => {
                    "what the other side said was changed on its way, or said by someone else"
                }
            })
        })
    }

    fn mac(&self, statement: Statement, words: &[&[u8]]) -> Result<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key.0).map_err(|error| {
            Error::new(Operation::Connect, ErrorKind::InvalidOption)
                .because("the key is unusable")
                .from_source(error)
        })?;
        mac.update(b"anyipc tcp 2\0");
        mac.update(statement.label());
        mac.update(&self.opener);
        mac.update(&self.owner);
        mac.update(&self.port.to_le_bytes());
        for word in words {
            mac.update(&(word.len() as u64).to_le_bytes());
            mac.update(word);
        }
        Ok(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_claim_one_key_one_pair_of_nonces_and_one_port() {
        let key = |byte| Arc::new(Key::new([byte; 32].into()));
        let (a, b) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(a, b);
        let session = Session::new(&key(1), a, b, 80);
        let proof = session.prove(Statement::Hello, &[b"ab", b"c"]).unwrap();
        session.verify(Statement::Hello, &[b"ab", b"c"], &proof).unwrap();
        let words: &[&[u8]] = &[b"ab", b"c"];
        for (session, statement, words) in [
            (Session::new(&key(2), a, b, 80), Statement::Hello, words),
            (Session::new(&key(1), b, a, 80), Statement::Hello, words),
            (Session::new(&key(1), a, a, 80), Statement::Hello, words),
            (Session::new(&key(1), a, b, 81), Statement::Hello, words),
            (Session::new(&key(1), a, b, 80), Statement::Reply, words),
            (Session::new(&key(1), a, b, 80), Statement::Hello, &[b"a", b"bc"]),
            (Session::new(&key(1), a, b, 80), Statement::Hello, &[b"abc"]),
        ] {
            let error = session.verify(statement, words, &proof).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
        assert!(session.verify(Statement::Hello, words, &proof[..31]).is_err());
    }

    #[test]
    fn an_opening_is_known_by_its_first_byte() {
        let bytes = Opening::Challenge([7; 32]).encode();
        for cut in 0..OPENING {
            assert!(Opening::decode(&bytes[..cut]).unwrap().is_none());
        }
        assert!(
            matches!(Opening::decode(&bytes).unwrap(), Some(Opening::Challenge(n)) if n == [7; 32])
        );
        for controls in [false, true] {
            let token = JoinToken { nonce: [8; 32], controls };
            let bytes = Opening::Join(token).encode();
            for cut in 0..OPENING {
                assert!(Opening::decode(&bytes[..cut]).unwrap().is_none());
            }
            assert!(
                matches!(Opening::decode(&bytes).unwrap(), Some(Opening::Join(t)) if t == token)
            );
        }
        for strange in [&b"H"[..], b"SSH-2.0-x\r\n", b"AIPC\x01\x00", b"\0", b"AIPC+1\r\r"] {
            assert_eq!(Opening::decode(strange).err().unwrap().kind(), ErrorKind::Corrupt);
        }
        for other in [&b"AIPC\r\n\r\n"[..], b"AIPC\r\n\xff\xff"] {
            assert_eq!(Opening::decode(other).err().unwrap().kind(), ErrorKind::Mismatch);
        }
    }
}
