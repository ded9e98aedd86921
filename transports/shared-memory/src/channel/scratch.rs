/// So many bytes are kept for good.
const KEPT: usize = 64 << 10;
/// After so many frames in a row that needed no more, larger memory is given back.
const SHORT_FRAMES: u32 = 64;

/// The private memory in which a half lets frames be read or written that are not used in place.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    /// How many frames in a row have used at most [`KEPT`] bytes of larger memory.
    short: u32,
}

impl Scratch {
    /// Takes the memory. If a closure panics on it, the next frame gets new memory.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Puts the memory back, of which a frame used so many bytes; `None`: there was no frame.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>, used: Option<usize>) {
        let Some(used) = used else {
            self.bytes = bytes;
            return;
        };
        let large = bytes.capacity() > KEPT && used <= KEPT;
        self.short = if large { self.short + 1 } else { 0 };
        if self.short < SHORT_FRAMES {
            self.bytes = bytes;
        } else {
            self.short = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_large_frame_needed_is_given_back() {
        let mut scratch = Scratch::default();
        let use_of = |scratch: &mut Scratch, len: usize| {
            let mut bytes = scratch.take();
            bytes.clear();
            bytes.resize(len, 7);
            scratch.put_back(bytes, Some(len));
            let nothing = scratch.take();
            scratch.put_back(nothing, None);
        };
        for round in 0..3 {
            use_of(&mut scratch, 1 << 20);
            (1..SHORT_FRAMES).for_each(|_| use_of(&mut scratch, 10));
            assert!(scratch.bytes.capacity() >= 1 << 20, "another large one may follow, round {round}");
        }
        use_of(&mut scratch, 10);
        assert!(scratch.bytes.capacity() <= KEPT);
        use_of(&mut scratch, KEPT);
        (0..2 * SHORT_FRAMES).for_each(|_| use_of(&mut scratch, 10));
        assert!(scratch.bytes.capacity() >= KEPT, "this much is kept");
    }
}
