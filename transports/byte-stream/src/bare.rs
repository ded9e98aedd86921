//! One stream of the system for both directions, without a handshake, goodbyes or a control stream:
//! what any other program can be the other side of.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Interest, Source};

use crate::stream::{Incoming, Outgoing};
use crate::sys::{SendRoom, Stream};

/// Both directions of a stream, with about `capacity` bytes in flight on the way out; 0 leaves that
/// to the system. The peer's buffer limits the way in.
///
/// # Errors
/// `OutOfMemory` if the system grants no buffer that a frame fits into.
pub fn bare(mut stream: Stream, capacity: u64) -> io::Result<(BareOutgoing, BareIncoming)> {
    let room = stream.limit_sending(capacity)?;
    let stream = Arc::new(stream);
    Ok((BareOutgoing { stream: Arc::clone(&stream), room }, BareIncoming { stream, sleeps: None }))
}

/// The sending direction of a bare stream. Its end is the end of the stream for the peer, which
/// cannot tell an orderly end from a death. Neither can this side.
#[derive(Debug)]
pub struct BareOutgoing {
    stream: Arc<Stream>,
    room: SendRoom,
}

impl BareOutgoing {
    #[inline]
    fn noting_room(&mut self, sent: io::Result<usize>) -> io::Result<usize> {
        if sent.is_err() {
            self.room.is_used_up();
        }
        sent
    }
}

impl Outgoing for BareOutgoing {
    #[inline]
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        Ok(self.room.suffices(len) || self.room.ask(&self.stream, len)?)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.stream.send(bytes);
        self.noting_room(sent)
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let sent = self.stream.send_two(first, second);
        self.noting_room(sent)
    }

    fn raise_send_buffer(&mut self) {
        self.stream.raise_send_buffer();
        self.room.is_used_up();
    }

    /// Every end counts as an orderly one.
    fn stopped(&mut self) -> bool {
        true
    }

    /// A send of nothing fails once the peer has closed its end or stopped to receive.
    fn has_receiver(&mut self) -> bool {
        match self.stream.send(&[]) {
            Ok(_) => true,
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }

    fn tells_end(&self) -> bool {
        true
    }

    fn end(&mut self, _orderly: bool) {
        self.stream.end_sending();
    }

    fn max_frame(&self) -> usize {
        self.room.max_frame()
    }

    fn source(&self) -> Source {
        self.stream.source()
    }

    fn interest(&self) -> Interest {
        self.stream.send_interest()
    }
}

/// The receiving direction of a bare stream.
#[derive(Debug)]
pub struct BareIncoming {
    stream: Arc<Stream>,
    /// True if the stream can block a receive; `None` until that was asked.
    sleeps: Option<bool>,
}

impl Incoming for BareIncoming {
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

    fn ended_orderly(&mut self) -> bool {
        true
    }

    /// The peer's sends fail from now on.
    fn stop(&mut self) {
        self.stream.end_receiving();
    }

    fn source(&self) -> Source {
        self.stream.source()
    }
}
