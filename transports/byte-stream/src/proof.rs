//! Proof of a shared secret, before anything else is said.
//!
//! The opener sends a nonce, the owner another, then the opener the MAC of both, then the owner its own. What
//! each side proves names the side, so that no answer can be played back. What follows is neither encrypted nor
//! signed: this keeps strangers out, it does not hide anything from the network.

use std::fmt;

use anyipc_core::{Error, ErrorKind, Operation, Result};
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
/// A nonce follows. The line ends make a server of a line protocol answer at once, with something else.
const CHALLENGE: [u8; LEAD] = *b"AIPC\r\n\r\n";
/// A ticket follows, and then the other direction of a channel.
const JOIN: [u8; LEAD] = *b"AIPC+1\r\n";
/// A ticket follows, and then what goes beside a channel whose first stream carries both directions.
const CONTROL: [u8; LEAD] = *b"AIPC+c\r\n";

/// The side that proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Opener,
    Owner,
}

/// What a connection begins with.
pub(crate) enum Opening {
    Challenge(Nonce),
    Join(Ticket),
}

/// What a second stream shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) nonce: Nonce,
    /// Both directions are in the first stream, and this one is for control. Otherwise it is one of the directions.
    pub(crate) controls: bool,
}

impl Opening {
    pub(crate) fn encode(&self) -> [u8; OPENING] {
        let (lead, nonce) = match self {
            Self::Challenge(nonce) => (CHALLENGE, nonce),
            Self::Join(Ticket { nonce, controls: false }) => (JOIN, nonce),
            Self::Join(Ticket { nonce, controls: true }) => (CONTROL, nonce),
        };
        let mut bytes = [0; OPENING];
        let (head, tail) = bytes.split_at_mut(LEAD);
        head.copy_from_slice(&lead);
        tail.copy_from_slice(nonce);
        bytes
    }

    /// Whether this is the beginning of one with a ticket. No hello begins so.
    pub(crate) fn is_join(bytes: &[u8]) -> bool {
        bytes == JOIN
    }

    /// Reads one. `Ok(None)` means that more bytes are needed; a wrong one is known from the first byte on.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<Self>> {
        let lead = bytes.get(..LEAD).unwrap_or(bytes);
        if ![CHALLENGE, JOIN, CONTROL].iter().any(|known| known.starts_with(lead)) {
            return Err(Error::new(Operation::Connect, ErrorKind::Corrupt)
                .because("the other side does not speak the anyipc handshake over TCP"));
        }
        let Some(nonce) = bytes.get(LEAD..).and_then(|rest| rest.first_chunk::<32>()) else {
            return Ok(None);
        };
        Ok(Some(match lead == CHALLENGE {
            true => Self::Challenge(*nonce),
            false => Self::Join(Ticket { nonce: *nonce, controls: lead == CONTROL }),
        }))
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

/// What `side` sends to prove that it knows the key.
pub(crate) fn prove(key: &Key, side: Side, opener: &Nonce, owner: &Nonce) -> Result<[u8; PROOF]> {
    Ok(mac(key, side, opener, owner)?.finalize().into_bytes().into())
}

/// Whether `side` proved it. Takes as long for a wrong proof as for a right one.
pub(crate) fn verify(key: &Key, side: Side, opener: &Nonce, owner: &Nonce, proof: &[u8]) -> Result<()> {
    mac(key, side, opener, owner)?.verify_slice(proof).map_err(|_| {
        Error::new(Operation::Connect, ErrorKind::PermissionDenied).because(
            "the other side does not know the secret; both sides need the same key file (see key_file=)",
        )
    })
}

fn mac(key: &Key, side: Side, opener: &Nonce, owner: &Nonce) -> Result<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).map_err(|error| {
        Error::new(Operation::Connect, ErrorKind::InvalidOption)
            .because("the key is unusable")
            .from_source(error)
    })?;
    mac.update(match side {
        Side::Opener => b"anyipc tcp 1 opener\0",
        Side::Owner => b"anyipc tcp 1 owner\0\0",
    });
    mac.update(opener);
    mac.update(owner);
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_good_for_one_side_one_key_and_one_pair_of_nonces() {
        let (key, other) = (Key::new([1; 32].into()), Key::new([2; 32].into()));
        let (a, b) = (nonce().unwrap(), nonce().unwrap());
        assert_ne!(a, b);
        let proof = prove(&key, Side::Opener, &a, &b).unwrap();
        verify(&key, Side::Opener, &a, &b, &proof).unwrap();
        for (key, side, a, b) in [
            (&other, Side::Opener, &a, &b),
            (&key, Side::Owner, &a, &b),
            (&key, Side::Opener, &b, &a),
            (&key, Side::Opener, &a, &a),
        ] {
            let error = verify(key, side, a, b, &proof).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
        assert!(verify(&key, Side::Opener, &a, &b, &proof[..31]).is_err());
    }

    #[test]
    fn an_opening_is_known_by_its_first_byte() {
        let bytes = Opening::Challenge([7; 32]).encode();
        for cut in 0..OPENING {
            assert!(Opening::decode(&bytes[..cut]).unwrap().is_none());
        }
        assert!(matches!(Opening::decode(&bytes).unwrap(), Some(Opening::Challenge(n)) if n == [7; 32]));
        for controls in [false, true] {
            let ticket = Ticket { nonce: [8; 32], controls };
            let bytes = Opening::Join(ticket).encode();
            assert!(matches!(Opening::decode(&bytes).unwrap(), Some(Opening::Join(t)) if t == ticket));
        }
        for strange in [&b"H"[..], b"SSH-2.0-x\r\n", b"AIPC\x01\x00", b"\0", b"AIPC+1\r\r"] {
            assert_eq!(Opening::decode(strange).err().unwrap().kind(), ErrorKind::Corrupt);
        }
    }
}
