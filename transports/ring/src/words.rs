//! Memory that threads and processes read and write at the same time without an order.
//!
//! Rust's memory model gives no meaning to unordered atomic accesses of two sizes to the same
//! bytes. Therefore each access is one of an aligned word of 8 bytes: a part of a word is read with
//! the whole, and written by a compare-and-swap of the whole, which leaves the bytes beside it as
//! they are. All accesses are relaxed: the caller orders them, if anything does.

use std::fmt;
use std::marker::PhantomData;

use crate::primitive::{AtomicU64, Ordering, Ordering::Relaxed};

const WORD: usize = size_of::<u64>();

/// Aligned words of shared memory. Bytes that are read while they are written are a mixture, never
/// undefined.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a, C> {
    words: &'a [AtomicU64],
    copies: PhantomData<C>,
}

/// Copies whole words for [`Words`], perhaps by wider instructions than the language has.
pub trait CopyWords: fmt::Debug + Copy {
    /// Copies `words` out, each by one access. `to` has as many bytes.
    fn load(words: &[AtomicU64], to: &mut [u8]);
    /// Copies `from` in, each word by one access. `words` have as many bytes.
    fn store(words: &[AtomicU64], from: &[u8]);
}

/// A range of bytes: a part of a word, whole words, a part of a word.
struct Pieces<'a> {
    /// The first word and the byte in it where the range begins, if that is not its first byte.
    head: Option<(&'a AtomicU64, usize)>,
    /// Bytes of the head, 0 without one.
    before: usize,
    whole: &'a [AtomicU64],
    tail: Option<&'a AtomicU64>,
}

impl<'a, C: CopyWords> Words<'a, C> {
    /// Over this memory.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self { words, copies: PhantomData }
    }

    /// The word that holds the byte at an offset.
    pub fn word(self, offset: usize) -> Option<&'a AtomicU64> {
        self.words.get(offset / WORD)
    }

    #[inline]
    fn pieces(self, offset: usize, len: usize) -> Option<Pieces<'a>> {
        let (first, within) = (offset / WORD, offset % WORD);
        let before = if within == 0 { 0 } else { (WORD - within).min(len) };
        let (whole, after) = ((len - before) / WORD, (len - before) % WORD);
        let start = first + usize::from(before > 0);
        Some(Pieces {
            head: if before > 0 { Some((self.words.get(first)?, within)) } else { None },
            before,
            whole: self.words.get(start..start.checked_add(whole)?)?,
            tail: if after > 0 { Some(self.words.get(start + whole)?) } else { None },
        })
    }

    /// Copies bytes out. False without an effect if the range reaches beyond the words.
    #[inline]
    pub fn load(self, offset: usize, to: &mut [u8]) -> bool {
        let Some(pieces) = self.pieces(offset, to.len()) else { return false };
        let (head, rest) = to.split_at_mut(pieces.before);
        let (whole, tail) = rest.split_at_mut(pieces.whole.len() * WORD);
        if let Some((word, within)) = pieces.head {
            load_part(word, within, head);
        }
        C::load(pieces.whole, whole);
        if let Some(word) = pieces.tail {
            load_part(word, 0, tail);
        }
        true
    }

    /// Copies bytes in. False without an effect if the range reaches beyond the words.
    #[inline]
    pub fn store(self, offset: usize, from: &[u8]) -> bool {
        let Some(pieces) = self.pieces(offset, from.len()) else { return false };
        let (head, rest) = from.split_at(pieces.before);
        let (whole, tail) = rest.split_at(pieces.whole.len() * WORD);
        if let Some((word, within)) = pieces.head {
            store_part(word, within, head);
        }
        C::store(pieces.whole, whole);
        if let Some(word) = pieces.tail {
            store_part(word, 0, tail);
        }
        true
    }
}

/// How many bits a word's value is shifted for `size` bytes that begin at its byte `start`.
const fn shift(start: usize, size: usize) -> u32 {
    let bytes = if cfg!(target_endian = "little") { start } else { WORD - size - start };
    8 * bytes as u32
}

/// Copies out the bytes of a word from `start` on.
#[inline]
fn load_part(word: &AtomicU64, start: usize, to: &mut [u8]) {
    let value = word.load(Relaxed);
    for (index, to) in to.iter_mut().enumerate() {
        *to = (value >> shift(start + index, 1)) as u8;
    }
}

