//! Messages that show any damage: number, length and every byte follow from stream and number.

use super::random::mix;

/// A stream of messages.
#[derive(Clone, Copy)]
pub(crate) struct Stream {
    id: u64,
    shortest: usize,
    /// How many lengths there are.
    spread: u64,
    next: u64,
}

impl Stream {
    /// Messages of `shortest` (at least 8) to `longest` bytes.
    pub(crate) fn new(id: u64, shortest: usize, longest: usize) -> Self {
        assert!((8..=longest).contains(&shortest));
        Self { id, shortest, spread: (longest - shortest) as u64 + 1, next: 0 }
    }

    /// How many messages there were.
    pub(crate) fn count(&self) -> u64 {
        self.next
    }

    /// Writes the next message, in place of what is in the buffer.
    pub(crate) fn write(&mut self, buffer: &mut Vec<u8>) {
        let key = mix(self.next ^ self.id);
        let len = self.shortest + (key % self.spread) as usize;
        buffer.resize(len, 0);
        buffer[..8].copy_from_slice(&self.next.to_le_bytes());
        let mut word = key;
        for chunk in buffer[8..].chunks_mut(8) {
            word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        self.next += 1;
    }

    /// Checks that this is the next message, whole.
    #[track_caller]
    pub(crate) fn check(&mut self, message: &[u8]) {
        if let Err(why) = self.verify(message) {
            panic!("{why}");
        }
    }

    /// As `check`, telling what is wrong.
    pub(crate) fn verify(&mut self, message: &[u8]) -> Result<(), String> {
        let expected = self.next;
        let key = mix(expected ^ self.id);
        let len = self.shortest + (key % self.spread) as usize;
        let number = message.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        if number != Some(expected) {
            return Err(format!(
                "message {expected} was due, {number:?} came ({} bytes)",
                message.len()
            ));
        }
        if message.len() != len {
            return Err(format!("message {expected} has {} bytes instead of {len}", message.len()));
        }
        let mut word = key;
        for (index, chunk) in message[8..].chunks(8).enumerate() {
            word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            if chunk != &word.to_le_bytes()[..chunk.len()] {
                return Err(format!(
                    "message {expected} is torn at byte {} of {len}",
                    8 + index * 8
                ));
            }
        }
        self.next += 1;
        Ok(())
    }
}

/// Bytes that depend on their position and on `seed`.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed))
        .collect()
}
