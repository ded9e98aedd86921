//! A channel's halves: a stream each, or one for both.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::stream::{Incoming, Outgoing};
use crate::wire::STOP;
use anyipc_core::{Interest, Source};
use anyipc_os::generation;

use crate::sys::{SendRoom, Stream};

/// How often a sender that always finds room looks whether its receiver is still there.
const LOOK: Duration = Duration::from_millis(10);

/// The sending half of a channel over a stream of the system.
pub type StreamSender = crate::sender::FrameSender<SendEnd>;
/// The receiving half of a channel over a stream of the system.
pub type StreamReceiver = crate::receiver::FrameReceiver<RecvEnd>;

/// A channel's halves over a stream per direction. About so many bytes are in flight in each; 0 leaves it to the
/// transport.
pub(crate) fn halves(
    mut sends: Stream,
    receives: Stream,
    capacity: u64,
) -> io::Result<(StreamSender, StreamReceiver)> {
    let room = sends.limit_sending(capacity)?;
    receives.limit_receiving(capacity)?;
    let (sends, receives) = (Arc::new(sends), Arc::new(receives));
    Ok((
        StreamSender::new(SendEnd { stream: sends, room, control: None }),
        StreamReceiver::new(RecvEnd { stream: receives, control: None, sleeps: None }),
    ))
}

/// The same over one stream that carries both directions, and another beside it for [`Control`].
pub(crate) fn duplex(
    mut data: Stream,
    control: Stream,
    capacity: u64,
) -> io::Result<(StreamSender, StreamReceiver)> {
    let room = data.limit_sending(capacity)?;
    data.limit_receiving(capacity)?;
    let watch = (!data.tells_of_stop()).then(Instant::now);
    let data = Arc::new(data);
    let control = Arc::new(Control {
        stream: control,
        data: Arc::clone(&data),
        stopped: AtomicBool::new(false),
        generation: generation(),
    });
    Ok((
        StreamSender::new(SendEnd {
            stream: Arc::clone(&data),
            room,
            control: Some(OpenerHandshake { control: Arc::clone(&control), watch }),
        }),
        StreamReceiver::new(RecvEnd { stream: data, control: Some(control), sleeps: None }),
    ))
}

/// The stream over which each receiver tells that it leaves, where the other one carries both directions. The peer may
/// have made it and may hold both ends of it: nothing else depends on it, and nobody ever waits for it.
#[derive(Debug)]
struct Control {
    stream: Stream,
    /// The other one.
    data: Arc<Stream>,
    /// The peer's receiver has left.
    stopped: AtomicBool,
    generation: u32,
}

impl Control {
    fn stopped(&self) -> bool {
        if !self.stopped.load(Relaxed) && hears_stop(&self.stream) {
            self.stopped.store(true, Relaxed);
        }
        self.stopped.load(Relaxed)
    }
}

impl Control {
    /// Whether the peer still holds its end, and its receiver.
    fn heard(&self) -> bool {
        if self.stopped() {
            return false;
        }
        let mut word = [0];
        match self.stream.recv(&mut word) {
            Ok(got) => {
                // Heard between the two looks.
                self.stopped.store(got > 0 && word == [STOP], Relaxed);
                false
            }
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }
        }
    }
}

impl Drop for Control {
    /// With the last half. What was sent is to arrive, unless nobody receives it.
    fn drop(&mut self) {
        if self.generation == generation() && !self.stopped() {
            self.data.part();
        }
    }
}

/// Whether the peer has said [`STOP`].
fn hears_stop(stream: &Stream) -> bool {
    let mut word = [0];
    loop {
        match stream.recv(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            heard => return heard.is_ok_and(|got| got > 0) && word == [STOP],
        }
    }
}

/// The control stream as a sender sees it.
#[derive(Debug)]
struct OpenerHandshake {
    control: Arc<Control>,
    /// When it is asked next without a reason, where the data's stream does not tell of a receiver that leaves.
    watch: Option<Instant>,
}

impl OpenerHandshake {
    /// `BrokenPipe` if the receiver has left.
    #[cold]
    fn look(&mut self, now: Instant) -> io::Result<()> {
        self.watch = Some(now + LOOK);
        if self.control.stopped() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}

/// Where a sender's bytes go.
#[derive(Debug)]
pub struct SendEnd {
    stream: Arc<Stream>,
    room: SendRoom,
    /// Where the receiver's [`STOP`] comes, if not back over the stream, which then is the other half's, too.
    control: Option<OpenerHandshake>,
}

impl SendEnd {
    /// Sends, and looks now and then whether the receiver is still there.
    #[inline]
    fn watched(&mut self, send: impl FnOnce(&Stream) -> io::Result<usize>) -> io::Result<usize> {
        if let Some(asked) = self.control.as_mut()
            && let Some(next) = asked.watch
        {
            let now = Instant::now();
            if now >= next || asked.control.stopped.load(Relaxed) {
                asked.look(now)?;
            }
        }
        let sent = send(&self.stream);
        if sent.is_err() {
            self.room.is_used_up();
        }
        sent
    }

    /// Without room: the receiver may have left, and the next send is to look again, as room may come of leaving, too.
    #[cold]
    fn look(&mut self) -> io::Result<()> {
        if let Some(asked) = self.control.as_mut().filter(|asked| asked.watch.is_some()) {
            let now = Instant::now();
            asked.look(now)?;
            asked.watch = Some(now);
        }
        Ok(())
    }
}

impl Outgoing for SendEnd {
    #[inline]
    fn has_room(&mut self, len: usize) -> io::Result<bool> {
        if self.room.suffices(len) || self.room.ask(&self.stream, len)? {
            return Ok(true);
        }
        self.look()?;
        Ok(false)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watched(|stream| stream.send(bytes))
    }

    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.watched(|stream| stream.send_two(first, second))
    }

    fn enlarge(&mut self) {
        self.stream.enlarge();
        self.room.is_used_up();
    }

    fn stopped(&mut self) -> bool {
        match &self.control {
            Some(asked) => asked.control.stopped(),
            None => hears_stop(&self.stream),
        }
    }

    fn heard(&mut self) -> bool {
        match &self.control {
            Some(asked) => asked.control.heard(),
            // The end of the stream, too, is no receiver.
            None => self.stream.recv(&mut [0]).is_err_and(|error| {
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
            }),
        }
    }

    /// The stream may go on in the other direction, and the receiver is to hear of an end without a goodbye.
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

/// Where a receiver's bytes come from.
#[derive(Debug)]
pub struct RecvEnd {
    stream: Arc<Stream>,
    /// Where [`STOP`] goes, if not back over the stream, which then is the other half's, too.
    control: Option<Arc<Control>>,
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
        let Some(control) = &self.control else {
            let _ = self.stream.send(&[STOP]);
            return;
        };
        let _ = control.stream.send(&[STOP]);
        self.stream.end_receiving();
    }

    fn source(&self) -> Source {
        self.stream.source()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
