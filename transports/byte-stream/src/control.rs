//! The control stream beside a stream that carries both directions of a channel.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyipc_os::generation;

use crate::sys::Stream;
use crate::wire::STOP;

/// How often a sender that always finds room looks whether its receiver is still there.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Each receiver says over it that it closes. The peer may have made this stream and may hold both
/// ends of it, so nothing else depends on it and no call waits for it.
#[derive(Debug)]
pub(crate) struct Control {
    stream: Stream,
    /// The stream of the frames.
    data: Arc<Stream>,
    /// True once the peer's receiver has closed. Never reset. Relaxed: it publishes no other data.
    stopped: AtomicBool,
    /// The fork generation of the process that has the channel.
    generation: u32,
}

impl Control {
    pub(crate) fn new(stream: Stream, data: Arc<Stream>) -> Self {
        Self { stream, data, stopped: AtomicBool::new(false), generation: generation() }
    }

    /// Says that this side's receiver closes. Nothing else is ever sent here, so there is room.
    pub(crate) fn say_stop(&self) {
        let _ = self.stream.send(&[STOP]);
    }

    /// True if the peer's receiver has closed.
    pub(crate) fn stopped(&self) -> bool {
        if !self.stopped.load(Relaxed) && reads_stop(&self.stream) {
            self.stopped.store(true, Relaxed);
        }
        self.stopped.load(Relaxed)
    }

    /// True while the peer holds its end and its receiver is open.
    pub(crate) fn has_receiver(&self) -> bool {
        if self.stopped() {
            return false;
        }
        let mut word = [0];
        match self.stream.recv(&mut word) {
            Ok(got) => {
                // Either the end of the stream, or a `STOP` that came after the look above.
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
    /// Comes with the last half. What was sent must still arrive, unless the peer's receiver has
    /// closed.
    fn drop(&mut self) {
        if self.generation == generation() && !self.stopped() {
            self.data.part();
        }
    }
}

/// True if the peer has sent [`STOP`].
pub(crate) fn reads_stop(stream: &Stream) -> bool {
    let mut word = [0];
    loop {
        match stream.recv(&mut word) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            got => return got.is_ok_and(|got| got > 0) && word == [STOP],
        }
    }
}

/// The control stream as a sender sees it.
#[derive(Debug)]
pub(crate) struct ControlWatch {
    control: Arc<Control>,
    /// When to look next; `None` where a send fails by itself once the receiver has closed.
    next_look: Option<Instant>,
}

impl ControlWatch {
    /// `looks` says that a send does not fail by itself once the receiver has closed.
    pub(crate) fn new(control: Arc<Control>, looks: bool) -> Self {
        Self { control, next_look: looks.then(Instant::now) }
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    /// Before a send: looks if it is time to, or if the answer is known. `BrokenPipe` if the
    /// receiver has closed.
    #[inline]
    pub(crate) fn look_when_due(&mut self) -> io::Result<()> {
        if let Some(next) = self.next_look {
            let now = Instant::now();
            if now >= next || self.control.stopped.load(Relaxed) {
                self.look(now + LOOK_EVERY)?;
            }
        }
        Ok(())
    }

    /// Without room: the receiver may have closed. The next send looks again, since closing makes
    /// room, too.
    #[cold]
    pub(crate) fn look_without_room(&mut self) -> io::Result<()> {
        if self.next_look.is_some() {
            self.look(Instant::now())?;
        }
        Ok(())
    }

    #[cold]
    fn look(&mut self, next: Instant) -> io::Result<()> {
        self.next_look = Some(next);
        if self.control.stopped() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }
}
