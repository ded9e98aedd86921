//! Messages that show any damage: the length and every byte follow from stream, lane and number.

use std::fmt;

use super::random::mix;

/// Bytes of the shortest message: its stream and its number.
pub(super) const SHORTEST: usize = 16;

/// The top byte of the second word is the lane.
const LANE: u32 = 56;

/// Which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    /// A connection, or a life that sends to a queue.
    pub(super) stream: u64,
    /// A direction of the connection, or a priority.
    pub(super) lane: u8,
    /// Counts the messages of the lane from 0; below `2^56`.
    pub(super) number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} of {:x}, lane {}", self.number, self.stream, self.lane)
    }
}

impl Id {
    fn words(self) -> [u64; 2] {
        [self.stream, self.number | u64::from(self.lane) << LANE]
    }

    fn key(self) -> u64 {
        let [stream, number] = self.words();
        mix(mix(stream) ^ number)
    }

    /// Bytes of the message, `SHORTEST` to `longest`; short ones are as likely as long ones.
    fn len(self, longest: usize) -> usize {
        let spread = (longest.max(SHORTEST) - SHORTEST) as u64;
        let bits = u64::from(u64::BITS - spread.leading_zeros());
        let key = self.key();
        let most = spread.min((1 << (key % (bits + 1))) - 1);
        SHORTEST + ((key >> 8) % (most + 1)) as usize
    }
}

/// Replaces the buffer by the message.
pub(super) fn write(id: Id, longest: usize, buffer: &mut Vec<u8>) {
    buffer.clear();
    for word in id.words() {
        buffer.extend_from_slice(&word.to_le_bytes());
    }
    let len = id.len(longest);
    let mut word = id.key();
    while buffer.len() < len {
        word = step(word);
        let bytes = word.to_le_bytes();
        let part = bytes.len().min(len - buffer.len());
        buffer.extend_from_slice(&bytes[..part]);
    }
}

fn step(word: u64) -> u64 {
    word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// Tells which message it is, if it is whole.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(message: &[u8], longest: usize) -> Result<Id, String> {
    let Some((head, body)) = message.split_first_chunk::<SHORTEST>() else {
        return Err(format!("{} bytes are no message of ours", message.len()));
    };
    let half = |from: usize| {
        head[from..from + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    let (stream, second) = (half(0), half(8));
    let id =
        Id { stream, lane: (second >> LANE) as u8, number: second & (u64::MAX >> (64 - LANE)) };
    let len = id.len(longest);
    if message.len() != len {
        return Err(format!("{id} has {} bytes instead of {len}", message.len()));
    }
    let mut word = id.key();
    for (index, chunk) in body.chunks(8).enumerate() {
        word = step(word);
        if chunk != &word.to_le_bytes()[..chunk.len()] {
            return Err(format!("{id} is torn at byte {} of {len}", SHORTEST + index * 8));
        }
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_shows() {
        let mut buffer = Vec::new();
        let mut lengths = std::collections::BTreeSet::new();
        for number in 0..100 {
            let id = Id { stream: 3 << 32, lane: 1, number };
            write(id, 200, &mut buffer);
            assert_eq!(read(&buffer, 200), Ok(id));
            assert!((SHORTEST..=200).contains(&buffer.len()));
            lengths.insert(buffer.len());
            for at in 0..buffer.len() {
                buffer[at] ^= 1;
                // A change of the head makes another message, which must not be due.
                assert!(read(&buffer, 200) != Ok(id), "byte {at}");
                buffer[at] ^= 1;
            }
            assert!(read(&buffer[..buffer.len() - 1], 200).is_err());
        }
        assert!(lengths.len() > 20, "{lengths:?}");
    }
}
