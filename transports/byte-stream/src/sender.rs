use std::io;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, FrameHeader, Operation, Result, SendHalf, Source,
    Wait, Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::stream::Outgoing;
use crate::wire::{BYE, MAX_ENCODED, MAX_FRAME};

/// Above this length, in bytes, a frame costs more to be collected than to be sent alone.
const LONG: usize = MAX_FRAME / 4;
/// Up to this length, in bytes, a frame is sent sooner as one piece, copied, than as two.
const SHORT: usize = 4 << 10;

/// The sending half of a channel over a byte stream. What it sends, a frame or a batch of them, the system takes whole
/// or not at all.
#[derive(Debug)]
pub struct FrameSender<O: Outgoing> {
    stream: O,
    generation: u32,
    /// One frame, or a batch of as many as fit into the room of the longest one.
    buffer: Vec<u8>,
    /// How much of `buffer` is a batch that was not sent yet. 0 without a cork, and after the end.
    batch: usize,
    /// Frames shorter than this are collected until the next flush. 0 without a cork, and after the end.
    collects: usize,
    /// Why nothing can be sent any more.
    end: Option<ErrorKind>,
}

impl<O: Outgoing> FrameSender<O> {
    /// Sends on this stream.
    pub fn new(stream: O) -> Self {
        Self {
            stream,
            generation: generation(),
            buffer: Vec::with_capacity(MAX_ENCODED),
            batch: 0,
            collects: 0,
            end: None,
        }
    }

    /// What every send begins with: checks, the batch before it, and whether it has room. True if this one is to be
    /// collected: it is not long, and more will follow.
    #[inline]
    fn begin(&mut self, len: usize) -> Result<bool> {
        check_generation(self.generation, Operation::Send)?;
        let longest = self.stream.max_frame();
        if len > longest {
            return Err(self.too_large(len));
        }
        let collects = len < self.collects;
        if !collects || self.batch + len > longest {
            self.publish()?;
        }
        if !collects {
            self.admit(FRAME_HEADER + len)?;
        }
        Ok(collects)
    }

    #[cold]
    fn too_large(&self, len: usize) -> Error {
        Error::new(Operation::Send, ErrorKind::MessageTooLarge)
            .because(format!("a frame of {len} bytes; at most {} fit", self.stream.max_frame()))
    }

