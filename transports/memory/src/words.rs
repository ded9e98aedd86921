//! Aligned words of shared memory, copied by the widest instructions that the processor has.

use std::sync::atomic::AtomicU64;

use anyipc_ring::words::CopyWords;

use crate::bytes;

/// Aligned words of shared memory.
pub type Words<'a> = anyipc_ring::words::Words<'a, Wide>;

/// Copies by [`bytes`].
#[derive(Debug, Clone, Copy)]
pub struct Wide;

impl CopyWords for Wide {
    #[inline]
    fn load(words: &[AtomicU64], to: &mut [u8]) {
        assert_eq!(to.len(), size_of_val(words));
        // SAFETY: both have this many bytes, and `to` is borrowed. From aligned memory whole words
        // are read by atomic accesses of whole words.
        unsafe { bytes::load(words.as_ptr().cast(), to.as_mut_ptr(), to.len()) };
    }

    #[inline]
    fn store(words: &[AtomicU64], from: &[u8]) {
        assert_eq!(from.len(), size_of_val(words));
        // SAFETY: as in `load`; the words are atomics, which may be written through a shared
        // reference.
        unsafe { bytes::store(words.as_ptr().cast_mut().cast(), from) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;
    use std::thread;

    use anyipc_ring::words::Atomic32;

    use super::*;

    fn words<const N: usize>() -> [AtomicU64; N] {
        [const { AtomicU64::new(0) }; N]
    }

    #[test]
    fn every_offset_and_length() {
        let memory = words::<32>();
        let all = Words::new(&memory);
        let mut wanted = [0u8; 256];
        for offset in 0..24 {
            for len in 0..200 {
                let bytes: Vec<u8> = (0..len).map(|i| (i + 3 * offset) as u8 | 0x80).collect();
                assert!(all.store(offset, &bytes));
                wanted[offset..offset + len].copy_from_slice(&bytes);
                let (mut back, mut whole) = (vec![0; len], [0; 256]);
                assert!(all.load(offset, &mut back) && all.load(0, &mut whole));
                assert_eq!((back, whole), (bytes, wanted), "{offset} {len}");
            }
        }
        for (offset, len) in [(256, 1), (255, 2), (0, 257), (usize::MAX, 1), (usize::MAX - 8, 9)] {
            assert!(
                !all.load(offset, &mut vec![0; len]) && !all.store(offset, &vec![0; len]),
                "{offset} {len}"
            );
        }
        assert!(all.load(256, &mut []));
    }

    /// For Miri: all accesses at the same bytes at the same time.
    #[test]
    fn racing_accesses_of_every_kind_are_defined() {
        const ROUNDS: u8 = if cfg!(miri) { 20 } else { 200 };
        let memory = words::<8>();
        let all = Words::new(&memory);
        thread::scope(|scope| {
            for part in 0..4usize {
                scope.spawn(move || {
                    for round in 1..=ROUNDS {
                        // Its own bytes, which begin and end in words that others write, too.
                        assert!(all.store(part * 13, &[round; 13]));
                        let mut back = [0; 13];
                        assert!(all.load(part * 13, &mut back));
                        assert_eq!(back, [round; 13], "another writer's");
                        assert!(all.load(0, &mut [0; 64]));
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        Atomic32::new(all.word(56).unwrap(), 60).fetch_add(1, Relaxed);
                    }
                });
            }
        });
        assert_eq!(Atomic32::new(&memory[7], 60).load(Relaxed), 2 * u32::from(ROUNDS));
    }
}
