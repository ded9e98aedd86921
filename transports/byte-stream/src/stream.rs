//! What carries the bytes of a channel's direction: the system's streams, or FIFOs.

use std::fmt::Debug;
use std::io;
use std::time::Duration;

use anyipc_core::{Interest, Source};

use crate::wire::MAX_FRAME;

/// The sender's end of a direction. No call blocks.
pub trait Outgoing: Debug + Send + 'static {
    /// True if the system takes `len` bytes whole when they are sent next by one call, and has room
    /// for a goodbye after them. True for at least the [longest frame](Self::max_frame) whenever
    /// the [source](Self::source) is ready. Where the system itself takes all or nothing this may
    /// always be true.
    ///
    /// # Errors
    /// Those of [`send`](Self::send).
    fn has_room(&mut self, len: usize) -> io::Result<bool>;

    /// Sends as much as the system takes now.
    ///
    /// # Errors
    /// `WouldBlock` if that is nothing. An error that means a dead peer also comes if the receiver
    /// closed in order; [`stopped`](Self::stopped) tells the two apart.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`send`](Self::send), two pieces in one call.
    ///
    /// # Errors
    /// The same.
    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize>;

    /// Makes more room than usual, as far as the system grants it: for the rest of a frame that was
    /// taken in part, or for what is sent last.
    fn raise_send_buffer(&mut self);

    /// True if the receiver said that it closes.
    fn stopped(&mut self) -> bool;

    /// True if the receiver is still there, as far as can be told without sending.
    fn has_receiver(&mut self) -> bool {
        !self.stopped()
    }

    /// True if [`end`](Self::end) itself tells the receiver of an orderly end, so that no goodbye
    /// is sent among the frames. Constant.
    fn tells_end(&self) -> bool {
        false
    }

    /// Ends this direction. `orderly` says that everything was sent. Called once.
    fn end(&mut self, orderly: bool);

    /// The longest frame in bytes, at most [`MAX_FRAME`]. Constant.
    fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    /// What a reactor registers: ready when there is room.
    fn source(&self) -> Source;

    /// The readiness of the source that means room. Constant.
    fn interest(&self) -> Interest;
}

/// The receiver's end of a direction. No call blocks, except [`recv_within`](Self::recv_within).
pub trait Incoming: Debug + Send + 'static {
    /// Receives what is there. 0: the sender is gone, and everything that it sent was received.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there, and what the system says.
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// True if a receive that fills less than its buffer has taken everything, and the source then
    /// becomes readable anew when more comes. Constant.
    fn drains(&self) -> bool {
        false
    }

    /// True if [`recv_within`](Self::recv_within) blocks. The first call prepares that.
    fn sleeps(&mut self) -> bool {
        false
    }

    /// As [`recv`](Self::recv), but blocks until there is something, for about `timeout` at most:
    /// one system call, where waiting for readiness takes three. Only if [`sleeps`](Self::sleeps).
    ///
    /// # Errors
    /// Those of [`recv`](Self::recv).
    fn recv_within(&mut self, bytes: &mut [u8], _timeout: Duration) -> io::Result<usize> {
        self.recv(bytes)
    }

    /// Tells a waiting sender that everything before its [`MARK`](crate::MARK) was received. False
    /// where senders send no marks.
    fn answer_mark(&mut self) -> bool {
        false
    }

    /// After a receive of 0: true if the sender's [`end`](Outgoing::end) told of an orderly one.
    fn ended_orderly(&mut self) -> bool {
        false
    }

    /// Tells the sender that the receiver closes, as opposed to dying. Called once, last.
    fn stop(&mut self);

    /// What a reactor registers: readable when there is something to receive.
    fn source(&self) -> Source;
}
