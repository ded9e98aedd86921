use std::hint;

/// Reproducible random numbers (xorshift64*), the same on both sides of a channel.
#[derive(Clone)]
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number from 0 to `limit`, inclusive.
    pub(crate) fn up_to(&mut self, limit: usize) -> usize {
        (self.next() % (limit as u64).saturating_add(1)) as usize
    }

    /// Fills the buffer with `len` bytes.
    pub(crate) fn fill(&mut self, buffer: &mut Vec<u8>, len: usize) {
        buffer.clear();
        while buffer.len() < len {
            buffer.extend(self.next().to_le_bytes());
        }
        buffer.truncate(len);
    }

    /// Spins for up to a few microseconds, so that the sides meet at different moments.
    pub(crate) fn pause(&mut self) {
        for _ in 0..self.up_to(1500) {
            hint::spin_loop();
        }
    }
}

/// `len` bytes that depend on `seed`.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut buffer = Vec::new();
    Noise::new(seed).fill(&mut buffer, len);
    buffer
}
