use anyipc_core::{KEPT, give_back};

/// Private memory in which a half lets frames be read or written that are not used in place.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
    /// Frames in a row that used at most [`KEPT`] bytes.
    short: u64,
}

impl Scratch {
    /// Takes the memory. If a closure panics on it, the next frame gets new memory.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Puts the memory back after a frame that used this many bytes; `None` if there was no frame.
    pub(super) fn put_back(&mut self, bytes: Vec<u8>, used: Option<usize>) {
        self.bytes = bytes;
        if let Some(used) = used {
            self.short = if used <= KEPT { self.short + 1 } else { 0 };
            give_back(&mut self.bytes, self.short);
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
            (0..3).for_each(|_| use_of(&mut scratch, 10));
            assert!(
                scratch.bytes.capacity() >= 1 << 20,
                "another large one may follow, round {round}"
            );
        }
        (0..10).for_each(|_| use_of(&mut scratch, 10));
        assert!(scratch.bytes.capacity() <= KEPT);
        use_of(&mut scratch, KEPT);
        (0..20).for_each(|_| use_of(&mut scratch, 10));
        assert!(scratch.bytes.capacity() >= KEPT, "this much is kept");
    }
}
