use std::io;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, Interest, Operation, RecvHalf, Result, Source,
    Wait, Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::stream::Incoming;
use crate::wire::{self, MAX_ENCODED, Word};

/// The receiving half of a channel over a byte stream.
#[derive(Debug)]
pub struct FrameReceiver<I: Incoming> {
    stream: I,
    generation: u32,
    /// What was read ahead: `start..end` of it is not received yet. As large as one frame, made on first use.
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The last read took all there was.
    drained: bool,
    /// Why nothing can be received any more.
    over: Option<ErrorKind>,
    /// What went wrong while it slept, to be told by the next try.
    failure: Option<Error>,
    /// The last try stopped after [`READS`].
    interrupted: bool,
}

/// The most reads of one try. A peer that sends a frame in single bytes holds no call for longer.
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
            over: None,
            failure: None,
            interrupted: false,
        }
    }

    /// The next frame's flags and payload, if it was read ahead whole.
    #[inline]
    fn ahead(&mut self) -> Option<(Flags, &[u8])> {
        if self.generation != generation() {
            return None;
        }
        let (flags, frame) = wire::whole(self.buffer.get(self.start..self.end)?)?;
        self.start += FRAME_HEADER + frame.len();
        Some((flags, frame))
    }

    /// The same of one that was not. Apart, and all that is done with it, so that those that were take few instructions.
    fn read_ahead(&mut self) -> Result<(Flags, &[u8])> {
        check_generation(self.generation, Operation::Receive)?;
        let mut reads = 0;
        let mut marks = 0;
        while wire::whole(self.buffer.get(self.start..self.end).unwrap_or_default()).is_none() {
            if let Some(over) = self.over {
                return Err(Error::new(Operation::Receive, over));
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

    /// Takes what stands at the start if it is all there and no frame: a goodbye, or a mark, which an honest sender says
    /// once before it sends more. True if there was something.
    fn check_header(&mut self, marks: &mut usize) -> Result<bool> {
        let there = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some(header) = there.first_chunk() else { return Ok(false) };
        let fault = match wire::word(*header) {
            Ok(Word::Frame) => return Ok(false),
            Ok(Word::Bye) => {
                self.over = Some(ErrorKind::Closed);
                return Ok(true);
            }
            Ok(Word::Mark) if *marks == 0 && self.stream.answer_mark() => {
                *marks += 1;
                self.start += FRAME_HEADER;
                return Ok(true);
            }
            Ok(Word::Mark) => Error::new(Operation::Receive, ErrorKind::Corrupt)
                .because("a mark where none is due stands among the frames"),
            Err(error) => error,
        };
        self.over = Some(ErrorKind::Corrupt);
        Err(fault)
    }

    /// Reads what is there, behind what is kept; sleeps for it, if told how long.
    fn read(&mut self, sleep: Option<Duration>) -> Result<()> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; MAX_ENCODED].into();
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let got = match sleep {
            Some(timeout) => self.stream.recv_within(room, timeout),
            None => self.stream.recv(room),
        };
        let room = room.len();
        let all = match &got {
            Ok(got) => *got < room,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        self.drained = all && self.stream.drains();
        match got {
            // An end amid a frame is none in order.
            Ok(0) if self.start == self.end && self.stream.ended_orderly() => {
                self.over = Some(ErrorKind::Closed);
            }
            Ok(0) => self.over = Some(ErrorKind::PeerGone),
            Ok(got) => self.end += got,
            Err(error) => match ErrorKind::of_io(&error) {
                ErrorKind::WouldBlock => {
                    return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
                }
                // A connection that timed out is a peer that fell silent.
                ErrorKind::PeerGone | ErrorKind::TimedOut => self.over = Some(ErrorKind::PeerGone),
                _ if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return Err(Error::io(Operation::Receive, "receiving", error)),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
impl<I: Incoming> FrameReceiver<I> {
    /// Bytes of the buffer.
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
        // With a part of a frame, or more than one, there may be something to do without the stream.
        self.drained
            && self.start == self.end
            && self.over.is_none()
            && self.failure.is_none()
            && !self.interrupted
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        check_generation(self.generation, Operation::Receive)?;
        Ok(match waiter {
            _ if std::mem::take(&mut self.interrupted) => Armed::Ready,
            _ if self.over.is_some() || self.failure.is_some() => Armed::Ready,
            Waiter::Thread if self.stream.sleeps() => Armed::Park,
            _ => Armed::Source(Interest::Readable),
        })
    }

    fn park(&mut self, timeout: Duration) {
        // With so much a frame is there.
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
