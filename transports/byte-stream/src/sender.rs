use std::io;

use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, FrameHeader, Operation, Result, SendHalf, Source,
    Wait, Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::stream::Outgoing;
use crate::wire::{BYE, MAX_ENCODED, MAX_FRAME};

/// A frame over this length, in bytes, is cheaper to send alone than to collect in a batch.
const LONG: usize = MAX_FRAME / 4;
/// A frame of up to this length, in bytes, is faster to send copied, in one piece, than in two.
const SHORT: usize = 4 << 10;

/// The sending half of a channel over a byte stream: it frames messages, and collects short ones
/// under a cork. The system takes what it sends, a frame or a batch, whole or not at all.
#[derive(Debug)]
pub struct FrameSender<O: Outgoing> {
    stream: O,
    /// The fork generation of the process that has the channel.
    generation: u32,
    /// One frame, or a batch of as many as fit into the length of the longest one.
    buffer: Vec<u8>,
    /// The length of the unsent batch at the beginning of `buffer`. 0 without a cork, and after the
    /// end.
    batch: usize,
    /// Frames shorter than this are collected until the next flush. 0 without a cork, and after the
    /// end.
    collect_below: usize,
    /// Set for good once nothing can be sent any more: the kind of every later error.
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
            collect_below: 0,
            end: None,
        }
    }

    /// Begins a send of `len` bytes: checks, sends the batch before it, and makes sure of room.
    /// True if the frame is to be collected.
    #[inline]
    fn begin(&mut self, len: usize) -> Result<bool> {
        check_generation(self.generation, Operation::Send)?;
        let longest = self.stream.max_frame();
        if len > longest {
            return Err(self.too_large(len));
        }
        let collects = len < self.collect_below;
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

    /// `WouldBlock` unless `len` bytes have room.
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

    /// Copies a frame behind the batch. Returns its end in the buffer, or `None` if the buffer is
    /// not that long yet.
    #[inline]
    fn append(&mut self, header: [u8; FRAME_HEADER], payload: &[u8]) -> Option<usize> {
        let (head, rest) = self.buffer.get_mut(self.batch..)?.split_first_chunk_mut()?;
        let rest = rest.get_mut(..payload.len())?;
        *head = header;
        rest.copy_from_slice(payload);
        Some(self.batch + FRAME_HEADER + payload.len())
    }

    /// Sends a frame: copied if it is short or collected, otherwise in two pieces. Not inlined, so
    /// that the path of a collected frame that fits stays short.
    #[inline(never)]
    fn send_frame(&mut self, header: [u8; FRAME_HEADER], payload: &[u8]) -> Result<()> {
        let collects = self.begin(payload.len())?;
        if collects || payload.len() <= SHORT {
            self.grow(self.batch + FRAME_HEADER + payload.len());
            let end = self.append(header, payload).unwrap_or_default();
            if !collects {
                return self.send_buffer(end);
            }
            self.batch = end;
            return Ok(());
        }
        send_whole(&mut self.stream, &header, payload).map_err(|fault| self.broken(fault))
    }

    /// Makes the buffer at least this long, within its capacity, so that nothing moves.
    #[inline]
    fn grow(&mut self, end: usize) {
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
    }

    /// Sends the buffer up to `end`.
    fn send_buffer(&mut self, end: usize) -> Result<()> {
        let bytes = self.buffer.get(..end).unwrap_or_default();
        send_whole(&mut self.stream, bytes, &[]).map_err(|fault| self.broken(fault))
    }

    /// The error of a failed send. If a part of a frame was taken, this direction ends, and the
    /// receiver sees that it was cut off: the part cannot be taken back, and the process may die
    /// before there is room for the rest.
    #[cold]
    fn broken(&mut self, fault: Fault) -> Error {
        let error = self.failed(fault.error);
        if !fault.begun || self.end.is_some() {
            return error;
        }
        self.set_end(ErrorKind::OutOfMemory);
        self.stream.end(false);
        Error::new(Operation::Send, ErrorKind::OutOfMemory).because(
            "the system took a part of a frame and has no memory for the rest, so nothing more can \
             be sent here; connect again",
        )
    }

    fn set_end(&mut self, end: ErrorKind) {
        self.end = Some(end);
        self.collect_below = 0;
        self.batch = 0;
    }

    /// The contract's error for an error of the system.
    #[cold]
    fn failed(&mut self, error: io::Error) -> Error {
        let kind = match ErrorKind::of_io(&error) {
            ErrorKind::WouldBlock => return Error::new(Operation::Send, ErrorKind::WouldBlock),
            // A connection that timed out has a peer that no longer answers.
            ErrorKind::PeerGone | ErrorKind::TimedOut if self.stream.stopped() => ErrorKind::Closed,
            ErrorKind::PeerGone | ErrorKind::TimedOut => ErrorKind::PeerGone,
            _ => return Error::io(Operation::Send, "sending", error),
        };
        self.set_end(kind);
        Error::new(Operation::Send, kind)
    }
}

/// Why bytes were not sent whole.
struct Fault {
    /// True if a part of them was sent.
    begun: bool,
    error: io::Error,
}

/// Sends two pieces, for which there is room. If the system takes only a part all the same, the
/// send buffer is raised once.
fn send_whole<O: Outgoing>(
    stream: &mut O,
    mut first: &[u8],
    mut second: &[u8],
) -> std::result::Result<(), Fault> {
    let mut begun = false;
    let mut is_raised = false;
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
            Err(_) if begun && !is_raised => {
                is_raised = true;
                stream.raise_send_buffer();
            }
            Err(error) => return Err(Fault { begun, error }),
        }
    }
}

#[cfg(test)]
impl<O: Outgoing> FrameSender<O> {
    /// The capacity of the buffer, in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

impl<O: Outgoing> SendHalf for FrameSender<O> {
    fn max_frame(&self) -> usize {
        self.stream.max_frame()
    }

    fn is_heard(&mut self) -> bool {
        if self.generation != generation() {
            return false;
        }
        // Then no send succeeds either: some systems go on taking what nobody receives.
        if self.end.is_none() && !self.stream.has_receiver() {
            let _reason = self.failed(io::ErrorKind::BrokenPipe.into());
        }
        self.end.is_none()
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let collects = self.begin(max)?;
        // Behind the batch; 0 without one.
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
        if payload.len() < self.collect_below
            && self.generation == generation()
            && let Some(end) = self.append(header, payload)
        {
            self.batch = end;
            return Ok(());
        }
        self.send_frame(header, payload)
    }

    fn cork(&mut self) {
        if self.end.is_none() {
            self.collect_below = LONG.min(self.stream.max_frame()) + 1;
        }
    }

    fn try_flush(&mut self) -> Result<()> {
        check_generation(self.generation, Operation::Send)?;
        self.collect_below = 0;
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
    /// Sends the unflushed batch and the goodbye. There is always room for the goodbye alone. If
    /// they are not taken whole, the receiver sees an end without a goodbye.
    fn drop(&mut self) {
        if self.generation != generation() || self.end.is_some() {
            return;
        }
        // No caller was told that the batch was sent. A batch that does not fit whole is dropped: a
        // part of it would take the goodbye's room.
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
                Err(_) => self.stream.raise_send_buffer(),
            }
        }
        self.stream.end(sent);
    }
}