    /// `WouldBlock` unless so many bytes have room.
    #[inline]
    fn admit(&mut self, len: usize) -> Result<()> {
        match self.stream.has_room(len) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(Operation::Send, ErrorKind::WouldBlock)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Sends the batch, if there is one.
    #[inline]
    fn publish(&mut self) -> Result<()> {
        match self.end {
            Some(end) => Err(Error::new(Operation::Send, end)),
            None if self.batch == 0 => Ok(()),
            None => self.publish_batch(),
        }
    }

    #[cold]
    fn publish_batch(&mut self) -> Result<()> {
        self.admit(self.batch)?;
        self.send_buffer(self.batch)?;
        self.batch = 0;
        Ok(())
    }

    /// Copies a frame behind the batch, or without one to the buffer's beginning; gives its end. `None` if the buffer is
    /// not as long as that yet.
    #[inline]
    fn put(&mut self, header: [u8; FRAME_HEADER], payload: &[u8]) -> Option<usize> {
        let (head, rest) = self.buffer.get_mut(self.batch..)?.split_first_chunk_mut()?;
        let rest = rest.get_mut(..payload.len())?;
        *head = header;
        rest.copy_from_slice(payload);
        Some(self.batch + FRAME_HEADER + payload.len())
    }

    /// Sends a frame without a copy, unless it is short or is collected. Apart, so that one that finds room among those
    /// that are collected takes few instructions.
    #[inline(never)]
    fn send_frame(&mut self, header: [u8; FRAME_HEADER], payload: &[u8]) -> Result<()> {
        let collects = self.begin(payload.len())?;
        if collects || payload.len() <= SHORT {
            self.grow(self.batch + FRAME_HEADER + payload.len());
            let end = self.put(header, payload).unwrap_or_default();
            if !collects {
                return self.send_buffer(end);
            }
            self.batch = end;
            return Ok(());
        }
        send_whole(&mut self.stream, &header, payload).map_err(|fault| self.broken(fault))
    }

    /// Makes the buffer as long as this at least, within its room, so that nothing moves.
    #[inline]
    fn grow(&mut self, end: usize) {
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
    }

    /// Sends what is in the buffer up to `end`.
    fn send_buffer(&mut self, end: usize) -> Result<()> {
        let bytes = self.buffer.get(..end).unwrap_or_default();
        send_whole(&mut self.stream, bytes, &[]).map_err(|fault| self.broken(fault))
    }

    /// After a send that failed. A frame of which a part is gone cannot be taken back, and the process may end before
    /// there is room for the rest: this direction has ended then, and the receiver hears that it was cut off.
    #[cold]
    fn broken(&mut self, fault: Fault) -> Error {
        let error = self.failed(fault.error);
        if !fault.begun || self.end.is_some() {
            return error;
        }
        self.over(ErrorKind::OutOfMemory);
        self.stream.end(false);
        Error::new(Operation::Send, ErrorKind::OutOfMemory).because(
            "the system took a part of a frame and has no memory for the rest, so nothing more can be sent here; \
             connect again",
        )
    }

    fn over(&mut self, end: ErrorKind) {
        self.end = Some(end);
        self.collects = 0;
        self.batch = 0;
    }

    /// The contract's error for one of the system's.
    #[cold]
    fn failed(&mut self, error: io::Error) -> Error {
        let kind = match ErrorKind::of_io(&error) {
            ErrorKind::WouldBlock => return Error::new(Operation::Send, ErrorKind::WouldBlock),
            // A connection that timed out is a peer that fell silent.
            ErrorKind::PeerGone | ErrorKind::TimedOut if self.stream.stopped() => ErrorKind::Closed,
            ErrorKind::PeerGone | ErrorKind::TimedOut => ErrorKind::PeerGone,
            _ => return Error::io(Operation::Send, "sending", error),
        };
        self.over(kind);
        Error::new(Operation::Send, kind)
    }
}

/// Why something was not sent.
struct Fault {
    /// A part of it was.
    begun: bool,
    error: io::Error,
}

/// Sends two pieces one after the other, for which there is room. If the system takes only a part nevertheless, it is
/// given more room once.
fn send_whole<O: Outgoing>(
    stream: &mut O,
    mut first: &[u8],
    mut second: &[u8],
) -> std::result::Result<(), Fault> {
    let mut begun = false;
    let mut enlarged = false;
    loop {
        let sent =
            if second.is_empty() { stream.send(first) } else { stream.send_two(first, second) };
        match sent {
            Ok(sent) if sent >= first.len() + second.len() => return Ok(()),
            Ok(sent) => {
                begun |= sent > 0;
                second = second.get(sent.saturating_sub(first.len())..).unwrap_or_default();
                first = first.get(sent..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) if begun && !enlarged => {
                enlarged = true;
                stream.enlarge();
            }
            Err(error) => return Err(Fault { begun, error }),
        }
    }
}

#[cfg(test)]
impl<O: Outgoing> FrameSender<O> {
    /// Bytes of the buffer.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

impl<O: Outgoing> SendHalf for FrameSender<O> {
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
        // Without a batch: at the buffer's beginning.
        let at = self.batch;
        self.grow(at + FRAME_HEADER + max);
        let frame =
            self.buffer.get_mut(at..).and_then(|room| room.split_first_chunk_mut::<FRAME_HEADER>());
        let Some((header, payload)) = frame else {
            return Err(Error::new(Operation::Send, ErrorKind::OutOfMemory));
        };
        let Some(used) = payload.get_mut(..max).and_then(fill) else { return Ok(()) };
        let used = used.min(max);
        *header = FrameHeader { len: used as u32, flags }.encode();
        let end = at + FRAME_HEADER + used;
        if collects {
            self.batch = end;
            return Ok(());
        }
        self.send_buffer(end)
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        let header = FrameHeader { len: payload.len() as u32, flags }.encode();
        if payload.len() < self.collects
            && self.generation == generation()
            && let Some(end) = self.put(header, payload)
        {
            self.batch = end;
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
        self.publish()
    }
}

impl<O: Outgoing> Wait for FrameSender<O> {
    fn source(&self) -> Result<Source> {
        Ok(self.stream.source())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        check_generation(self.generation, Operation::Send)?;
        Ok(if self.end.is_some() { Armed::Ready } else { Armed::Source(self.stream.interest()) })
    }
}

impl<O: Outgoing> Drop for FrameSender<O> {
    /// Hands what was not flushed and the goodbye to the system, for which there is room: always for a goodbye alone.
    /// If it is not taken whole, the receiver hears of an end without one.
    fn drop(&mut self) {
        if self.generation != generation() || self.end.is_some() {
            return;
        }
        // No caller was told that an unflushed batch was sent. If it does not fit whole, a part of
        // it would take the goodbye's room.
        if self.batch > 0 && !self.stream.has_room(self.batch).unwrap_or(false) {
            self.batch = 0;
        }
        self.buffer.truncate(self.batch);
        if !self.stream.tells_end() {
            self.buffer.extend_from_slice(&BYE);
        }
        let mut sent = self.buffer.is_empty();
        for _ in 0..2 {
            if sent {
                break;
            }
            match send_whole(&mut self.stream, &self.buffer, &[]) {
                Ok(()) => sent = true,
                Err(fault) if fault.begun => break,
                Err(_) => self.stream.enlarge(),
            }
        }
        self.stream.end(sent);
    }
}
