//! The halves of a channel over FIFOs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_byte_stream::{FrameReceiver, FrameSender, Incoming, Outgoing, STOP, TAKEN};
use anyipc_core::{Interest, Source};

use crate::fifos::room::Room;
use crate::fifos::sys::{Fifo, rough_time};

/// The sending half of a channel.
pub type PipeSender = FrameSender<SendEnd>;
/// The receiving half of a channel.
pub type PipeReceiver = FrameReceiver<RecvEnd>;

/// How often a sender that finds room looks whether the receiver is still there. Nothing else tells
/// it: it keeps a reading end itself, so that writing never raises a signal.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The FIFOs below a sender.
#[derive(Debug)]
pub struct SendEnd {
    /// `None` once this direction has ended.
    data: Option<Fifo>,
    room: Room,
    max_frame: usize,
    /// The receiver says [`STOP`] here, answers marks with [`TAKEN`], and keeps it open while it
    /// lives.
    back: Fifo,
    /// When the receiver was last seen, by [`rough_time`].
    looked: Option<Duration>,
    /// True once the receiver said that it closes.
    stopped: bool,
}

impl SendEnd {
    pub(super) fn new(data: Fifo, back: Fifo, room: Room, max_frame: usize) -> Self {
        Self { data: Some(data), room, max_frame, back, looked: None, stopped: false }
    }

    fn write(&mut self, write: impl FnOnce(&Fifo) -> io::Result<usize>) -> io::Result<usize> {
        let now = rough_time();
        if self.looked.is_none_or(|looked| now.saturating_sub(looked) >= LOOK_EVERY) {
            self.look()?;
            self.looked = Some(now);
        }
        write(self.data.as_ref().ok_or(io::ErrorKind::BrokenPipe)?)
    }

    /// Reads what the receiver said. `BrokenPipe` if it has closed or died.
    fn look(&mut self) -> io::Result<()> {
        let mut said = [0; 64];
        loop {
            match self.back.read(&mut said) {
                Ok(got @ 1..) => {
                    for word in said.get(..got).unwrap_or_default() {
                        if *word != TAKEN {
                            self.stopped |= *word == STOP;
                            return Err(io::ErrorKind::BrokenPipe.into());
                        }
                        self.room.mark_answered();
                    }
                    return Ok(());
                }
                Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Outgoing for SendEnd {
    #[inline]
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        if self.room.take(len) {
            return Ok(true);
        }
        // Before the kernel is asked: everything before an answered mark is read by then.
        self.look()?;
        self.room.ask(self.data.as_ref().ok_or(io::ErrorKind::BrokenPipe)?, len)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(|data| data.write(bytes))
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.write(|data| data.write_two(first, second))
    }

    fn raise_send_buffer(&mut self) {
        if let Some(data) = &self.data {
            self.room.double(data);
        }
    }

    fn stopped(&mut self) -> bool {
        self.stopped
    }

    fn has_receiver(&mut self) -> bool {
        !self.stopped && self.look().is_ok()
    }

    /// A goodbye among the frames would need room.
    fn tells_end(&self) -> bool {
        true
    }

    fn end(&mut self, orderly: bool) {
        if let Some(data) = self.data.take().filter(|_| orderly) {
            let _ = data.mark_ended();
        }
    }

    fn max_frame(&self) -> usize {
        self.max_frame
    }

    fn source(&self) -> Source {
        self.room.source()
    }

    fn interest(&self) -> Interest {
        Interest::Readable
    }
}

/// The FIFOs below a receiver.
#[derive(Debug)]
pub struct RecvEnd {
    data: Arc<Fifo>,
    /// Where the receiver answers marks and says that it closes.
    back: Fifo,
}

impl RecvEnd {
    pub(super) fn new(data: Arc<Fifo>, back: Fifo) -> Self {
        Self { data, back }
    }
}

impl Incoming for RecvEnd {
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.data.read(bytes)
    }

    fn drains(&self) -> bool {
        true
    }

    fn answer_mark(&mut self) -> bool {
        let _ = self.back.write(&[TAKEN]);
        true
    }

    fn ended_orderly(&mut self) -> bool {
        self.data.is_marked_ended()
    }

    /// There is room: beside this byte only answers to marks are written, and only one mark is sent
    /// at a time.
    fn stop(&mut self) {
        let _ = self.back.write(&[STOP]);
    }

    fn source(&self) -> Source {
        self.data.source()
    }
}
