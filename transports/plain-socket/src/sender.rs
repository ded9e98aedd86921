use anyipc_byte_stream::Outgoing;
use anyipc_core::{
    Armed, Error, ErrorKind, FRAME_HEADER, Flags, Operation, Result, SendHalf, Source, Wait, Waiter,
};
use anyipc_os::{check_generation, generation};

use crate::framing::{Framing, OVERHEAD};

/// A message of up to this length, in bytes, is faster to send copied, in one piece, than in two.
const SHORT: usize = 4 << 10;

/// The sending half of a channel. The system takes a frame, or a batch of short ones, whole or not
/// at all.
///
/// A longer message is sent in fragments, behind a header with the length that
/// [`reserve`](SendHalf::reserve) announced. It cannot be called off: if the caller gives it up,
/// this direction ends, and the peer sees an end inside a message.
#[derive(Debug)]
pub struct PlainSender<O: Outgoing> {
    stream: O,
    framing: Framing,
    /// The fork generation of the process that has the channel.
    generation: u32,
    /// The longest frame, in bytes. With its header and trailer it is one of the stream's.
    max_frame: usize,
    /// The unsent batch, and behind it the frame that is being made.
    buffer: Vec<u8>,
    /// What a closure writes to, before the length that goes ahead is known.
    scratch: Vec<u8>,
    /// The length of the unsent batch. 0 without a cork, and after the end.
    batch: usize,
    /// True while short frames are collected until the next flush.
    collects: bool,
    /// The length of the long message that the caller has announced; 0 once a frame went out.
    announced: usize,
    /// Bytes of a message that are still to come: its first fragments went out.
    left: Option<usize>,
    /// Set for good once nothing can be sent any more: the kind of every later error.
    end: Option<ErrorKind>,
}

impl<O: Outgoing> PlainSender<O> {
    /// Sends on this stream.
    pub fn new(stream: O, framing: Framing) -> Self {
        let max_frame = (stream.max_frame() + FRAME_HEADER).saturating_sub(OVERHEAD).max(1);
        Self {
            stream,
            framing,
            generation: generation(),
            max_frame,
            buffer: Vec::new(),
            scratch: Vec::new(),
            batch: 0,
            collects: false,
            announced: 0,
            left: None,
            end: None,
        }
    }

    /// Checks a frame of `len` bytes, and sends the batch before it unless the frame is to be
    /// collected. True if it is.
    fn begin(&mut self, len: usize, flags: Flags) -> Result<bool> {
        check_generation(self.generation, Operation::Send)?;
        if let Some(end) = self.end {
            return Err(Error::new(Operation::Send, end));
        }
        if len > self.max_frame {
            return Err(too_large(len, self.max_frame));
        }
        self.check_flags(len, flags)?;
        let collects = self.collects
            && flags == Flags::NONE
            && self.left.is_none()
            && self.batch + OVERHEAD + len <= self.max_frame;
        if !collects {
            self.publish()?;
            self.admit(OVERHEAD + len)?;
        }
        Ok(collects)
    }

    /// `Unsupported` for flags that the wire has no place for.
    fn check_flags(&mut self, len: usize, flags: Flags) -> Result<()> {
        if flags == Flags::ABORT && len == 0 && self.left.is_some() {
            return Err(self.break_off(Error::new(Operation::Send, ErrorKind::Closed).because(
                "an earlier message was given up after its first part went out, of which a peer \
                 without this library cannot be told: this direction has ended; connect again",
            )));
        }
        let fits = match (self.left, flags) {
            (Some(left), Flags::NONE) => len == left,
            (Some(left), Flags::MORE) => len > 0 && len < left,
            (None, Flags::NONE) => true,
            (None, Flags::MORE) => len > 0 && len < self.announced,
            _ => false,
        };
        if fits {
            return Ok(());
        }
        Err(Error::new(Operation::Send, ErrorKind::Unsupported).because(
            "plain:// has no place for flags: only a message of an announced length has \
             fragments",
        ))
    }

