//! What the first instance says. The order on a channel: `Ready`, then the later instance's launch,
//! `Taken`, then `Code` or `NoCode`.

use anyipc_core::{Error, ErrorKind, Operation, Result};

/// The name of these messages in the handshake.
pub(super) const NAME: &str = "anyipc.LaunchAnswer/1";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The first instance serves, and takes a launch now.
    Ready,
    /// The program of the first instance gets the launch next.
    Taken,
    /// The program's answer.
    Code(i32),
    /// The program dropped the launch.
    NoCode,
}

impl Word {
    pub(super) fn encode(self) -> Vec<u8> {
        match self {
            Self::Ready => b"R".to_vec(),
            Self::Taken => b"T".to_vec(),
            Self::Code(code) => [&b"C"[..], &code.to_le_bytes()].concat(),
            Self::NoCode => b"N".to_vec(),
        }
    }

    /// # Errors
    /// `Corrupt` if this is none.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let word = match bytes {
            b"R" => Some(Self::Ready),
            b"T" => Some(Self::Taken),
            b"N" => Some(Self::NoCode),
            [b'C', code @ ..] => code.try_into().ok().map(i32::from_le_bytes).map(Self::Code),
            _ => None,
        };
        word.ok_or_else(corrupt)
    }
}

pub(super) fn corrupt() -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because("this is no answer of a first instance")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_nothing_else_does() {
        let codes = [0, 1, -1, i32::MIN, i32::MAX].map(Word::Code);
        for word in [Word::Ready, Word::Taken, Word::NoCode].into_iter().chain(codes) {
            assert_eq!(Word::decode(&word.encode()).unwrap(), word);
        }
        for bad in [&b""[..], b"r", b"RR", b"C", b"C123", b"C12345"] {
            assert_eq!(Word::decode(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad:?}");
        }
    }
}
