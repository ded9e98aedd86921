//! What messages hold: each cache line repeats a word of its own, made from the message's number. `contenders/side.h`
//! does the same.

use crate::Result;
use crate::job::Pattern;

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The word of a message's first line; each line has one more than that before.
pub(crate) fn word(number: u64) -> u64 {
    number.wrapping_mul(STEP)
}

/// Writes message `number`: all of it, or what the pattern writes.
#[inline]
pub(crate) fn write(message: &mut [u8], number: u64, pattern: Pattern) {
    let (lines, _) = message.as_chunks_mut::<LINE>();
    for (line, at) in lines.iter_mut().zip(0..) {
        let word = word(number).wrapping_add(at).to_le_bytes();
        let (words, _) = line.as_chunks_mut::<8>();
        match pattern {
            Pattern::Words => words[0] = word,
            _ => words.fill(word),
        }
    }
}

/// Reads a word of each line, and checks that they are those of message `number`, or of any if there is none.
#[inline]
pub(crate) fn check(message: &[u8], size: usize, number: Option<u64>) -> Result<()> {
    let (lines, rest) = message.as_chunks::<LINE>();
    let word_of =
        |line: &[u8; LINE]| u64::from_le_bytes(*line.as_chunks::<8>().0.first().unwrap_or(&[0; 8]));
    let first = number.map(word).or(lines.first().map(word_of)).unwrap_or_default();
    let wrong = lines
        .iter()
        .zip(0..)
        .fold(0, |wrong, (line, at)| wrong | (word_of(line) ^ first.wrapping_add(at)));
    if wrong != 0 || message.len() != size || !rest.is_empty() {
        return Err(format!(
            "message {number:?} of {size} bytes arrived wrong, with {}",
            message.len()
        )
        .into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_checks_and_nothing_else_does() {
        let mut message = vec![0; 256];
        for pattern in [Pattern::Stream, Pattern::Words] {
            write(&mut message, 7, pattern);
            check(&message, 256, Some(7)).unwrap();
            check(&message, 256, None).unwrap();
            assert!(check(&message, 256, Some(6)).is_err());
            assert!(check(&message, 320, Some(7)).is_err());
            message[128] ^= 1;
            assert!(check(&message, 256, None).is_err());
        }
    }
}
