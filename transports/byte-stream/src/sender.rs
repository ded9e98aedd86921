use std::io;
use std::ops::Range;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, FrameHeader, Operation, Result, SendHalf, Source, Wait,
    Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::stream::Outgoing;
use crate::wire::{BYE, MAX_FRAME, ROOM};

/// Above this length, in bytes, a frame costs more to be collected than to be sent alone.
const LONG: usize = MAX_FRAME / 4;
/// Up to this length, in bytes, a frame is sent sooner as one piece, copied, than as two.
const SHORT: usize = 4 << 10;

/// The sending half of a channel over a byte stream.
#[derive(Debug)]
pub struct Sender<O: Outgoing> {
    stream: O,
    generation: u32,
    /// One frame, or while corked as many as fit into its room, which is all made at once.
    buffer: Vec<u8>,
    /// The part of `buffer` that the system has not taken yet.
    tail: Range<usize>,
    /// Frames shorter than this are collected until the next flush. 0 without a cork, and after the end.
    collects: usize,
    /// The last send found no room.
    full: bool,
    /// The system was made to hold more than it should. If that went on frame by frame, one of which only a part is taken
    /// would find no room for the rest at last.
    stretched: bool,
    /// Why nothing can be sent any more.
    end: Option<ErrorKind>,
}

impl<O: Outgoing> Sender<O> {
    /// Sends on this stream.
    pub fn new(stream: O) -> Self {
        Self {
            stream,
            generation: generation(),
            buffer: Vec::with_capacity(ROOM),
            tail: 0..0,
            collects: 0,
            full: false,
            stretched: false,
            end: None,
        }
    }

    /// What every send begins with: checks, and what is left of the frames before. True if this one is to be
    /// collected: it is not long, and more will follow.
    #[inline]
    fn begin(&mut self, len: usize) -> Result<bool> {
        check_generation(self.generation, Operation::Send)?;
        if len > self.stream.max_frame() {
            return Err(self.too_large(len));
        }
        let collects = len < self.collects;
        if !collects || self.tail.end + FRAME_HEADER + len > ROOM {
            self.push()?;
        }
        if self.stretched && !collects {
            self.stretched = !self.stream.writable();
            if self.stretched {
                return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
            }
        }
        Ok(collects)
    }

    #[cold]
    fn too_large(&self, len: usize) -> Error {
        Error::new(Operation::Send, ErrorKind::MessageTooLarge)
            .because(format!("a frame of {len} bytes; at most {} fit", self.stream.max_frame()))
    }

