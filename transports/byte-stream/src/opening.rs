//! The first bytes of a connection over which no hello comes first: a nonce, or a join token.

use anyipc_core::{Error, ErrorKind, Operation, PROTOCOL_VERSION, Result};

use crate::proof::Nonce;

/// The length of an encoded [`Opening`], in bytes.
pub(crate) const OPENING: usize = LEAD + 32;

const LEAD: usize = 8;
/// The version (u16, little-endian) and a nonce follow. The line end makes the server of a line
/// protocol answer at once, with something else.
const CHALLENGE: [u8; LEAD - 2] = *b"AIPC\r\n";
/// The bytes in place of the version before version 5.
const UNVERSIONED: [u8; 2] = *b"\r\n";
/// A join token follows, and then the other direction of a channel.
const JOIN: [u8; LEAD] = *b"AIPC+1\r\n";
/// A join token follows, and then the control stream of a channel with both directions in its first
/// stream.
const CONTROL: [u8; LEAD] = *b"AIPC+c\r\n";

/// What a connection begins with.
pub(crate) enum Opening {
    /// A side's nonce: what follows proves that it knows the secret.
    Challenge(Nonce),
    /// This is the second stream of a half-open handshake.
    Join(JoinToken),
}

/// The owner issues it with a welcome; the opener shows it on its second stream, by which the owner
/// finds the half-open handshake that the stream belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JoinToken {
    /// The random number that the owner issued, or the proof of it where there is a secret.
    pub(crate) nonce: Nonce,
    /// True if the first stream carries both directions and the second one is for control. False if
    /// the second one carries one of the directions.
    pub(crate) for_control: bool,
}

impl Opening {
    pub(crate) fn encode(&self) -> [u8; OPENING] {
        let (lead, nonce) = match self {
            Self::Challenge(nonce) => {
                let ([a, b, c, d, e, f], [g, h]) = (CHALLENGE, PROTOCOL_VERSION.to_le_bytes());
                ([a, b, c, d, e, f, g, h], nonce)
            }
            Self::Join(JoinToken { nonce, for_control: false }) => (JOIN, nonce),
            Self::Join(JoinToken { nonce, for_control: true }) => (CONTROL, nonce),
        };
        let mut bytes = [0; OPENING];
        let (head, tail) = bytes.split_at_mut(LEAD);
        head.copy_from_slice(&lead);
        tail.copy_from_slice(nonce);
        bytes
    }

    /// True if these bytes are the lead of a join token for a direction. No hello begins with them.
    pub(crate) fn is_join(bytes: &[u8]) -> bool {
        bytes == JOIN
    }

    /// Reads one. `Ok(None)`: more bytes are needed. A wrong first byte is an error already.
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
            None => Self::Join(JoinToken { nonce: *nonce, for_control: lead == CONTROL }),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_known_by_its_first_byte() {
        let bytes = Opening::Challenge([7; 32]).encode();
        for cut in 0..OPENING {
            assert!(Opening::decode(&bytes[..cut]).unwrap().is_none());
        }
        assert!(
            matches!(Opening::decode(&bytes).unwrap(), Some(Opening::Challenge(n)) if n == [7; 32])
        );
        for for_control in [false, true] {
            let token = JoinToken { nonce: [8; 32], for_control };
            let bytes = Opening::Join(token).encode();
            for cut in 0..OPENING {
                assert!(Opening::decode(&bytes[..cut]).unwrap().is_none());
            }
            assert!(
                matches!(Opening::decode(&bytes).unwrap(), Some(Opening::Join(t)) if t == token)
            );
        }
        for foreign in [&b"H"[..], b"SSH-2.0-x\r\n", b"AIPC\x01\x00", b"\0", b"AIPC+1\r\r"] {
            assert_eq!(Opening::decode(foreign).err().unwrap().kind(), ErrorKind::Corrupt);
        }
        for other in [&b"AIPC\r\n\r\n"[..], b"AIPC\r\n\xff\xff"] {
            assert_eq!(Opening::decode(other).err().unwrap().kind(), ErrorKind::Mismatch);
        }
    }
}
