use std::fmt::Debug;
use std::io;
use std::time::Duration;

use anyipc_core::{Interest, Source};

use crate::wire::MAX_FRAME;

/// Where a sender's bytes go. No call blocks.
pub trait Outgoing: Debug + Send + 'static {
    /// Sends as much as the system takes now. `WouldBlock`: nothing. An error that stands for a peer that is
    /// gone also when the receiver closed in order: [`stopped`](Self::stopped) tells.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`send`](Self::send), two pieces in one call.
    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize>;

    /// Whether a send would do more than block.
    fn writable(&self) -> bool;

    /// Makes room for one frame and a goodbye more than usual, as far as the system grants it, or takes it back.
    fn stretch(&mut self, more: bool);

    /// Makes room for what is left and a goodbye, as far as the system grants it: nothing follows.
    fn stretch_last(&mut self) {
        self.stretch(true);
    }

    /// Whether the receiver said that it leaves.
    fn stopped(&mut self) -> bool;

    /// Whether the receiver is still there, as far as can be told without sending anything.
    fn heard(&mut self) -> bool {
        !self.stopped()
    }

    /// Ends this direction where dropping it does not, since the other one shares its stream. Called once, last.
    fn end(&mut self) {}

    /// The longest frame, at most [`MAX_FRAME`]. Constant.
    fn max_frame(&self) -> usize {
        MAX_FRAME
    }

    /// What a reactor registers, ready when [`send`](Self::send) would do more than block.
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

    /// Tells the sender that this is no death. Called once, last.
    fn stop(&mut self);

    /// What a reactor registers, readable when there is something to receive.
    fn source(&self) -> Source;
}
