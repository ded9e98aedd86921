//! What a connector writes into an owner's FIFO: one line with its connection id, in one atomic
//! write. The line also begins with a newline, which ends an incomplete line that another process
//! left there.

use std::fmt;
use std::io;

use crate::fifos::sys::Fifo;

const HEADING: &str = "anyipc-pipe 1 ";
/// The length of a connection id: hexadecimal digits.
pub(crate) const CONNECTION_ID: usize = 32;
/// The length of a request's line, in bytes.
const LINE_LEN: usize = HEADING.len() + CONNECTION_ID;
/// The most reads of one call, so that a process that never stops writing cannot hold the owner.
const READS: usize = 16;

/// The line of a connector.
pub(crate) fn line(connection_id: &str) -> String {
    format!("\n{HEADING}{connection_id}\n")
}

/// True if this has the form of a connection id, so that it may be a part of a file name.
pub(crate) fn is_connection_id(text: &str) -> bool {
    text.len() == CONNECTION_ID
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A line in an owner's FIFO.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The connection id of a connector.
    Request(String),
    /// No line of a connector.
    Garbage,
}

/// The lines of an owner's FIFO.
pub(crate) struct Requests {
    ahead: Box<[u8; 4096]>,
    /// `start..end` of `ahead` is not scanned yet.
    start: usize,
    end: usize,
    /// The beginning of the present line, at most one byte more than a request has.
    line: Vec<u8>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            ahead: Box::new([0; 4096]),
            start: 0,
            end: 0,
            line: Vec::with_capacity(LINE_LEN + 1),
        }
    }
}

impl Requests {
    /// True if bytes were read and not scanned.
    pub(crate) fn has_more(&self) -> bool {
        self.start < self.end
    }

    /// The next line, if a whole one is there.
    pub(crate) fn next(&mut self, listener: &Fifo) -> io::Result<Option<Line>> {
        for _ in 0..READS {
            if let Some(line) = self.scan() {
                return Ok(Some(line));
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

    /// The next whole line among the bytes that were read.
    fn scan(&mut self) -> Option<Line> {
        while let Some(&byte) = self.ahead.get(self.start..self.end).and_then(<[u8]>::first) {
            self.start += 1;
            if byte != b'\n' {
                if self.line.len() <= LINE_LEN {
                    self.line.push(byte);
                }
            } else if !self.line.is_empty() {
                let line = read(&self.line);
                self.line.clear();
                return Some(line);
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

fn read(line: &[u8]) -> Line {
    let connection_id = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix(HEADING));
    match connection_id.filter(|connection_id| is_connection_id(connection_id)) {
        Some(connection_id) => Line::Request(connection_id.to_owned()),
        None => Line::Garbage,
    }
}
