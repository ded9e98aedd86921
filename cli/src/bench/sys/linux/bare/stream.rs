//! Bytes of a pipe or a socket: before each message its length. One write per message, as many messages per read
//! as there are.

use std::hint::spin_loop;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};

use super::Terms;
use crate::bench::link::{Failure, Link, Received};
use crate::bench::payload::{self, Verify};

/// Length of the length, in bytes.
const PREFIX: usize = 8;
/// The least that a read asks for, in bytes.
const LEAST: usize = 64 << 10;

/// One side of a stream each way.
#[derive(Debug)]
pub(in crate::bench) struct Stream {
    input: OwnedFd,
    output: OwnedFd,
    /// Whole messages with their lengths, written at once.
    out: Vec<u8>,
    /// What was read, from `start` to `end` not yet looked at.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    spin: Option<Duration>,
    verify: Verify,
}

impl Stream {
    pub(super) fn new(terms: &Terms, input: OwnedFd, output: OwnedFd) -> io::Result<Self> {
        let spin = terms.spin();
        // Who sleeps at once leaves that to the call itself.
        if spin != Some(Duration::ZERO) {
            ioctl_fionbio(&input, true)?;
            ioctl_fionbio(&output, true)?;
        }
        let buffer = vec![0; LEAST.max(PREFIX + terms.size)];
        Ok(Self {
            input,
            output,
            out: Vec::new(),
            buffer,
            start: 0,
            end: 0,
            spin,
            verify: terms.verify,
        })
    }

    #[inline]
    fn append(&mut self, size: usize, stamp: u64) {
        let at = self.out.len();
        self.out.resize(at + PREFIX + size, 0);
        if let Some((prefix, message)) =
            self.out.get_mut(at..).and_then(|new| new.split_first_chunk_mut())
        {
            *prefix = (size as u64).to_le_bytes();
            payload::write(message, stamp);
        }
    }

    fn write_out(&mut self) -> Result<(), Failure> {
        let mut rest = self.out.as_slice();
        while !rest.is_empty() {
            let written =
                retry(&self.output, PollFlags::OUT, self.spin, || write(&self.output, rest))?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Makes sure that so many bytes lie in the buffer; false at the end of the stream.
    #[inline]
    fn have(&mut self, wanted: usize) -> Result<bool, Failure> {
        while self.end - self.start < wanted {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            } else if self.start + wanted > self.buffer.len() {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match retry(&self.input, PollFlags::IN, self.spin, || read(&self.input, &mut *room))? {
                0 => return Ok(false),
                count => self.end += count,
            }
        }
        Ok(true)
    }
}

/// Repeats a call that would block: for a while at once, then as soon as the descriptor says so.
#[inline]
fn retry(
    on: &OwnedFd,
    flags: PollFlags,
    spin: Option<Duration>,
    mut call: impl FnMut() -> Result<usize, Errno>,
) -> io::Result<usize> {
    let mut until = None;
    loop {
        match call() {
            Err(Errno::AGAIN) => {}
            Err(Errno::INTR) => continue,
            done => return Ok(done?),
        }
        let Some(spin) = spin else {
            spin_loop();
            continue;
        };
        let now = Instant::now();
        if now >= *until.get_or_insert(now + spin) {
            match poll(&mut [PollFd::new(on, flags)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Link for Stream {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        self.out.clear();
        self.append(size, stamp);
        self.write_out()
    }

    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<(), Failure> {
        self.out.clear();
        (first..first + count).for_each(|sequence| self.append(size, sequence));
        self.write_out()
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        if !self.have(PREFIX + size)? {
            return match self.end - self.start {
                0 => Ok(Received::End),
                _ => Err("the stream ended within a message".into()),
            };
        }
        let read = self.buffer.get(self.start..self.end).unwrap_or_default();
        let (prefix, rest) = read.split_at(PREFIX);
        if prefix != (size as u64).to_le_bytes() {
            return Err("a wrong length arrived".into());
        }
        let received =
            payload::check(rest.get(..size).unwrap_or_default(), size, expected, self.verify)?;
        self.start += PREFIX + size;
        Ok(received)
    }

    fn finish(self, _size: usize) -> Result<(), Failure> {
        Ok(())
    }
}
