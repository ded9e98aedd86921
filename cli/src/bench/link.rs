//! What a pattern is measured over.

use anyipc::{Channel, ErrorKind};

use super::payload;

/// Anything that goes wrong while measuring.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What [`Link::receive`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message, more will follow.
    Message,
    /// The last message of a phase.
    Last,
    /// The other side closed in an orderly way.
    End,
}

/// A duplex connection that carries checked messages.
pub(crate) trait Link {
    /// Sends a message of `size` bytes, all of them written, with this stamp.
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure>;

    /// Waits for a message of `size` bytes and checks that it is number `expected`.
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure>;
}

/// Written in place and read by closure: what the library recommends for speed.
impl Link for Channel {
    #[inline]
    fn send(&mut self, size: usize, stamp: u64) -> Result<(), Failure> {
        let fill = |frame: &mut [u8]| {
            payload::write(frame.get_mut(..size)?, stamp);
            Some(size)
        };
        Ok(self.send_with(size, fill)?)
    }

    #[inline]
    fn receive(&mut self, size: usize, expected: u64) -> Result<Received, Failure> {
        match self.recv_with(|message| payload::check(message, size, expected)) {
            Ok(Ok(false)) => Ok(Received::Message),
            Ok(Ok(true)) => Ok(Received::Last),
            Ok(Err(fault)) => Err(fault.into()),
            Err(error) if error.kind() == ErrorKind::Closed => Ok(Received::End),
            Err(error) => Err(error.into()),
        }
    }
}

/// The failure of a side whose partner left in the middle.
pub(crate) fn left_early() -> Failure {
    "the other side left in the middle of a measurement".into()
}