/// Copies bytes into a word from `start` on.
#[inline]
fn store_part(word: &AtomicU64, start: usize, from: &[u8]) {
    let (mut mask, mut value) = (0, 0);
    for (index, byte) in from.iter().enumerate() {
        let shift = shift(start + index, 1);
        mask |= 0xff << shift;
        value |= u64::from(*byte) << shift;
    }
    let mut old = word.load(Relaxed);
    while let Err(now) = word.compare_exchange_weak(old, (old & !mask) | value, Relaxed, Relaxed) {
        old = now;
    }
}

/// An atomic of 32 bits in shared memory, with the methods of
/// [`AtomicU32`](std::sync::atomic::AtomicU32).
///
/// It is one half of an aligned word of 64 bits. Each change is a compare-and-swap of the word, in
/// a loop, which leaves the other half as it is. Other programs may use 32-bit atomics of the
/// processor on the same bytes.
#[derive(Debug, Clone, Copy)]
pub struct Atomic32<'a> {
    word: &'a AtomicU64,
    /// Its place in the word's value in bits: 0 or 32.
    shift: u32,
}

impl<'a> Atomic32<'a> {
    /// The half of a word that holds this offset, a multiple of 4.
    pub fn new(word: &'a AtomicU64, offset: usize) -> Self {
        Self { word, shift: shift((offset % WORD) & 4, 4) }
    }

    fn of(self, word: u64) -> u32 {
        (word >> self.shift) as u32
    }

    /// Replaces the value by `next` of it in one step, retried while others change the word in
    /// between. `Err` with the value for which `next` returned `None`.
    fn change(
        self,
        success: Ordering,
        failure: Ordering,
        mut next: impl FnMut(u32) -> Option<u32>,
    ) -> Result<u32, u32> {
        let mut old = self.word.load(failure);
        loop {
            let Some(next) = next(self.of(old)) else { return Err(self.of(old)) };
            let new = (old & !(u64::from(u32::MAX) << self.shift)) | u64::from(next) << self.shift;
            match self.word.compare_exchange_weak(old, new, success, failure) {
                Ok(_) => return Ok(self.of(old)),
                Err(now) => old = now,
            }
        }
    }

    fn always(self, order: Ordering, mut next: impl FnMut(u32) -> u32) -> u32 {
        match self.change(order, Relaxed, |old| Some(next(old))) {
            Ok(old) | Err(old) => old,
        }
    }

    /// As [`AtomicU32::load`](std::sync::atomic::AtomicU32::load).
    pub fn load(self, order: Ordering) -> u32 {
        self.of(self.word.load(order))
    }

    /// As [`AtomicU32::store`](std::sync::atomic::AtomicU32::store).
    pub fn store(self, value: u32, order: Ordering) {
        self.always(order, |_| value);
    }

