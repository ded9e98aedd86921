use std::io;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, Interest, Operation, RecvHalf, Result, Source,
    Wait, Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::stream::Incoming;
use crate::wire::{self, MAX_ENCODED, Word};

/// The receiving half of a channel over a byte stream: it reads ahead, and takes frames out of its
/// buffer.
#[derive(Debug)]
pub struct FrameReceiver<I: Incoming> {
    stream: I,
    /// The fork generation of the process that has the channel.
    generation: u32,
    /// Bytes that were read ahead; `start..end` of it is not received yet. Empty until the first
    /// read, then as long as the longest frame.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// True if the last read emptied the stream.
    drained: bool,
    /// Set for good once nothing can be received any more: the kind of every later error.
    end_kind: Option<ErrorKind>,
    /// An error of a read in `park`, for the next try to return.
    failure: Option<Error>,
    /// True if the last try stopped after [`READS`].
    interrupted: bool,
}

/// The most reads of one try, so that a peer that sends a frame byte by byte cannot prolong a call.
const READS: u32 = 64;

impl<I: Incoming> FrameReceiver<I> {
    /// Receives from this stream.
    pub fn new(stream: I) -> Self {
        let (generation, buffer) = (generation(), Box::default());
        Self {
            stream,
            generation,
            buffer,
            start: 0,
            end: 0,
            drained: false,
            end_kind: None,
            failure: None,
            interrupted: false,
        }
    }

    /// The flags and payload of the next frame, if it was read ahead whole.
    #[inline]
    fn ahead(&mut self) -> Option<(Flags, &[u8])> {
        if self.generation != generation() {
            return None;
        }
        let (flags, frame) = wire::whole(self.buffer.get(self.start..self.end)?)?;
        self.start += FRAME_HEADER + frame.len();
        Some((flags, frame))
    }

    /// The same for a frame that was not. Kept apart with its callers, so that the path of one that
    /// was read ahead stays short.
    fn read_ahead(&mut self) -> Result<(Flags, &[u8])> {
        check_generation(self.generation, Operation::Receive)?;
        let mut reads = 0;
        let mut marks = 0;
        while wire::whole(self.buffer.get(self.start..self.end).unwrap_or_default()).is_none() {
            if let Some(kind) = self.end_kind {
                return Err(Error::new(Operation::Receive, kind));
            }
            if self.check_header(&mut marks)? {
                continue;
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if reads == READS {
                self.interrupted = true;
                return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
            }
            reads += 1;
            self.read(None)?;
        }
        self.ahead().ok_or(Error::new(Operation::Receive, ErrorKind::Forked))
    }

    #[inline(never)]
    fn read_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let (flags, frame) = self.read_ahead()?;
        read(flags, frame);
        Ok(())
    }

    #[inline(never)]
    fn read_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let (flags, frame) = self.read_ahead()?;
        buffer.extend_from_slice(frame);
        Ok(flags)
    }

    /// Takes a goodbye or a mark at the start. True if there was one. An honest sender sends at
    /// most one mark before its next frame.
    fn check_header(&mut self, marks: &mut usize) -> Result<bool> {
        let there = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some(header) = there.first_chunk() else { return Ok(false) };
        let fault = match wire::word(*header) {
            Ok(Word::Frame) => return Ok(false),
            Ok(Word::Bye) => {
                self.end_kind = Some(ErrorKind::Closed);
                return Ok(true);
            }
            Ok(Word::Mark) if *marks == 0 && self.stream.answer_mark() => {
                *marks += 1;
                self.start += FRAME_HEADER;
                return Ok(true);
            }
            Ok(Word::Mark) => Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("a mark among the frames that no sender may send there"),
            Err(error) => error,
        };
        self.end_kind = Some(ErrorKind::Corrupt);
        Err(fault)
    }

    /// Reads what is there behind the unreceived bytes; with a timeout, blocks until something is
    /// there.
    fn read(&mut self, timeout: Option<Duration>) -> Result<()> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; MAX_ENCODED].into();
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let got = match timeout {
            Some(timeout) => self.stream.recv_within(room, timeout),
            None => self.stream.recv(room),
        };
        let room = room.len();
        let took_all = match &got {
            Ok(got) => *got < room,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        self.drained = took_all && self.stream.drains();
        match got {
            // An end inside a frame is not orderly.
            Ok(0) if self.start == self.end && self.stream.ended_orderly() => {
                self.end_kind = Some(ErrorKind::Closed);
            }
            Ok(0) => self.end_kind = Some(ErrorKind::PeerGone),
            Ok(got) => self.end += got,
            Err(error) => match ErrorKind::of_io(&error) {
                ErrorKind::WouldBlock => {
                    return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
                }
                // A connection that timed out has a peer that no longer answers.
                ErrorKind::PeerGone | ErrorKind::TimedOut => {
                    self.end_kind = Some(ErrorKind::PeerGone)
                }
                _ if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return Err(Error::io(Operation::Receive, "receiving", error)),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
impl<I: Incoming> FrameReceiver<I> {
    /// The length of the buffer, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.len()
    }
}

impl<I: Incoming> RecvHalf for FrameReceiver<I> {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        if let Some((flags, frame)) = self.ahead() {
            read(flags, frame);
            return Ok(());
        }
        self.read_with(read)
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        if let Some((flags, frame)) = self.ahead() {
            buffer.extend_from_slice(frame);
            return Ok(flags);
        }
        self.read_into(buffer)
    }
}

impl<I: Incoming> Wait for FrameReceiver<I> {
    fn source(&self) -> Result<Source> {
        Ok(self.stream.source())
    }

    fn drained(&self) -> bool {
        // With bytes in the buffer there may be something to do without the stream.
        self.drained
            && self.start == self.end
            && self.end_kind.is_none()
            && self.failure.is_none()
            && !self.interrupted
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        check_generation(self.generation, Operation::Receive)?;
        Ok(match waiter {
            _ if std::mem::take(&mut self.interrupted) => Armed::Ready,
            _ if self.end_kind.is_some() || self.failure.is_some() => Armed::Ready,
            Waiter::Thread if self.stream.sleeps() => Armed::Park,
            _ => Armed::Source(Interest::Readable),
        })
    }

    fn park(&mut self, timeout: Duration) {
        // A full buffer contains a whole frame.
        if self.end - self.start == MAX_ENCODED {
            return;
        }
        self.failure = self.read(Some(timeout)).err().filter(|error| !error.is_would_block());
    }
}

impl<I: Incoming> Drop for FrameReceiver<I> {
    fn drop(&mut self) {
        if self.generation == generation() {
            self.stream.stop();
        }
    }
}
