//! Where a message begins and ends in the bytes of a stream: four ways that other programs have.

use std::io::Write;

use anyipc_core::{Error, ErrorKind, Operation, Result};

/// The longest piece in which a long message is received, in bytes. A shorter message comes whole.
pub const PIECE: usize = 64 << 10;
/// The longest header, in bytes: all header lines of `content-length` together.
pub const MAX_HEADER: usize = 1 << 10;
/// The most bytes before and behind a message that is sent.
pub const OVERHEAD: usize = 40;

/// How messages are told apart. Lengths count bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A line feed ends each message, and no message contains one.
    Lines,
    /// The length (u32, little-endian), then the message.
    Length32Le,
    /// The length (u32, big-endian), then the message.
    Length32Be,
    /// `Content-Length: 123\r\n\r\n`, then the message: the base protocol of language servers.
    ContentLength,
}

impl Framing {
    /// The words of `frames=`.
    pub const WORDS: &'static [&'static str] =
        &["lines", "length32le", "length32be", "content-length"];

    /// The framing with this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "lines" => Self::Lines,
            "length32le" => Self::Length32Le,
            "length32be" => Self::Length32Be,
            "content-length" => Self::ContentLength,
            _ => return None,
        })
    }

    /// Appends what stands before a message of `len` bytes.
    ///
    /// # Errors
    /// `MessageTooLarge` if the header has no room for the length.
    pub fn put_header(self, len: usize, to: &mut Vec<u8>) -> Result<()> {
        let short = || {
            u32::try_from(len).map_err(|_| {
                Error::new(Operation::Send, ErrorKind::MessageTooLarge)
                    .because(format!("{len} bytes; a length of 32 bits counts up to {}", u32::MAX))
            })
        };
        match self {
            Self::Lines => {}
            Self::Length32Le => to.extend(short()?.to_le_bytes()),
            Self::Length32Be => to.extend(short()?.to_be_bytes()),
            Self::ContentLength => {
                // A vector takes everything.
                let _ = write!(to, "Content-Length: {len}\r\n\r\n");
            }
        }
        Ok(())
    }

    /// What stands behind a message.
    pub fn trailer(self) -> &'static [u8] {
        if self == Self::Lines { b"\n" } else { b"" }
    }

    /// Checks that a message, or a part of one, can be sent.
    ///
    /// # Errors
    /// `Unsupported` for a line feed among [`Lines`](Self::Lines).
    pub fn check(self, message: &[u8]) -> Result<()> {
        if self != Self::Lines || !message.contains(&b'\n') {
            return Ok(());
        }
        Err(Error::new(Operation::Send, ErrorKind::Unsupported).because(
            "the message contains a line feed, which would end it: frames=lines takes no such \
             message, frames=length32le does",
        ))
    }

    /// Reads the header at the beginning of `bytes`: its length and the message's. `None`: more
    /// bytes are needed.
    fn header(self, bytes: &[u8]) -> Result<Option<(usize, u64)>> {
        Ok(match self {
            Self::Lines => Some((0, 0)),
            Self::Length32Le => bytes.first_chunk().map(|b| (4, u32::from_le_bytes(*b).into())),
            Self::Length32Be => bytes.first_chunk().map(|b| (4, u32::from_be_bytes(*b).into())),
            Self::ContentLength => return content_length(bytes),
        })
    }
}

/// Header lines up to an empty one, of which one is the length.
fn content_length(bytes: &[u8]) -> Result<Option<(usize, u64)>> {
    let known = bytes.get(..MAX_HEADER).unwrap_or(bytes);
    let mut rest = known;
    let mut length = None;
    while let Some(end) = position(rest, b'\n') {
        let (line, tail) = rest.split_at(end);
        rest = tail.get(1..).unwrap_or_default();
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(corrupt("a header line does not end with CR LF"));
        };
        if line.is_empty() {
            let length = length.ok_or_else(|| corrupt("a header has no Content-Length"))?;
            return Ok(Some((known.len() - rest.len(), length)));
        }
        let Some(colon) = position(line, b':') else {
            check_name(line)?;
            return Err(corrupt("a header line has no colon"));
        };
        let (name, value) = line.split_at(colon);
        check_name(name)?;
        if !name.eq_ignore_ascii_case(b"content-length") {
            continue;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let number = std::str::from_utf8(value)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|text| text.parse().ok());
        let number = number.ok_or_else(|| corrupt("a Content-Length is no number of bytes"))?;
        if length.replace(number).is_some() {
            return Err(corrupt("a header has two Content-Length"));
        }
    }
    if bytes.len() >= MAX_HEADER {
        return Err(corrupt(&format!("a header is longer than {MAX_HEADER} bytes")));
    }
    // What cannot become a header is refused before its line feed comes.
    let name = rest.split(|b| *b == b':').next().unwrap_or_default();
    check_name(name.strip_suffix(b"\r").unwrap_or(name))?;
    Ok(None)
}

