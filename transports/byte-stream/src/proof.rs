//! Proof of a shared secret, before anything else is sent over TCP.
//!
//! The opener sends a nonce, the owner another one. Then the opener proves that it knows the
//! secret, then the owner does. After that each side's hello is followed by a proof of its own, and
//! so is the join token; on the second stream both sides prove once more which channel it belongs
//! to.
//!
//! Every proof covers both nonces, the owner's port and the statement that it proves. So none can
//! be replayed, presented as the proof of another statement, or relayed to the owner of another
//! port. The messages that follow are neither encrypted nor signed: the handshake keeps
//! unauthorised peers out and hides nothing from the network.

use std::fmt;
use std::sync::Arc;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The secret that both sides prove to know.
pub struct Key(Box<[u8]>);

impl Key {
    /// A secret of these bytes, at least 16 random ones: fewer can be guessed.
    pub fn new(bytes: Box<[u8]>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// A random number that is used once.
pub(crate) type Nonce = [u8; 32];
/// The length of a proof, in bytes.
pub(crate) const PROOF: usize = 32;

/// The statement that is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Statement {
    /// The opener knows the secret.
    Opener,
    /// The owner knows it.
    Owner,
    /// This is the opener's hello.
    Hello,
    /// This is the owner's reply to that hello.
    Reply,
    /// The opener connects a second time, with this join token.
    Joins,
    /// This is the owner that issued the join token.
    Joined,
}

impl Statement {
    /// The statement in the input of the hash; all labels have the same length.
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

/// What all proofs of one handshake have in common.
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

    /// Checks a proof. Takes as long for a wrong proof as for a right one.
    pub(crate) fn verify(&self, statement: Statement, words: &[&[u8]], proof: &[u8]) -> Result<()> {
        self.mac(statement, words)?.verify_slice(proof).map_err(|_| {
            Error::new(Operation::Connect, ErrorKind::PermissionDenied).because(match statement {
                Statement::Opener | Statement::Owner => {
                    "the other side does not know the secret, or has the port under another \
                     number; both sides need the same key file (see key_file=)"
                }
                Statement::Hello | Statement::Reply | Statement::Joins | Statement::Joined => {
                    "what the other side sent was changed on its way, or sent by another peer"
                }
            })
        })
    }

    /// The hash of the statement, the session and the words, each word with its length before it.
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
    fn a_proof_is_good_for_one_statement_one_key_one_pair_of_nonces_and_one_port() {
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
}