    /// Sends the tail as far as the system takes it. Cold, so that frames that are collected do without it.
    #[cold]
    fn push(&mut self) -> Result<()> {
        if let Some(end) = self.end {
            return Err(Error::new(Operation::Send, end));
        }
        while let Some(rest) = self.buffer.get(self.tail.clone()).filter(|rest| !rest.is_empty()) {
            match self.stream.send(rest) {
                Ok(sent) => self.tail.start += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.tail = 0..0;
        Ok(())
    }

    /// Copies a frame behind the tail, or without one to the buffer's beginning; gives its end. `None` if the buffer is
    /// not as long as that yet.
    #[inline]
    fn put(&mut self, header: [u8; FRAME_HEADER], payload: &[u8]) -> Option<usize> {
        let (head, rest) = self.buffer.get_mut(self.tail.end..)?.split_first_chunk_mut()?;
        let rest = rest.get_mut(..payload.len())?;
        *head = header;
        rest.copy_from_slice(payload);
        Some(self.tail.end + FRAME_HEADER + payload.len())
    }

    /// Sends a frame without a copy, unless it is short, is collected, or the system takes only a part. Apart, so that one
    /// that finds room among those that are collected takes few instructions.
    #[inline(never)]
    fn send_frame(&mut self, header: [u8; FRAME_HEADER], payload: &[u8]) -> Result<()> {
        let collects = self.begin(payload.len())?;
        let end = FRAME_HEADER + payload.len();
        if collects || payload.len() <= SHORT {
            self.grow(self.tail.end + end);
            let end = self.put(header, payload).unwrap_or_default();
            if !collects {
                return self.send_buffer(end);
            }
            self.tail.end = end;
            return Ok(());
        }
        loop {
            match self.stream.send_two(&header, payload) {
                Ok(sent) if sent == end => return Ok(()),
                Ok(sent) => {
                    self.buffer.clear();
                    self.buffer.extend_from_slice(&header);
                    self.buffer.extend_from_slice(payload);
                    return self.sent(sent, end);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Makes the buffer as long as this at least, within its room, so that nothing moves.
    #[inline]
    fn grow(&mut self, end: usize) {
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
    }

    /// Sends the frame that is all there is in the buffer, up to `end`.
    fn send_buffer(&mut self, end: usize) -> Result<()> {
        loop {
            match self.stream.send(self.buffer.get(..end).unwrap_or_default()) {
                Ok(sent) => return self.sent(sent, end),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// After a send of a frame that ends at `end` of the buffer: what is left becomes the tail.
    fn sent(&mut self, sent: usize, end: usize) -> Result<()> {
        if sent == end {
            return Ok(());
        }
        self.tail = sent..end;
        // Room for this one frame, so that what was sent outlives this process. Without it the tail stays.
        self.stream.stretch(true);
        self.stretched = true;
        let pushed = self.push();
        self.stream.stretch(false);
        match pushed {
            Err(error) if error.is_would_block() => Ok(()),
            done => done,
        }
    }

    /// The contract's error for one of the system's.
    #[cold]
    fn failed(&mut self, error: io::Error) -> Error {
        let kind = match ErrorKind::of_io(&error) {
            ErrorKind::WouldBlock => {
                self.full = true;
                return Error::new(Operation::Send, ErrorKind::WouldBlock);
            }
            // A connection that timed out is a peer that fell silent.
            ErrorKind::PeerGone | ErrorKind::TimedOut if self.stream.stopped() => ErrorKind::Closed,
            ErrorKind::PeerGone | ErrorKind::TimedOut => ErrorKind::PeerGone,
            _ => return Error::io(Operation::Send, "sending", error),
        };
        self.end = Some(kind);
        self.collects = 0;
        self.tail = 0..0;
        Error::new(Operation::Send, kind)
    }
}

#[cfg(test)]
impl<O: Outgoing> Sender<O> {
    /// Bytes of the buffer.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

impl<O: Outgoing> SendHalf for Sender<O> {
    fn max_frame(&self) -> usize {
        self.stream.max_frame()
    }

    fn is_heard(&mut self) -> bool {
        self.generation == generation() && self.end.is_none() && self.stream.heard()
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let collects = self.begin(max)?;
        // Nothing is filled in vain while there is no room.
        if !collects && self.full && !self.stream.writable() {
            return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
        }
        // Without a tail: at the buffer's beginning.
        let at = self.tail.end;
        self.grow(at + FRAME_HEADER + max);
        let frame = self.buffer.get_mut(at..).and_then(|room| room.split_first_chunk_mut::<FRAME_HEADER>());
        let Some((header, payload)) = frame else {
            return Err(Error::new(Operation::Send, ErrorKind::OutOfMemory));
        };
        let Some(used) = payload.get_mut(..max).and_then(fill) else { return Ok(()) };
        let used = used.min(max);
        *header = FrameHeader { len: used as u32, flags }.encode();
        let end = at + FRAME_HEADER + used;
        if collects {
            self.tail.end = end;
            return Ok(());
        }
        self.full = false;
        self.send_buffer(end)
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        let header = FrameHeader { len: payload.len() as u32, flags }.encode();
        if payload.len() < self.collects
            && self.generation == generation()
            && let Some(end) = self.put(header, payload)
        {
            self.tail.end = end;
            return Ok(());
        }
        self.send_frame(header, payload)
    }

    fn cork(&mut self) {
        if self.end.is_none() {
            self.collects = LONG.min(self.stream.max_frame()) + 1;
        }
    }

    fn try_flush(&mut self) -> Result<()> {
        check_generation(self.generation, Operation::Send)?;
        self.collects = 0;
        self.push()
    }
}

impl<O: Outgoing> Wait for Sender<O> {
    fn source(&self) -> Result<Source> {
        Ok(self.stream.source())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        check_generation(self.generation, Operation::Send)?;
        Ok(if self.end.is_some() { Armed::Ready } else { Armed::Source(self.stream.interest()) })
    }
}

impl<O: Outgoing> Drop for Sender<O> {
    /// Hands the tail and the goodbye to the system, which is given the room for them.
    fn drop(&mut self) {
        if self.generation != generation() || self.end.is_some() {
            return;
        }
        self.buffer.drain(..self.tail.start.min(self.buffer.len()));
        self.buffer.truncate(self.tail.len());
        self.buffer.extend_from_slice(&BYE);
        self.tail = 0..self.buffer.len();
        if self.push().is_err_and(|error| error.is_would_block()) {
            self.stream.stretch_last();
            let _ = self.push();
        }
        self.stream.end();
    }
}