/// Checks the name of a header line, or its beginning.
fn check_name(name: &[u8]) -> Result<()> {
    if name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-') {
        return Ok(());
    }
    Err(corrupt("a header was expected; frames=lines is for JSON without headers"))
}

/// Where the byte first is. Looks at a block at a time, which is several times faster than at a
/// byte.
fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    const BLOCK: usize = 256;
    let block = bytes.chunks(BLOCK).position(|block| block.contains(&byte))?;
    let rest = bytes.get(block * BLOCK..)?;
    Some(block * BLOCK + rest.iter().position(|b| *b == byte)?)
}

fn corrupt(why: &str) -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because(format!("the peer does not speak this framing (frames=): {why}"))
}

/// A message, or a piece of one, at the beginning of the bytes that were decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Bytes before it.
    pub start: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Bytes behind it that belong to it.
    pub trailer: usize,
    /// True if more of the message follows.
    pub more: bool,
}

/// Finds the messages in the bytes of a stream. Keeps no bytes.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// The longest message, in bytes.
    max: u64,
    /// Bytes of the present message that are still to come; with lines, that came already. `None`
    /// between two messages.
    inside: Option<u64>,
    /// With lines: bytes of the next call that are known to have no line feed.
    scanned: usize,
}

impl Decoder {
    /// Decodes messages of up to `max` bytes.
    pub fn new(framing: Framing, max: u64) -> Self {
        Self { framing, max, inside: None, scanned: 0 }
    }

    /// True if the stream ended inside a message, with these bytes left over.
    pub fn is_inside(&self, rest: &[u8]) -> bool {
        self.inside.is_some() || !rest.is_empty()
    }

    /// The piece at the beginning of `bytes`; `None` if more bytes are needed, of which
    /// [`PIECE`] + [`MAX_HEADER`] are always enough. The next call gets the bytes behind the piece,
    /// or the same ones and more.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no message in this framing, and for a message over the limit.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<Piece>> {
        if self.framing == Framing::Lines {
            self.next_line(bytes)
        } else {
            self.next_counted(bytes)
        }
    }

    fn next_counted(&mut self, bytes: &[u8]) -> Result<Option<Piece>> {
        let (start, left) = match self.inside {
            Some(left) => (0, left),
            None => {
                let Some((start, len)) = self.framing.header(bytes)? else { return Ok(None) };
                self.check(len)?;
                (start, len)
            }
        };
        let there = bytes.len().saturating_sub(start);
        let whole = usize::try_from(left).ok().filter(|left| *left <= PIECE);
        let (len, more) = match whole {
            Some(len) => (len, false),
            None => (PIECE, true),
        };
        if there < len {
            return Ok(None);
        }
        self.inside = more.then(|| left - len as u64);
        Ok(Some(Piece { start, len, trailer: 0, more }))
    }

    fn next_line(&mut self, bytes: &[u8]) -> Result<Option<Piece>> {
        let before = self.inside.unwrap_or(0);
        let unknown = bytes.get(self.scanned..).unwrap_or_default();
        if let Some(at) = position(unknown, b'\n').map(|at| self.scanned + at)
            && at <= PIECE
        {
            self.check(before.saturating_add(at as u64))?;
            (self.inside, self.scanned) = (None, 0);
            return Ok(Some(Piece { start: 0, len: at, trailer: 1, more: false }));
        }
        self.check(before.saturating_add(bytes.len().min(PIECE) as u64))?;
        if bytes.len() <= PIECE {
            self.scanned = bytes.len();
            return Ok(None);
        }
        (self.inside, self.scanned) = (Some(before + PIECE as u64), 0);
        Ok(Some(Piece { start: 0, len: PIECE, trailer: 0, more: true }))
    }

    fn check(&self, len: u64) -> Result<()> {
        if len <= self.max {
            return Ok(());
        }
        let max = self.max;
        Err(Error::new(Operation::Receive, ErrorKind::Corrupt).because(format!(
            "the peer sent a message longer than max_message={max}; raise it here, or is frames= \
             another one there?"
        )))
    }
}

#[cfg(test)]
mod tests;
