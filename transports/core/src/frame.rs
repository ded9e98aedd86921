use crate::{Error, ErrorKind, Operation, Result};

/// The length of an encoded [`FrameHeader`], in bytes.
pub const FRAME_HEADER: usize = 8;

/// The place of a frame in its message. Backends carry the flags beside the payload and do not read
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(u8);

impl Flags {
    /// A whole message or the last fragment of one.
    pub const NONE: Self = Self(0);
    /// More fragments of the message follow.
    pub const MORE: Self = Self(1);
    /// The receiver forgets the fragments so far: the sender gave the message up. The frame is
    /// empty.
    pub const ABORT: Self = Self(2);

    const KNOWN: u8 = 3;

    /// The wire form.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Reads the wire form; `None` if it has bits that this version does not know.
    #[inline]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::KNOWN == 0 { Some(Self(bits)) } else { None }
    }

    /// True if everything in `other` is here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The header before each frame of a byte stream: payload length (u32, little-endian), flags (u8),
/// three zero bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of payload that follow.
    pub len: u32,
    /// The frame's flags.
    pub flags: Flags,
}

impl FrameHeader {
    /// The wire form.
    #[inline]
    pub const fn encode(self) -> [u8; FRAME_HEADER] {
        // One 8-byte store. After byte stores, an 8-byte load that copies the header would stall
        // until all of them have left the store buffer.
        (self.len as u64 | (self.flags.0 as u64) << 32).to_le_bytes()
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// `Corrupt` for a length over `max`, an unknown flag, and a padding byte that is not zero.
    #[inline]
    pub fn decode(bytes: [u8; FRAME_HEADER], max: usize) -> Result<Self> {
        match Self::decode_any(bytes) {
            Some(header) if header.len as usize <= max => Ok(header),
            _ => Err(corrupt(u64::from_le_bytes(bytes) as u32, max)),
        }
    }

    /// As [`decode`](Self::decode) without a limit, for a caller that compares the length with the
    /// bytes it has; `None` if it is no header.
    #[inline]
    pub fn decode_any(bytes: [u8; FRAME_HEADER]) -> Option<Self> {
        let number = u64::from_le_bytes(bytes);
        let flags = u8::try_from(number >> 32).ok().and_then(Flags::from_bits)?;
        Some(Self { len: number as u32, flags })
    }
}

/// The error for a header with this length.
#[cold]
fn corrupt(len: u32, max: usize) -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt).because(if len as usize > max {
        format!("a frame claims {len} bytes; at most {max} are allowed")
    } else {
        "a frame header has unknown flags".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_survive_the_wire(len in 0..1_000_000u32, bits in 0..4u8) {
            let header = FrameHeader { len, flags: Flags::from_bits(bits).unwrap() };
            prop_assert_eq!(FrameHeader::decode(header.encode(), 1_000_000).unwrap(), header);
        }

        #[test]
        fn garbage_is_corrupt_or_faithful(bytes: [u8; 8], max in 0..100_000usize) {
            match FrameHeader::decode(bytes, max) {
                Ok(header) => {
                    prop_assert!(header.len as usize <= max);
                    prop_assert_eq!(header.encode(), bytes);
                }
                Err(error) => prop_assert_eq!(error.kind(), ErrorKind::Corrupt),
            }
        }
    }
}