    /// `WouldBlock` unless `len` bytes have room.
    fn admit(&mut self, len: usize) -> Result<()> {
        match self.stream.has_room(len) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::new(Operation::Send, ErrorKind::WouldBlock)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Sends the batch, if there is one.
    fn publish(&mut self) -> Result<()> {
        if self.batch > 0 {
            self.admit(self.batch)?;
            self.send_buffer(self.batch, &[])?;
            self.batch = 0;
        }
        Ok(())
    }

    /// Sends or collects a frame that was checked.
    fn put(&mut self, collects: bool, flags: Flags, payload: &[u8]) -> Result<()> {
        if let Err(error) = self.framing.check(payload) {
            // The peer has the beginning of the message, and cannot be told to forget it.
            return Err(if self.left.is_some() { self.break_off(error) } else { error });
        }
        self.buffer.truncate(self.batch);
        if self.left.is_none() {
            let len = if flags == Flags::MORE { self.announced } else { payload.len() };
            self.framing.put_header(len, &mut self.buffer)?;
        }
        let trailer = if flags == Flags::MORE { b"" } else { self.framing.trailer() };
        if collects || payload.len() <= SHORT || !trailer.is_empty() {
            self.buffer.extend_from_slice(payload);
            self.buffer.extend_from_slice(trailer);
            if collects {
                self.batch = self.buffer.len();
                self.announced = 0;
                return Ok(());
            }
            self.send_buffer(self.buffer.len(), &[])?;
        } else {
            self.send_buffer(self.buffer.len(), payload)?;
        }
        self.left = match flags {
            Flags::MORE => Some(self.left.unwrap_or(self.announced) - payload.len()),
            _ => None,
        };
        self.announced = 0;
        Ok(())
    }

    /// Sends the buffer up to `end`, then `payload`. There is room for both. If the system takes
    /// only a part all the same, the send buffer is raised once.
    fn send_buffer(&mut self, end: usize, payload: &[u8]) -> Result<()> {
        let (mut first, mut second) = (self.buffer.get(..end).unwrap_or_default(), payload);
        let (mut begun, mut is_raised) = (false, false);
        while !first.is_empty() || !second.is_empty() {
            let sent = if second.is_empty() {
                self.stream.send(first)
            } else {
                self.stream.send_two(first, second)
            };
            match sent {
                Ok(sent) => {
                    begun |= sent > 0;
                    second = second.get(sent.saturating_sub(first.len())..).unwrap_or_default();
                    first = first.get(sent..).unwrap_or_default();
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) if begun && !is_raised => {
                    is_raised = true;
                    self.stream.raise_send_buffer();
                }
                Err(error) if begun => {
                    let error = self.failed(error);
                    if self.end.is_some() {
                        return Err(error);
                    }
                    return Err(self.break_off(
                        Error::new(Operation::Send, ErrorKind::OutOfMemory).because(
                            "the system took a part of a frame and has no memory for the rest, \
                             so nothing more can be sent here; connect again",
                        ),
                    ));
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(())
    }

    /// Ends this direction inside a message. Returns the error.
    #[cold]
    fn break_off(&mut self, error: Error) -> Error {
        self.set_end(error.kind());
        self.stream.end(false);
        error
    }

    fn set_end(&mut self, end: ErrorKind) {
        self.end = Some(end);
        (self.batch, self.collects, self.left) = (0, false, None);
    }

    /// The contract's error for an error of the system.
    #[cold]
    fn failed(&mut self, error: std::io::Error) -> Error {
        let kind = match ErrorKind::of_io(&error) {
            ErrorKind::WouldBlock => return Error::new(Operation::Send, ErrorKind::WouldBlock),
            ErrorKind::PeerGone | ErrorKind::TimedOut if self.stream.stopped() => ErrorKind::Closed,
            ErrorKind::PeerGone | ErrorKind::TimedOut => ErrorKind::PeerGone,
            _ => return Error::io(Operation::Send, "sending", error),
        };
        self.set_end(kind);
        Error::new(Operation::Send, kind)
    }
}

#[cold]
fn too_large(len: usize, max: usize) -> Error {
    Error::new(Operation::Send, ErrorKind::MessageTooLarge)
        .because(format!("a frame of {len} bytes; at most {max} fit"))
}

impl<O: Outgoing> SendHalf for PlainSender<O> {
    fn max_frame(&self) -> usize {
        self.max_frame
    }

    fn reserve(&mut self, len: usize) {
        self.announced = len;
    }

    fn is_heard(&mut self) -> bool {
        if self.generation != generation() {
            return false;
        }
        // Then no send succeeds either: some systems go on taking what nobody receives.
        if self.end.is_none() && !self.stream.has_receiver() {
            let _reason = self.failed(std::io::ErrorKind::BrokenPipe.into());
        }
        self.end.is_none()
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let collects = self.begin(max, flags)?;
        let mut scratch = std::mem::take(&mut self.scratch);
        if scratch.len() < max {
            scratch.resize(max, 0);
        }
        let used = scratch.get_mut(..max).and_then(fill);
        let sent = match used.and_then(|used| scratch.get(..used.min(max))) {
            // Shorter than `max`, a fragment may not be one any more.
            Some(payload) => self
                .check_flags(payload.len(), flags)
                .and_then(|()| self.put(collects, flags, payload)),
            None => Ok(()),
        };
        self.scratch = scratch;
        sent
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        let collects = self.begin(payload.len(), flags)?;
        self.put(collects, flags, payload)
    }

    fn cork(&mut self) {
        self.collects = self.end.is_none();
    }

    fn try_flush(&mut self) -> Result<()> {
        check_generation(self.generation, Operation::Send)?;
        self.collects = false;
        match self.end {
            Some(end) => Err(Error::new(Operation::Send, end)),
            None => self.publish(),
        }
    }
}

impl<O: Outgoing> Wait for PlainSender<O> {
    fn source(&self) -> Result<Source> {
        Ok(self.stream.source())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        check_generation(self.generation, Operation::Send)?;
        Ok(if self.end.is_some() { Armed::Ready } else { Armed::Source(self.stream.interest()) })
    }
}

impl<O: Outgoing> Drop for PlainSender<O> {
    /// Sends the unflushed batch if it has room, and ends the direction. No caller was told that
    /// the batch was sent.
    fn drop(&mut self) {
        if self.generation != generation() || self.end.is_some() {
            return;
        }
        let _ = self.publish();
        if self.end.is_none() {
            self.stream.end(self.left.is_none() && self.batch == 0);
        }
    }
}

#[cfg(test)]
mod tests;
