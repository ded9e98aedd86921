//! What a connector writes into an owner's FIFO: one line with its connection_id, in one atomic write. It begins with a
//! newline as well, so that whatever someone else left there before it ends there.

use std::fmt;
use std::io;

use crate::fifos::sys::Fifo;

const HEADING: &str = "anyipc-pipe 1 ";
/// Hexadecimal digits of a connection_id.
pub(crate) const CONNECTION_ID: usize = 32;
/// Bytes of a request's line.
const LINE: usize = HEADING.len() + CONNECTION_ID;
/// How often one look reads, so that who never stops writing does not hold the owner.
const READS: usize = 16;

/// A connector's line.
pub(crate) fn line(connection_id: &str) -> String {
    format!("\n{HEADING}{connection_id}\n")
}

/// Whether this may be a connection_id, and so a part of a file's name.
pub(crate) fn is_connection_id(text: &str) -> bool {
    text.len() == CONNECTION_ID
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// One line that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A connector's connection_id.
    Request(String),
    /// Nothing of ours.
    Garbage,
}

/// The lines of an owner's FIFO.
pub(crate) struct Requests {
    ahead: Box<[u8; 4096]>,
    /// `start..end` of `ahead` is not looked at yet.
    start: usize,
    end: usize,
    /// The line so far; one byte more than a request's is enough to know that it is none.
    line: Vec<u8>,
}

impl Default for Requests {
    fn default() -> Self {
        Self { ahead: Box::new([0; 4096]), start: 0, end: 0, line: Vec::with_capacity(LINE + 1) }
    }
}

impl Requests {
    /// Whether something was read and not looked at.
    pub(crate) fn has_more(&self) -> bool {
        self.start < self.end
    }

    /// The next line, if one is there.
    pub(crate) fn next(&mut self, listener: &Fifo) -> io::Result<Option<Heard>> {
        for _ in 0..READS {
            if let Some(heard) = self.scan() {
                return Ok(Some(heard));
            }
            match listener.read(&mut *self.ahead) {
                Ok(got) => (self.start, self.end) = (0, got),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The next line of what was read.
    fn scan(&mut self) -> Option<Heard> {
        while let Some(&byte) = self.ahead.get(self.start..self.end).and_then(<[u8]>::first) {
            self.start += 1;
            if byte != b'\n' {
                if self.line.len() <= LINE {
                    self.line.push(byte);
                }
            } else if !self.line.is_empty() {
                let heard = read(&self.line);
                self.line.clear();
                return Some(heard);
            }
        }
        None
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("unread", &(self.end - self.start)).finish_non_exhaustive()
    }
}

fn read(line: &[u8]) -> Heard {
    let connection_id = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(HEADING));
    match connection_id.filter(|connection_id| is_connection_id(connection_id)) {
        Some(connection_id) => Heard::Request(connection_id.to_owned()),
        None => Heard::Garbage,
    }
}
