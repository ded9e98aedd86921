//! What a pattern is measured over.

pub(crate) use super::payload::Received;
use super::payload::Verify;

/// Anything that goes wrong while measuring.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A duplex connection that carries checked messages.
pub(crate) trait Link {
    /// Sends a message of `size` bytes, all of them written, with this stamp.
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure>;

    /// Sends `count` messages, numbered from `first`, together if it can.
    fn send_many(&mut self, size: usize, first: u64, count: u64) -> Result<(), Failure> {
        (first..first + count).try_for_each(|sequence| self.send(size, sequence))
    }

    /// Waits for a message of `size` bytes and checks that it is number `expected`.
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure>;

    /// Lets the other side receive [`Received::End`] in place of a message of `size` bytes.
    fn finish(self, size: usize) -> Result<(), Failure>;
}

/// How both sides handle their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handling {
    /// What receivers check.
    pub(crate) verify: Verify,
    /// Written and read where they lie in the transport, not in buffers of one's own.
    pub(crate) in_place: bool,
}

/// The failure of a side whose partner left in the middle.
pub(crate) fn left_early() -> Failure {
    "the other side left in the middle of a measurement".into()
}