    /// As [`AtomicU32::swap`](std::sync::atomic::AtomicU32::swap).
    pub fn swap(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |_| value)
    }

    /// As [`AtomicU32::compare_exchange`](std::sync::atomic::AtomicU32::compare_exchange).
    ///
    /// # Errors
    /// The value, if it is not `current`.
    pub fn compare_exchange(
        self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        self.change(success, failure, |old| (old == current).then_some(new))
    }

    /// As [`AtomicU32::fetch_update`](std::sync::atomic::AtomicU32::fetch_update).
    ///
    /// # Errors
    /// The value for which `next` gave `None`.
    pub fn fetch_update(
        self,
        success: Ordering,
        failure: Ordering,
        next: impl FnMut(u32) -> Option<u32>,
    ) -> Result<u32, u32> {
        self.change(success, failure, next)
    }

    /// As [`AtomicU32::fetch_add`](std::sync::atomic::AtomicU32::fetch_add).
    pub fn fetch_add(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old.wrapping_add(value))
    }

    /// As [`AtomicU32::fetch_sub`](std::sync::atomic::AtomicU32::fetch_sub).
    pub fn fetch_sub(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old.wrapping_sub(value))
    }

    /// As [`AtomicU32::fetch_and`](std::sync::atomic::AtomicU32::fetch_and).
    pub fn fetch_and(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old & value)
    }

    /// As [`AtomicU32::fetch_or`](std::sync::atomic::AtomicU32::fetch_or).
    pub fn fetch_or(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old | value)
    }

    /// As [`AtomicU32::fetch_xor`](std::sync::atomic::AtomicU32::fetch_xor).
    pub fn fetch_xor(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old ^ value)
    }

    /// As [`AtomicU32::fetch_max`](std::sync::atomic::AtomicU32::fetch_max).
    pub fn fetch_max(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old.max(value))
    }

    /// As [`AtomicU32::fetch_min`](std::sync::atomic::AtomicU32::fetch_min).
    pub fn fetch_min(self, value: u32, order: Ordering) -> u32 {
        self.always(order, |old| old.min(value))
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    /// Word by word.
    #[derive(Debug, Clone, Copy)]
    struct Plain;

    impl CopyWords for Plain {
        fn load(words: &[AtomicU64], to: &mut [u8]) {
            words.iter().zip(to.chunks_mut(WORD)).for_each(|(word, to)| load_part(word, 0, to));
        }
        fn store(words: &[AtomicU64], from: &[u8]) {
            for (word, from) in words.iter().zip(from.chunks(WORD)) {
                word.store(from.try_into().map_or(0, u64::from_ne_bytes), Relaxed);
            }
        }
    }

    /// Two threads write parts of one word: neither changes the bytes of the other.
    #[test]
    fn parts_of_one_word_do_not_disturb_each_other() {
        loom::model(|| {
            let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
            let write = |offset: usize, bytes: &'static [u8]| {
                let words = Arc::clone(&words);
                thread::spawn(move || assert!(Words::<Plain>::new(&words[..]).store(offset, bytes)))
            };
            let writers = [write(0, &[1, 2, 3]), write(6, &[7, 8, 9])];
            Atomic32::new(&words[1], 12).fetch_add(5, Relaxed);
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            let mut all = [0; 16];
            assert!(Words::<Plain>::new(&words[..]).load(0, &mut all));
            let [a, b, c, d] = 5u32.to_ne_bytes();
            assert_eq!(all, [1, 2, 3, 0, 0, 0, 7, 8, 9, 0, 0, 0, a, b, c, d]);
        });
    }

    #[test]
    fn no_increment_of_a_half_is_lost() {
        loom::model(|| {
            let word = Arc::new(AtomicU64::new(u64::from_ne_bytes([0xff; 8])));
            let add = |offset: usize| {
                let word = Arc::clone(&word);
                thread::spawn(move || Atomic32::new(&word, offset).fetch_add(1, Relaxed))
            };
            let adders = [add(0), add(4)];
            adders.into_iter().for_each(|adder| assert_eq!(adder.join().unwrap(), u32::MAX));
            assert_eq!(word.load(Relaxed), 0);
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_an_atomic() {
        let memory = [AtomicU64::new(0)];
        for offset in [0, 4] {
            let half = Atomic32::new(&memory[0], offset);
            let other = Atomic32::new(&memory[0], 4 - offset);
            other.store(77, Relaxed);
            half.store(5, Relaxed);
            assert_eq!(half.swap(6, Relaxed), 5);
            assert_eq!(half.compare_exchange(5, 9, Relaxed, Relaxed), Err(6));
            assert_eq!(half.compare_exchange(6, 8, Relaxed, Relaxed), Ok(6));
            assert_eq!(half.fetch_add(u32::MAX, Relaxed), 8);
            assert_eq!(half.fetch_sub(8, Relaxed), 7);
            assert_eq!(half.fetch_and(0xf0, Relaxed), u32::MAX);
            assert_eq!(half.fetch_or(1, Relaxed), 0xf0);
            assert_eq!(half.fetch_xor(3, Relaxed), 0xf1);
            assert_eq!(half.fetch_max(300, Relaxed), 0xf2);
            assert_eq!(half.fetch_min(4, Relaxed), 300);
            assert_eq!(half.fetch_update(Relaxed, Relaxed, |old| (old == 4).then_some(1)), Ok(4));
            assert_eq!(half.fetch_update(Relaxed, Relaxed, |old| (old == 4).then_some(1)), Err(1));
            assert_eq!((half.load(Relaxed), other.load(Relaxed)), (1, 77));
        }
    }
}
