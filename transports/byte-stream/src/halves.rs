//! A channel's halves: a stream each, or one for both.

use std::io;
use std::net::Shutdown;
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

/// A channel's halves over a stream per direction. About so many bytes are in flight in each; 0 leaves it to the
/// transport.
pub(crate) fn halves(mut sends: Stream, receives: Stream, capacity: u64) -> io::Result<(Sender, Receiver)> {
    sends.limit_sending(capacity)?;
    receives.limit_receiving(capacity)?;
    let (sends, receives) = (Arc::new(sends), Arc::new(receives));
    Ok((
        Sender::new(SendEnd { stream: sends, control: None }),
        Receiver::new(RecvEnd { stream: receives, control: None, sleeps: None }),
    ))
}

/// The same over one stream that carries both directions. Over another, which the peer may have made and may hold both
/// ends of, each receiver tells that it leaves: nothing else depends on it, and nobody ever waits for it.
pub(crate) fn duplex(mut data: Stream, control: Stream, capacity: u64) -> io::Result<(Sender, Receiver)> {
    data.limit_sending(capacity)?;
    let (data, control) = (Arc::new(data), Arc::new(control));
    Ok((
        Sender::new(SendEnd { stream: Arc::clone(&data), control: Some(Arc::clone(&control)) }),
        Receiver::new(RecvEnd { stream: data, control: Some(control), sleeps: None }),
    ))
}

/// Where a sender's bytes go.
#[derive(Debug)]
pub struct SendEnd {
    stream: Arc<Stream>,
    /// Where the receiver's [`STOP`] comes, if not back over the stream, which then is the other half's, too.
    control: Option<Arc<Stream>>,
}

impl Outgoing for SendEnd {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.send(bytes)
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.stream.send_two(first, second)
    }

    fn writable(&self) -> bool {
        self.stream.writable()
    }

    fn stretch(&mut self, more: bool) {
        self.stream.stretch(more);
    }

    fn stretch_last(&mut self) {
        self.stream.stretch_last();
    }

    fn stopped(&mut self) -> bool {
        let mut word = [0];
        loop {
            match self.control.as_ref().unwrap_or(&self.stream).recv(&mut word) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                heard => return heard.is_ok_and(|got| got > 0) && word == [STOP],
            }
        }
    }

    /// The stream goes on in the other direction: without this an end would only show where the goodbye had room.
    fn end(&mut self) {
        if self.control.is_some() {
            let _ = self.stream.shut(Shutdown::Write);
        }
    }

    fn source(&self) -> Source {
        self.stream.source()
    }

    fn interest(&self) -> Interest {
        self.stream.send_interest()
    }
}

/// Where a receiver's bytes come from.
#[derive(Debug)]
pub struct RecvEnd {
    stream: Arc<Stream>,
    /// Where [`STOP`] goes, if not back over the stream, which then is the other half's, too.
    control: Option<Arc<Stream>>,
    /// Whether the stream can be slept in, once that was asked.
    sleeps: Option<bool>,
}

impl Incoming for RecvEnd {
    fn recv(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.recv(bytes)
    }

    fn drains(&self) -> bool {
        Stream::DRAINS
    }

    fn sleeps(&mut self) -> bool {
        *self.sleeps.get_or_insert_with(|| self.stream.sleeps())
    }

    fn recv_within(&mut self, bytes: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.stream.recv_within(bytes, timeout)
    }

    /// Nothing else is ever sent this way, so there is room.
    fn stop(&mut self) {
        let _ = self.control.as_ref().unwrap_or(&self.stream).send(&[STOP]);
        // A stream that goes on in the other direction takes nothing more in this one. What it took is thrown away: the
        // sender may be asleep until there is room.
        if self.control.is_some() && self.stream.shut(Shutdown::Read).is_ok() {
            let mut rest = [0; 4096];
            loop {
                match self.stream.recv(&mut rest) {
                    Ok(1..) => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    _ => break,
                }
            }
        }
    }

    fn source(&self) -> Source {
        self.stream.source()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
