use std::io;
use std::time::Duration;

use anyipc_byte_stream::Incoming;
use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Interest, Operation, RecvHalf, Result, Source, Wait, Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::framing::{Decoder, MAX_HEADER, PIECE};

/// The length of the buffer, in bytes: what the decoder may ask for.
const BUFFER: usize = PIECE + MAX_HEADER;
/// The most reads of one try, so that a peer that sends a message byte by byte cannot prolong a
/// call.
const READS: u32 = 64;

/// The receiving half of a channel: it reads ahead, and takes messages out of its buffer. A message
/// of more than [`PIECE`] bytes comes in fragments.
#[derive(Debug)]
pub struct PlainReceiver<I: Incoming> {
    stream: I,
    decoder: Decoder,
    /// The fork generation of the process that has the channel.
    generation: u32,
    /// Bytes that were read ahead; `start..end` of it is not received yet. Empty until the first
    /// read.
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

impl<I: Incoming> PlainReceiver<I> {
    /// Receives from this stream.
    pub fn new(stream: I, decoder: Decoder) -> Self {
        Self {
            stream,
            decoder,
            generation: generation(),
            buffer: Box::default(),
            start: 0,
            end: 0,
            drained: false,
            end_kind: None,
            failure: None,
            interrupted: false,
        }
    }

    /// The next frame. Reads as much as it takes.
    fn next(&mut self) -> Result<(Flags, std::ops::Range<usize>)> {
        check_generation(self.generation, Operation::Receive)?;
        let mut reads = 0;
        loop {
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if let Some(kind) = self.end_kind {
                return Err(Error::new(Operation::Receive, kind));
            }
            let there = self.buffer.get(self.start..self.end).unwrap_or_default();
            match self.decoder.next(there) {
                Ok(Some(piece)) => {
                    let from = self.start + piece.start;
                    self.start = from + piece.len + piece.trailer;
                    let flags = if piece.more { Flags::MORE } else { Flags::NONE };
                    return Ok((flags, from..from + piece.len));
                }
                Ok(None) => {}
                Err(error) => {
                    self.end_kind = Some(error.kind());
                    return Err(error);
                }
            }
            if reads == READS {
                self.interrupted = true;
                return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
            }
            reads += 1;
            self.read(None)?;
        }
    }

    /// Reads what is there behind the unreceived bytes; with a timeout, blocks until something is
    /// there.
    fn read(&mut self, timeout: Option<Duration>) -> Result<()> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; BUFFER].into();
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
            Ok(0) => self.ended(),
            Ok(got) => {
                self.end += got;
                Ok(())
            }
            Err(error) => match ErrorKind::of_io(&error) {
                ErrorKind::WouldBlock => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
                // Also of a peer that closed its end while bytes of ours were unread there.
                ErrorKind::PeerGone | ErrorKind::TimedOut => self.ended(),
                _ if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                _ => Err(Error::io(Operation::Receive, "receiving", error)),
            },
        }
    }

    /// The stream has ended: in order between two messages, otherwise inside one.
    #[cold]
    fn ended(&mut self) -> Result<()> {
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
        if !self.decoder.is_inside(rest) {
            self.end_kind = Some(ErrorKind::Closed);
            return Ok(());
        }
        self.end_kind = Some(ErrorKind::PeerGone);
        Err(Error::new(Operation::Receive, ErrorKind::PeerGone).because(format!(
            "the peer left in the middle of a message; the {} bytes that came last are dropped",
            rest.len()
        )))
    }
}

impl<I: Incoming> RecvHalf for PlainReceiver<I> {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let (flags, range) = self.next()?;
        read(flags, self.buffer.get(range).unwrap_or_default());
        Ok(())
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let (flags, range) = self.next()?;
        buffer.extend_from_slice(self.buffer.get(range).unwrap_or_default());
        Ok(flags)
    }
}

impl<I: Incoming> Wait for PlainReceiver<I> {
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
        // A full buffer contains a piece.
        if self.end - self.start == BUFFER {
            return;
        }
        self.failure = self.read(Some(timeout)).err().filter(|error| !error.is_would_block());
    }
}

impl<I: Incoming> Drop for PlainReceiver<I> {
    fn drop(&mut self) {
        if self.generation == generation() {
            self.stream.stop();
        }
    }
}
