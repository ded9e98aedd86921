//! Messages over a stream of bytes, as cheaply as can be: a length of four bytes before each, one write for a message
//! or a batch, one read for what is there, and no copy out of the buffer that it was read into.

use std::io::{self, Read, Write};

use crate::Result;
use crate::job::{BATCH, Job, Pattern};
use crate::link::Link;
use crate::payload::{check, write};

/// Bytes before each message.
const PREFIX: usize = 4;
/// Bytes that one read takes at most, where no message is longer.
const READ: usize = 64 << 10;

/// Messages as they lie in a buffer that one write sends.
pub(super) struct Outgoing {
    frames: Vec<u8>,
    pattern: Pattern,
}

impl Outgoing {
    pub(super) fn new(job: &Job, batch: u64) -> Self {
        let frame = PREFIX + job.size;
        let mut frames = vec![0; frame * batch as usize];
        for frame in frames.chunks_exact_mut(frame) {
            frame[..PREFIX].copy_from_slice(&(job.size as u32).to_le_bytes());
        }
        Self { frames, pattern: job.pattern }
    }

    /// The bytes of a message, or of as many as were made room for.
    #[inline]
    pub(super) fn fill(&mut self, first: u64, size: usize) -> &[u8] {
        for (frame, number) in self.frames.chunks_exact_mut(PREFIX + size).zip(first..) {
            write(&mut frame[PREFIX..], number, self.pattern);
        }
        &self.frames
    }
}

/// What was read, and not taken yet.
pub(super) struct Incoming {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Incoming {
    pub(super) fn new(job: &Job) -> Self {
        Self { buffer: vec![0; READ.max(PREFIX + job.size)], start: 0, end: 0 }
    }

    /// The next message, if all of it was read.
    #[inline]
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let (prefix, rest) = self.buffer[self.start..self.end].split_first_chunk::<PREFIX>()?;
        let length = u32::from_le_bytes(*prefix) as usize;
        let message = rest.get(..length)?;
        self.start += PREFIX + length;
        Some(message)
    }

    /// Where more is to be read to.
    #[inline]
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.buffer[self.end..]
    }

    /// So much was read.
    #[inline]
    pub(super) fn read(&mut self, length: usize) -> io::Result<()> {
        self.end += length;
        if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

/// Messages over a stream that blocks.
pub(super) struct Framed<S> {
    stream: S,
    one: Outgoing,
    many: Outgoing,
    incoming: Incoming,
    size: usize,
}

impl<S: Read + Write> Framed<S> {
    pub(super) fn new(stream: S, job: &Job) -> Self {
        let [one, many] = [1, BATCH].map(|batch| Outgoing::new(job, batch));
        Self { stream, one, many, incoming: Incoming::new(job), size: job.size }
    }
}

impl<S: Read + Write> Link for Framed<S> {
    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        Ok(self.stream.write_all(self.one.fill(number, self.size))?)
    }

    fn send_batch(&mut self, first: u64) -> Result<()> {
        Ok(self.stream.write_all(self.many.fill(first, self.size))?)
    }

    #[inline]
    fn receive(&mut self, number: Option<u64>) -> Result<()> {
        loop {
            if let Some(message) = self.incoming.next() {
                return check(message, self.size, number);
            }
            let length = self.stream.read(self.incoming.room())?;
            self.incoming.read(length)?;
        }
    }
}
