//! What the messages of a benchmark hold, so that a lost, doubled, reordered or torn one is found.
//!
//! Sequence word, checksum word, then a body of which each cache line repeats a word of its own, made from
//! the sequence. The writer writes every byte; the checksum weighs the first word of every line.

use std::fmt;

/// The shortest message that can be checked, in bytes.
pub(crate) const MIN_SIZE: usize = 16;

/// In the sequence word: the last message of its phase.
pub(crate) const LAST: u64 = 1 << 63;

const LINE: usize = 64;

/// Why a message is not the one that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its length, in bytes.
    Length { expected: usize, found: usize },
    /// Its place in the sequence.
    Sequence { expected: u64, found: u64 },
    /// Its content.
    Checksum { sequence: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "a message of {found} bytes arrived where {expected} were sent")
            }
            Self::Sequence { expected, found } => {
                write!(f, "message {found} arrived where message {expected} was due")
            }
            Self::Checksum { sequence } => {
                write!(f, "message {sequence} arrived with a wrong checksum")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// Writes all of a message. `stamp` is its place in the sequence, with or without [`LAST`].
#[inline]
pub(crate) fn write(message: &mut [u8], stamp: u64) {
    let len = message.len();
    let Some((header, body)) = message.split_first_chunk_mut::<MIN_SIZE>() else { return };
    let mut word = mix(stamp);
    let mut sum = mix(stamp ^ len as u64);
    let (first, rest) = body.split_at_mut((LINE - MIN_SIZE).min(body.len()));
    let (lines, tail) = rest.as_chunks_mut::<LINE>();
    let mut weight = 1;
    let mut part = |part: &mut [u8]| {
        fill(part, word);
        sum = sum.wrapping_add(first_word(part).wrapping_mul(weight));
        word = word.wrapping_add(STEP);
        weight = weight.wrapping_add(2);
    };
    part(first);
    for line in lines {
        part(line);
    }
    part(tail);
    let (sequence, checksum) = header.split_at_mut(8);
    sequence.copy_from_slice(&stamp.to_le_bytes());
    checksum.copy_from_slice(&sum.to_le_bytes());
}

/// Checks a message of `size` bytes that should be number `expected`, reading a word of every cache line.
/// True if it is the [`LAST`] of its phase.
///
/// # Errors
/// What is wrong with it.
#[inline]
pub(crate) fn check(message: &[u8], size: usize, expected: u64) -> Result<bool, Fault> {
    let len = message.len();
    let Some((header, body)) = message.split_first_chunk::<MIN_SIZE>().filter(|_| len == size) else {
        return Err(Fault::Length { expected: size, found: len });
    };
    let (sequence, checksum) = header.split_at(8);
    let stamp = first_word(sequence);
    if stamp & !LAST != expected {
        return Err(Fault::Sequence { expected, found: stamp & !LAST });
    }
    let mut sum = mix(stamp ^ len as u64);
    let (first, rest) = body.split_at((LINE - MIN_SIZE).min(body.len()));
    let (lines, tail) = rest.as_chunks::<LINE>();
    let mut weight = 1;
    let mut part = |part: &[u8]| {
        sum = sum.wrapping_add(first_word(part).wrapping_mul(weight));
        weight = weight.wrapping_add(2);
    };
    part(first);
    for line in lines {
        part(line);
    }
    part(tail);
    if sum != first_word(checksum) {
        return Err(Fault::Checksum { sequence: expected });
    }
    Ok(stamp & LAST != 0)
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the sequence over all bits, so that a line of another message never fits.
#[inline]
fn mix(stamp: u64) -> u64 {
    let x = stamp.wrapping_add(STEP).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 31)
}

#[inline]
fn fill(part: &mut [u8], word: u64) {
    let bytes = word.to_le_bytes();
    let (words, tail) = part.as_chunks_mut::<8>();
    words.fill(bytes);
    for (to, from) in tail.iter_mut().zip(bytes) {
        *to = from;
    }
}

/// The first eight bytes, padded with zeros.
#[inline]
fn first_word(part: &[u8]) -> u64 {
    match part.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => part.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: [usize; 13] = [16, 17, 23, 24, 63, 64, 65, 72, 127, 128, 1000, 1024, 65536];

    #[test]
    fn what_is_written_checks() {
        for size in SIZES {
            let mut message = vec![0xaa; size];
            write(&mut message, 7);
            assert_eq!(check(&message, size, 7), Ok(false), "{size}");
            write(&mut message, 8 | LAST);
            assert_eq!(check(&message, size, 8), Ok(true), "{size}");
        }
    }

    #[test]
    fn every_byte_is_written() {
        for size in SIZES {
            let (mut a, mut b) = (vec![0x00; size], vec![0xff; size]);
            write(&mut a, 3);
            write(&mut b, 3);
            assert_eq!(a, b, "{size}");
        }
    }

    #[test]
    fn a_wrong_message_is_named() {
        let mut message = vec![0; 256];
        write(&mut message, 7);
        assert_eq!(check(&message, 256, 8), Err(Fault::Sequence { expected: 8, found: 7 }));
        assert_eq!(check(&message, 255, 7), Err(Fault::Length { expected: 255, found: 256 }));
        assert_eq!(check(&[], 16, 0), Err(Fault::Length { expected: 16, found: 0 }));
        for at in [8, 16, 64, 128, 192] {
            let mut torn = message.clone();
            torn[at] ^= 1;
            assert_eq!(check(&torn, 256, 7), Err(Fault::Checksum { sequence: 7 }), "{at}");
        }
    }

    #[test]
    fn a_line_of_another_message_or_another_place_is_found() {
        let (mut message, mut other) = (vec![0; 256], vec![0; 256]);
        write(&mut message, 7);
        write(&mut other, 6);
        for line in 1..4 {
            let mut torn = message.clone();
            torn[line * 64..][..64].copy_from_slice(&other[line * 64..][..64]);
            assert!(check(&torn, 256, 7).is_err(), "{line}");
        }
        let mut swapped = message.clone();
        swapped[64..128].copy_from_slice(&message[128..192]);
        swapped[128..192].copy_from_slice(&message[64..128]);
        assert!(check(&swapped, 256, 7).is_err());
    }

    #[test]
    fn too_short_to_write_is_left_alone() {
        let mut message = [1; 15];
        write(&mut message, 7);
        assert_eq!(message, [1; 15]);
    }
}
