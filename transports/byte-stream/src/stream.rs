use std::fmt::Debug;
use std::io;
use std::time::Duration;

use anyipc_core::{Interest, Source};

use crate::wire::MAX_FRAME;

/// Where a sender's bytes go. No call blocks.
pub trait Outgoing: Debug + Send + 'static {
    /// Whether the system takes `len` bytes whole if they are sent next, by one call, and has room for a goodbye then.
    /// True for at least the [longest frame](Self::max_frame) whenever the [source](Self::source) is ready. Where the
    /// system itself takes all or nothing it need not know. An error is one that [`send`](Self::send) would give.
    fn has_room(&mut self, len: usize) -> io::Result<bool>;

    /// Sends as much as the system takes now. `WouldBlock`: nothing. An error that stands for a peer that is
    /// gone also when the receiver closed in order: [`stopped`](Self::stopped) tells.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`send`](Self::send), two pieces in one call.
    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize>;

    /// Makes more room than usual for the rest of a frame that was taken in part, or for what is sent last, as far as
    /// the system grants it.
    fn enlarge(&mut self);

    /// Whether the receiver said that it leaves.
    fn stopped(&mut self) -> bool;

    /// Whether the receiver is still there, as far as can be told without sending anything.
    fn heard(&mut self) -> bool {
        !self.stopped()
    }

    /// True if [`end`](Self::end) itself tells the receiver of an orderly end, so that no goodbye travels among the
    /// frames. Constant.
    fn tells_end(&self) -> bool {
        false
    }

    /// Ends this direction: nothing more is sent. `orderly` if everything was. Called once.
    fn end(&mut self, orderly: bool);

    /// The longest frame, at most [`MAX_FRAME`]. Constant.
    fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    /// What a reactor registers, ready when there is room.
    fn source(&self) -> Source;

    /// Which readiness of the source that is. Constant.
    fn interest(&self) -> Interest;
}

/// Where a receiver's bytes come from. No call blocks, but for [`recv_within`](Self::recv_within).
pub trait Incoming: Debug + Send + 'static {
    /// Receives what is there. 0: the sender is gone, and everything it sent was received.
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize>;

    /// Whether a receive that fills less than its room has taken all there was, and the source becomes readable anew
    /// when more comes. Constant.
    fn drains(&self) -> bool {
        false
    }

    /// Whether [`recv_within`](Self::recv_within) sleeps. The first call prepares that.
    fn sleeps(&mut self) -> bool {
        false
    }

    /// As [`recv`](Self::recv), but sleeps until there is something, for about `timeout` at most: one call of the
    /// system's where waiting for readiness takes three. Only where it [sleeps](Self::sleeps).
    fn recv_within(&mut self, bytes: &mut [u8], _timeout: Duration) -> io::Result<usize> {
        self.recv(bytes)
    }

    /// Tells a sender that waits until everything before its [`MARK`](crate::MARK) has been received. False where no
    /// sender says it.
    fn answer_mark(&mut self) -> bool {
        false
    }

    /// After a receive of 0: true if the sender's [`end`](Outgoing::end) told of an orderly one.
    fn ended_orderly(&mut self) -> bool {
        false
    }

    /// Tells the sender that this is no death. Called once, last.
    fn stop(&mut self);

    /// What a reactor registers, readable when there is something to receive.
    fn source(&self) -> Source;
}
