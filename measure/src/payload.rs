//! What a message holds, so that a lost, doubled, reordered or torn one is found.
//!
//! Sequence word, check word (made from sequence and length), then a body: each cache line repeats
//! a word of its own, made from the sequence. `benches/others/src/contenders/side.h` does the same.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The shortest message that can be checked, in bytes.
pub const MIN_SIZE: usize = 16;

/// Bit of the sequence word: the last message of its phase.
pub const LAST: u64 = 1 << 63;

/// The sequence word of a message that ends the connection.
pub const END: u64 = 1 << 62;

/// In place of an expected number: any.
pub const ANY: u64 = u64::MAX;

/// The lowest bit of the sender's number in the sequence word.
const SENDER: u32 = 48;

/// The most senders that one receiver can tell apart.
pub const MOST_SENDERS: u16 = 64;

/// Length of the sequence word, in bytes.
pub const SEQUENCE: usize = 8;

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// What of a message is written or checked besides its length and its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// Every byte.
    Full,
    /// A word of every cache line.
    Line,
}

/// The place of a received message in its phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// More will follow.
    Message,
    /// The last one of a phase.
    Last,
    /// No message: the other side has ended the connection.
    End,
}

/// The difference between the message that arrived and the one that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The length.
    Length {
        /// Bytes that were sent.
        expected: usize,
        /// Bytes that arrived.
        found: usize,
    },
    /// The place in the sequence.
    Sequence {
        /// The number that was due.
        expected: u64,
        /// The number that arrived.
        found: u64,
    },
    /// The content.
    Content {
        /// The message's number.
        sequence: u64,
    },
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
            Self::Content { sequence } => {
                write!(f, "message {sequence} arrived with wrong content")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// The stamp with the number of one of several senders in it.
#[inline]
pub const fn numbered(sender: u64, stamp: u64) -> u64 {
    stamp | sender << SENDER
}

/// The number of the sender that wrote a message.
#[inline]
pub fn sender_of(message: &[u8]) -> usize {
    ((first_word(message) & !(LAST | END)) >> SENDER) as usize
}

/// Writes a message; one that is too short to be checked is left alone. `stamp` is its place in
/// the sequence, with or without [`LAST`], or [`END`].
#[inline]
pub fn write(message: &mut [u8], stamp: u64, written: Coverage) {
    if message.len() < MIN_SIZE {
        return;
    }
    let Some((sequence, rest)) = message.split_first_chunk_mut::<SEQUENCE>() else { return };
    match written {
        Coverage::Full => write_rest(rest, stamp),
        Coverage::Line => write_parts(rest, stamp, |part, word| {
            let len = part.len().min(8);
            fill(part.get_mut(..len).unwrap_or_default(), word);
        }),
    }
    *sequence = stamp.to_le_bytes();
}

/// Writes every byte of a message after its sequence word.
#[inline]
pub fn write_rest(rest: &mut [u8], stamp: u64) {
    write_parts(rest, stamp, fill);
}

#[inline]
fn write_parts(rest: &mut [u8], stamp: u64, fill: impl Fn(&mut [u8], u64)) {
    let len = rest.len();
    let Some((check, body)) = rest.split_first_chunk_mut::<8>() else { return };
    *check = mix(stamp ^ len as u64).to_le_bytes();
    let mut word = mix(stamp);
    let (first, lines) = body.split_at_mut((LINE - MIN_SIZE).min(body.len()));
    fill(first, word);
    let (lines, tail) = lines.as_chunks_mut::<LINE>();
    for line in lines {
        word = word.wrapping_add(STEP);
        fill(line, word);
    }
    fill(tail, word.wrapping_add(STEP));
}

/// Checks a message that should have `size` bytes and the number `expected`, or [`ANY`].
///
/// # Errors
/// The first fault found.
#[inline]
pub fn check(
    message: &[u8],
    size: usize,
    expected: u64,
    checked: Coverage,
) -> Result<Received, Fault> {
    let len = message.len();
    let whole = len == size && len >= MIN_SIZE;
    let Some((sequence, rest)) = message.split_first_chunk::<SEQUENCE>().filter(|_| whole) else {
        return Err(Fault::Length { expected: size, found: len });
    };
    let stamp = u64::from_le_bytes(*sequence);
    if stamp != END && stamp & !LAST != expected && expected != ANY {
        return Err(Fault::Sequence { expected, found: stamp & !LAST });
    }
    check_rest(rest, stamp, checked)
}

/// Checks a message after its sequence word, which was `stamp`.
///
/// # Errors
/// The content is wrong.
#[inline]
pub fn check_rest(rest: &[u8], stamp: u64, checked: Coverage) -> Result<Received, Fault> {
    match checked {
        Coverage::Full => check_parts(rest, stamp, every_byte),
        Coverage::Line => check_parts(rest, stamp, one_word),
    }
}

/// `differs` returns 0 for a part that repeats this word.
#[inline]
fn check_parts(
    rest: &[u8],
    stamp: u64,
    differs: impl Fn(&[u8], u64) -> u64,
) -> Result<Received, Fault> {
    let mut word = mix(stamp);
    let mut wrong = first_word(rest) ^ mix(stamp ^ rest.len() as u64);
    let body = rest.get(8..).unwrap_or_default();
    let (first, lines) = body.split_at((LINE - MIN_SIZE).min(body.len()));
    wrong |= differs(first, word);
    let (lines, tail) = lines.as_chunks::<LINE>();
    for line in lines {
        word = word.wrapping_add(STEP);
        wrong |= differs(line, word);
    }
    wrong |= differs(tail, word.wrapping_add(STEP));
    match stamp {
        _ if wrong != 0 => Err(Fault::Content { sequence: stamp & !LAST }),
        END => Ok(Received::End),
        _ if stamp & LAST != 0 => Ok(Received::Last),
        _ => Ok(Received::Message),
    }
}

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads the sequence over all bits, so that a line of another message does not match.
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

/// 0 if every byte of the part is what [`fill`] writes.
#[inline]
fn every_byte(part: &[u8], word: u64) -> u64 {
    let (words, tail) = part.as_chunks::<8>();
    let wrong = words.iter().fold(0, |wrong, found| wrong | (u64::from_le_bytes(*found) ^ word));
    wrong | one_word(tail, word)
}

/// 0 if the first word of the part is what [`fill`] writes.
#[inline]
fn one_word(part: &[u8], word: u64) -> u64 {
    match part.len() {
        8.. => first_word(part) ^ word,
        short => first_word(part) ^ (word & !(u64::MAX << (8 * short))),
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
    const BOTH: [Coverage; 2] = [Coverage::Full, Coverage::Line];

    #[test]
    fn what_is_written_checks() {
        for (size, checked) in
            SIZES.into_iter().flat_map(|size| BOTH.map(|checked| (size, checked)))
        {
            let mut message = vec![0xaa; size];
            write(&mut message, 7, Coverage::Full);
            assert_eq!(check(&message, size, 7, checked), Ok(Received::Message), "{size}");
            write(&mut message, 8 | LAST, Coverage::Full);
            assert_eq!(check(&message, size, 8, checked), Ok(Received::Last), "{size}");
            write(&mut message, END, Coverage::Full);
            assert_eq!(check(&message, size, 9, checked), Ok(Received::End), "{size}");
            write(&mut message, 1000, Coverage::Full);
            assert_eq!(check(&message, size, ANY, checked), Ok(Received::Message), "{size}");
        }
    }

    #[test]
    fn a_word_of_each_line_is_enough_to_check_those() {
        for size in SIZES {
            let mut message = vec![0xaa; size];
            write(&mut message, 7, Coverage::Line);
            assert_eq!(check(&message, size, 7, Coverage::Line), Ok(Received::Message), "{size}");
            let complete = check(&message, size, 7, Coverage::Full).is_ok();
            assert_eq!(complete, size <= 24, "{size}");
        }
    }

    #[test]
    fn every_byte_is_written_and_checked() {
        for size in SIZES {
            let (mut a, mut b) = (vec![0x00; size], vec![0xff; size]);
            write(&mut a, 3, Coverage::Full);
            write(&mut b, 3, Coverage::Full);
            assert_eq!(a, b, "{size}");
            for at in (0..size).take(1024) {
                a[at] ^= 0x10;
                assert!(check(&a, size, 3, Coverage::Full).is_err(), "{at} of {size}");
                a[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn a_wrong_message_is_named() {
        let mut message = vec![0; 256];
        write(&mut message, 7, Coverage::Full);
        for checked in BOTH {
            let check = |message: &[u8], size, expected| check(message, size, expected, checked);
            assert_eq!(check(&message, 256, 8), Err(Fault::Sequence { expected: 8, found: 7 }));
            assert_eq!(check(&message, 255, 7), Err(Fault::Length { expected: 255, found: 256 }));
            assert_eq!(check(&[], 16, 0), Err(Fault::Length { expected: 16, found: 0 }));
            for at in [8, 16, 64, 128, 192] {
                let mut torn = message.clone();
                torn[at] ^= 1;
                assert_eq!(check(&torn, 256, 7), Err(Fault::Content { sequence: 7 }), "{at}");
            }
        }
    }

    #[test]
    fn a_line_of_another_message_or_another_place_is_found() {
        let (mut message, mut other) = (vec![0; 256], vec![0; 256]);
        write(&mut message, 7, Coverage::Full);
        write(&mut other, 6, Coverage::Full);
        for checked in BOTH {
            for line in 1..4 {
                let mut torn = message.clone();
                torn[line * 64..][..64].copy_from_slice(&other[line * 64..][..64]);
                assert!(check(&torn, 256, 7, checked).is_err(), "{line}");
            }
            let mut swapped = message.clone();
            swapped[64..128].copy_from_slice(&message[128..192]);
            swapped[128..192].copy_from_slice(&message[64..128]);
            assert!(check(&swapped, 256, 7, checked).is_err());
        }
    }

    #[test]
    fn messages_name_their_sender() {
        let mut message = [0; 64];
        for sender in [0, 1, u64::from(MOST_SENDERS) - 1] {
            for stamp in [7, 7 | LAST] {
                write(&mut message, numbered(sender, stamp), Coverage::Full);
                assert_eq!(sender_of(&message), sender as usize);
                assert!(check(&message, 64, numbered(sender, 7), Coverage::Full).is_ok());
                assert!(check(&message, 64, numbered(sender + 1, 7), Coverage::Full).is_err());
            }
        }
        write(&mut message, END, Coverage::Full);
        assert_eq!(sender_of(&message), 0);
    }

    #[test]
    fn too_short_to_write_is_left_alone() {
        let mut message = [1; 15];
        write(&mut message, 7, Coverage::Full);
        assert_eq!(message, [1; 15]);
    }
}
