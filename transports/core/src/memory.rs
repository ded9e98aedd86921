//! Memory that is kept for the next message.

/// Memory of up to so many bytes is kept for good.
pub const KEPT: usize = 64 << 10;
/// What is larger is given back after so many messages in a row that did not need it.
const SHORTER: u64 = 8;

/// Gives the memory back that one large message made, after `shorter` messages in a row that needed less than
/// [`KEPT`], or none of it. The next large one allocates it again. Of a transport's half and of the facade's, the
/// rule is the same.
pub fn give_back(memory: &mut Vec<u8>, shorter: u64) {
    if shorter >= SHORTER && memory.capacity() > KEPT {
        *memory = Vec::new();
    }
}
