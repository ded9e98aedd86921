//! What lies on the pipe: frames of a length (u32), the number of tokens (u8), the tokens, and the
//! bytes. A token stands for memory, as a descriptor does elsewhere.

use std::io;

use anyipc_os::Token;

/// The most tokens of a frame.
pub(super) const MAX_TOKENS: usize = 4;
/// Length and number of tokens.
const HEADER: usize = 5;
/// The most bytes that are kept before they are taken: more than the longest beginning of a frame.
const MAX_KEPT: usize = 4096;

/// What comes before the bytes of a frame.
pub(super) fn header(len: usize, tokens: &[&Token]) -> io::Result<Vec<u8>> {
    let len = u32::try_from(len).ok().filter(|len| *len > 0);
    let (Some(len), true) = (len, tokens.len() <= MAX_TOKENS) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut header = len.to_le_bytes().to_vec();
    header.push(tokens.len() as u8);
    tokens.iter().for_each(|token| header.extend(token.as_str().as_bytes()));
    Ok(header)
}

/// What came off the pipe and was not taken yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    kept: Vec<u8>,
    /// Bytes of the present frame that were not taken yet.
    left: usize,
}

impl Incoming {
    /// True if no more may be kept until some is taken.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_KEPT
    }

    /// Keeps what came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
    }

    /// The next bytes that stand before all frames, once they are all there.
    pub(super) fn take_plain(&mut self, len: usize) -> Option<Vec<u8>> {
        (self.kept.len() >= len).then(|| self.kept.drain(..len).collect())
    }

    /// Takes bytes of one frame, and all tokens of a frame with its first byte. 0: nothing is
    /// there.
    ///
    /// # Errors
    /// `InvalidData` for what no honest peer says, also for more than `most_tokens`.
    pub(super) fn take(
        &mut self,
        bytes: &mut [u8],
        most_tokens: usize,
        tokens: &mut Vec<Token>,
    ) -> io::Result<usize> {
        if self.left == 0 && !self.begin(most_tokens, tokens)? {
            return Ok(0);
        }
        let count = self.left.min(self.kept.len()).min(bytes.len());
        for (to, from) in bytes.iter_mut().zip(self.kept.drain(..count)) {
            *to = from;
        }
        self.left -= count;
        Ok(count)
    }

    /// Begins with the next frame, once its beginning and first byte are there.
    fn begin(&mut self, most_tokens: usize, tokens: &mut Vec<Token>) -> io::Result<bool> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let Some([a, b, c, d, count]) = self.kept.first_chunk::<HEADER>().copied() else {
            return Ok(false);
        };
        let (len, count) = (u32::from_le_bytes([a, b, c, d]) as usize, usize::from(count));
        if len == 0 || count > most_tokens.min(MAX_TOKENS) {
            return Err(invalid());
        }
        let Some(named) = self.kept.get(HEADER..HEADER + count * Token::LEN) else {
            return Ok(false);
        };
        for token in named.chunks_exact(Token::LEN) {
            tokens.push(Token::parse(token).ok_or_else(invalid)?);
        }
        if self.kept.len() == HEADER + named.len() {
            tokens.truncate(tokens.len() - count);
            return Ok(false);
        }
        self.kept.drain(..HEADER + count * Token::LEN);
        self.left = len;
        Ok(true)
    }
}
