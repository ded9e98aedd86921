//! A channel's halves, a stream each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::stream::{Incoming, Outgoing};
use crate::wire::STOP;
use anyipc_core::{Interest, Source};

use crate::sys::Stream;

/// The sending half of a channel over a stream of the system.
pub type Sender = crate::sender::Sender<SendEnd>;
/// The receiving half of a channel over a stream of the system.
pub type Receiver = crate::receiver::Receiver<RecvEnd>;

/// A channel's halves. About so many bytes are in flight per direction; 0 leaves it to the transport.
pub(crate) fn halves(mut sends: Stream, receives: Stream, capacity: u64) -> io::Result<(Sender, Receiver)> {
    sends.limit_sending(capacity)?;
    receives.limit_receiving(capacity)?;
    Ok((
        Sender::new(SendEnd(Arc::new(sends))),
        Receiver::new(RecvEnd { stream: Arc::new(receives), sleeps: None }),
    ))
}

/// Where a sender's bytes go. The receiver's [`STOP`] comes back the same way.
#[derive(Debug)]
pub struct SendEnd(Arc<Stream>);

impl Outgoing for SendEnd {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.0.send_two(first, second)
    }

    fn writable(&self) -> bool {
        self.0.writable()
    }

    fn stretch(&mut self, more: bool) {
        self.0.stretch(more);
    }

    fn stretch_last(&mut self) {
        self.0.stretch_last();
    }

    fn stopped(&mut self) -> bool {
        loop {
            match self.0.recv(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                heard => return heard.is_ok_and(|got| got > 0),
            }
        }
    }

    fn source(&self) -> Source {
        self.0.source()
    }

    fn interest(&self) -> Interest {
        self.0.send_interest()
    }
}

/// Where a receiver's bytes come from.
#[derive(Debug)]
pub struct RecvEnd {
    stream: Arc<Stream>,
    /// Whether the stream can be slept in, once that was asked.
    sleeps: Option<bool>,
}

impl Incoming for RecvEnd {
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.recv(bytes)
    }

    fn sleeps(&mut self) -> bool {
        *self.sleeps.get_or_insert_with(|| self.stream.sleeps())
    }

    fn recv_within(&mut self, bytes: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.stream.recv_within(bytes, timeout)
    }

    /// Nothing else is ever sent this way, so there is room.
    fn stop(&mut self) {
        let _ = self.stream.send(&[STOP]);
    }

    fn source(&self) -> Source {
        self.stream.source()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
