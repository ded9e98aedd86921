//! The halves of a channel over the system's streams: one stream per direction, or one for both.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Interest, Peer, Source};

use crate::control::{Control, ControlWatch, reads_stop};
use crate::receiver::FrameReceiver;
use crate::sender::FrameSender;
use crate::stream::{Incoming, Outgoing};
use crate::sys::{SendRoom, Stream};
use crate::wire::STOP;

/// The sending half of a channel over a stream of the system.
pub type StreamSender = FrameSender<SendEnd>;
/// The receiving half of a channel over a stream of the system.
pub type StreamReceiver = FrameReceiver<RecvEnd>;
/// A channel: its halves and its peer.
pub(crate) type StreamChannel = (StreamSender, StreamReceiver, Peer);

/// The halves over one stream per direction, each with about `capacity` bytes in flight. 0 leaves
/// that to the transport.
pub(crate) fn halves(
    mut sends: Stream,
    receives: Stream,
    capacity: u64,
) -> io::Result<(StreamSender, StreamReceiver)> {
    let room = sends.limit_sending(capacity)?;
    receives.limit_receiving(capacity)?;
    let (sends, receives) = (Arc::new(sends), Arc::new(receives));
    Ok((
        StreamSender::new(SendEnd { stream: sends, room, control: None, stopped: false }),
        StreamReceiver::new(RecvEnd { stream: receives, control: None, sleeps: None }),
    ))
}

/// The halves over one stream that carries both directions, with another one for [`Control`].
pub(crate) fn duplex(
    mut data: Stream,
    control: Stream,
    capacity: u64,
) -> io::Result<(StreamSender, StreamReceiver)> {
    let room = data.limit_sending(capacity)?;
    data.limit_receiving(capacity)?;
    let looks = !data.tells_of_stop();
    let data = Arc::new(data);
    let control = Arc::new(Control::new(control, Arc::clone(&data)));
    let watch = Some(ControlWatch::new(Arc::clone(&control), looks));
    Ok((
        StreamSender::new(SendEnd {
            stream: Arc::clone(&data),
            room,
            control: watch,
            stopped: false,
        }),
        StreamReceiver::new(RecvEnd { stream: data, control: Some(control), sleeps: None }),
    ))
}

/// The stream below a sender.
#[derive(Debug)]
pub struct SendEnd {
    stream: Arc<Stream>,
    room: SendRoom,
    /// Where the receiver says [`STOP`]. `None`: back over the stream, which is this half's alone.
    control: Option<ControlWatch>,
    /// The receiver said so over the stream.
    stopped: bool,
}

impl SendEnd {
    /// Sends, and looks now and then whether the receiver is still there.
    #[inline]
    fn watched(&mut self, send: impl FnOnce(&Stream) -> io::Result<usize>) -> io::Result<usize> {
        if let Some(watch) = self.control.as_mut() {
            watch.look_when_due()?;
        }
        let sent = send(&self.stream);
        if sent.is_err() {
            self.room.is_used_up();
        }
        sent
    }
}

impl Outgoing for SendEnd {
    #[inline]
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        if self.room.suffices(len) || self.room.ask(&self.stream, len)? {
            return Ok(true);
        }
        if let Some(watch) = self.control.as_mut() {
            watch.look_without_room()?;
        }
        Ok(false)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watched(|stream| stream.send(bytes))
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.watched(|stream| stream.send_two(first, second))
    }

    fn raise_send_buffer(&mut self) {
        self.stream.raise_send_buffer();
        self.room.is_used_up();
    }

    fn stopped(&mut self) -> bool {
        match &self.control {
            Some(watch) => watch.control().stopped(),
            None => {
                self.stopped |= reads_stop(&self.stream);
                self.stopped
            }
        }
    }

    fn has_receiver(&mut self) -> bool {
        if let Some(watch) = &self.control {
            return watch.control().has_receiver();
        }
        if self.stopped() {
            return false;
        }
        let mut word = [0];
        match self.stream.recv(&mut word) {
            Ok(got) => {
                // Either the end of the stream, or a `STOP` that came after the look above.
                self.stopped = got > 0 && word == [STOP];
                false
            }
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }

    /// Ends this direction of the stream alone: the other one may go on. Without a goodbye before
    /// it the receiver sees an end that is not orderly.
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

/// The stream below a receiver.
#[derive(Debug)]
pub struct RecvEnd {
    stream: Arc<Stream>,
    /// Where to say [`STOP`]. `None`: back over the stream, which is this half's alone.
    control: Option<Arc<Control>>,
    /// True if the stream can block a receive; `None` until that was asked.
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

    fn stop(&mut self) {
        match &self.control {
            Some(control) => {
                control.say_stop();
                self.stream.end_receiving();
            }
            // Nothing else is ever sent this way, so there is room.
            None => {
                let _ = self.stream.send(&[STOP]);
            }
        }
    }

    fn source(&self) -> Source {
        self.stream.source()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
