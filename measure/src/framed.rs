//! Messages over a stream of bytes, as cheaply as possible: a length of four bytes before each,
//! one write for a message or a batch, one read for all bytes there, no copy out of the buffer.

use std::io::{Read, Write};

use crate::Result;
use crate::link::Link;
use crate::payload::{self, Coverage, Received};

/// Bytes of the length before each message.
const PREFIX: usize = 4;
/// Bytes that one read asks for at least.
const READ: usize = 64 << 10;

/// Messages and their lengths, laid out for one write.
#[derive(Debug, Default)]
pub struct Outgoing(Vec<u8>);

impl Outgoing {
    /// The bytes of `count` messages of `size` bytes, numbered from `first`.
    #[inline]
    pub fn fill(&mut self, size: usize, first: u64, count: usize) -> &[u8] {
        let frame = PREFIX + size;
        if self.0.len() < frame * count {
            self.0.resize(frame * count, 0);
        }
        let (frames, _) = self.0.split_at_mut(frame * count);
        for (frame, stamp) in frames.chunks_exact_mut(frame).zip(first..) {
            let (prefix, message) = frame.split_at_mut(PREFIX);
            prefix.copy_from_slice(&(size as u32).to_le_bytes());
            payload::write(message, stamp, Coverage::Full);
        }
        frames
    }
}

/// Bytes that were read and not yet taken.
#[derive(Debug)]
pub struct Incoming {
    buffer: Vec<u8>,
    /// The bytes not yet taken are `buffer[start..end]`.
    start: usize,
    end: usize,
}

impl Incoming {
    /// Room for messages of up to `size` bytes, and for the confirmation of a stream.
    pub fn new(size: usize) -> Self {
        Self { buffer: vec![0; READ.max(PREFIX + size)], start: 0, end: 0 }
    }

    /// The next message, if all of it was read.
    #[inline]
    pub fn take(&mut self) -> Option<&[u8]> {
        let unread = self.buffer.get(self.start..self.end)?;
        let (prefix, rest) = unread.split_first_chunk::<PREFIX>()?;
        let length = u32::from_le_bytes(*prefix) as usize;
        let message = rest.get(..length)?;
        self.start += PREFIX + length;
        Some(message)
    }

    /// Where the next read goes. Call it when [`take`](Self::take) has no more: it moves the part
    /// of a message that was read to the beginning.
    #[inline]
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Counts the bytes that a read put into [`room`](Self::room). False at the end of the
    /// stream.
    ///
    /// # Errors
    /// The stream ended within a message.
    #[inline]
    pub fn filled(&mut self, length: usize) -> Result<bool> {
        self.end += length;
        match length {
            0 if self.end > self.start => Err("the stream ended within a message".into()),
            length => Ok(length > 0),
        }
    }
}

/// One end of a stream with blocking reads and writes.
#[derive(Debug)]
pub struct Framed<S> {
    stream: S,
    outgoing: Outgoing,
    incoming: Incoming,
    checked: Coverage,
}

impl<S: Read + Write> Framed<S> {
    /// Over this stream, for messages of up to `size` bytes.
    pub fn new(stream: S, size: usize, checked: Coverage) -> Self {
        Self { stream, outgoing: Outgoing::default(), incoming: Incoming::new(size), checked }
    }
}

impl<S: Read + Write> Link for Framed<S> {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<()> {
        Ok(self.stream.write_all(self.outgoing.fill(size, stamp, 1))?)
    }

    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<()> {
        Ok(self.stream.write_all(self.outgoing.fill(size, first, usize::try_from(count)?))?)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received> {
        loop {
            if let Some(message) = self.incoming.take() {
                return Ok(payload::check(message, size, expected, self.checked)?);
            }
            let length = self.stream.read(self.incoming.room())?;
            if !self.incoming.filled(length)? {
                return Ok(Received::End);
            }
        }
    }
}
