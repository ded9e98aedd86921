//! Buffers that are kept for the next message.

/// A buffer of up to this many bytes is kept for good.
pub const KEPT: usize = 64 << 10;
/// A larger one is freed after this many messages in a row that did not need it.
const SHORTER: u64 = 8;

/// Frees a buffer that a large message made, after `shorter` messages in a row that needed at most
/// [`KEPT`] bytes of it. The next large message allocates it again. The facade and the backends
/// share this rule.
pub fn give_back(memory: &mut Vec<u8>, shorter: u64) {
    if shorter >= SHORTER && memory.capacity() > KEPT {
        *memory = Vec::new();
    }
}
