//! Channels over a pair of kernel queues without names. The owner hands them over in the handshake,
//! with a page of state words that tell an orderly end. Both sides sleep on the queues; the socket
//! of the handshake tells of the peer's death.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Hello, Interest, Operation, RecvHalf, Result, Role, SendHalf,
    Source, Wait, Waiter,
};
use anyipc_memory::handover::{ChannelFactory, Link, Liveness, ReadySlot, Side};
use anyipc_memory::{Extent, Region};
use anyipc_os::Fd;

use crate::queue::failed;
use crate::record::Record;
use crate::settings::Settings;
use crate::sys;

/// Where the state words of the two directions lie.
const TO_OWNER: usize = 0;
const TO_OPENER: usize = 8;
/// Bytes of both.
const STATES: usize = 16;
/// Bits of a state word: the sender has left, the receiver has left.
const SENDER_LEFT: u32 = 1;
const RECEIVER_LEFT: u32 = 2;

/// Makes the channels of an endpoint.
#[derive(Debug)]
pub struct Pair<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) record: &'a Record,
}

impl ChannelFactory for Pair<'_> {
    type Sender = PosixQueueSender;
    type Receiver = PosixQueueReceiver;
    const EXTRAS: usize = 2;

    fn capacity(&self) -> usize {
        usize::try_from(self.settings.channel_capacity()).unwrap_or(usize::MAX)
    }

    fn insists(&self, hello: &Hello) -> u64 {
        match hello.capacity {
            0 => self.settings.wanted_capacity(),
            asked => asked,
        }
    }

    fn extent(&self, _capacity: usize, _extra: u64) -> Option<Extent> {
        Some(Extent::whole(STATES))
    }

    fn extras(&self) -> io::Result<Vec<Fd>> {
        let shape = self.settings.channel_shape();
        let make = || {
            self.record.nameless(&shape).map_err(|error| {
                let (kind, why) = sys::explain(&error, &shape);
                let short = kind == ErrorKind::OutOfMemory;
                io::Error::new(if short { io::ErrorKind::OutOfMemory } else { error.kind() }, why)
            })
        };
        Ok(vec![make()?, make()?])
    }

    fn halves(
        &self,
        region: Region,
        _capacity: usize,
        side: Side,
    ) -> io::Result<(PosixQueueSender, PosixQueueReceiver)> {
        let mut queues = side.extras.into_iter();
        let (Some(to_owner), Some(to_opener)) = (queues.next(), queues.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let end = |queue, state| End::new(queue, region.clone(), state, Arc::clone(&side.link));
        let (to_owner, to_opener) = (end(to_owner, TO_OWNER)?, end(to_opener, TO_OPENER)?);
        let ((out, back), (ready, token)) = match side.role {
            Role::Owner => ((to_opener, to_owner), (None, side.ready)),
            Role::Opener => ((to_owner, to_opener), (side.ready, None)),
        };
        Ok((
            PosixQueueSender { end: out, ready, frame: Vec::new() },
            PosixQueueReceiver { end: back, token, frame: Vec::new() },
        ))
    }
}

/// One side's end of a direction.
#[derive(Debug)]
struct End {
    queue: Arc<Fd>,
    /// Messages that fit into the queue.
    messages: usize,
    /// Bytes of the longest message: one byte of flags, then the frame.
    max_message: usize,
    region: Region,
    /// Where the direction's state word lies in `region`.
    state: usize,
    link: Arc<Link>,
    liveness: Liveness,
}

impl End {
    /// `InvalidData` if the descriptor is no queue, or its limits are none that an owner chooses.
    fn new(queue: Fd, region: Region, state: usize, link: Arc<Link>) -> io::Result<Self> {
        let status = sys::status(&queue).map_err(|_| io::ErrorKind::InvalidData)?;
        if !(2..=16 << 20).contains(&status.max_message) || status.capacity == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            queue: Arc::new(queue),
            messages: status.capacity,
            max_message: status.max_message,
            region,
            state,
            link,
            liveness: Liveness::new(),
        })
    }

    fn has_left(&self, bit: u32) -> bool {
        self.region.u32(self.state).load(SeqCst) & bit != 0
    }

    fn leave(&self, bit: u32) {
        self.region.u32(self.state).fetch_or(bit, SeqCst);
    }

    /// How the direction has ended, if it has; `bit` is the peer's.
    fn ended(&mut self, bit: u32) -> Option<ErrorKind> {
        let gone = self.link.is_gone() || self.liveness.is_due() && self.link.check_gone();
        // After the look at the socket: an orderly leaver sets the bit before the socket hangs up.
        if self.has_left(bit) {
            Some(ErrorKind::Closed)
        } else {
            gone.then_some(ErrorKind::PeerGone)
        }
    }
}

/// The sending half of a channel over kernel queues.
#[derive(Debug)]
pub struct PosixQueueSender {
    end: End,
    ready: Option<ReadySlot>,
    /// The message to send: flags, then the frame.
    frame: Vec<u8>,
}

impl PosixQueueSender {
    fn begin(&mut self, len: usize) -> Result<()> {
        self.end.link.check_generation(Operation::Send)?;
        if len > self.max_frame() {
            return Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
                "a frame of {len} bytes is longer than the {} that this channel takes",
                self.max_frame()
            )));
        }
        match self.end.ended(RECEIVER_LEFT) {
            Some(kind) => Err(Error::new(Operation::Send, kind)),
            None => Ok(()),
        }
    }

    /// Sends `frame`.
    fn push(&mut self) -> Result<()> {
        sys::send(&self.end.queue, 0, &self.frame)
            .map_err(|error| failed(Operation::Send, error))?;
        self.notify();
        Ok(())
    }

    /// Sets the ready bit in the owner's inbox, and wakes the inbox if it sleeps.
    fn notify(&self) {
        if self.ready.as_ref().is_some_and(ReadySlot::mark) {
            self.end.link.ring_doorbell();
        }
    }
}

impl SendHalf for PosixQueueSender {
    fn max_frame(&self) -> usize {
        self.end.max_message - 1
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.begin(max)?;
        // This is the only sender: room that is there now stays.
        let status =
            sys::status(&self.end.queue).map_err(|error| failed(Operation::Send, error))?;
        if status.messages >= self.end.messages {
            return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
        }
        self.frame.clear();
        self.frame.push(flags.bits());
        self.frame.resize(1 + max, 0);
        match fill(&mut self.frame[1..]) {
            Some(used) => {
                self.frame.truncate(1 + used.min(max));
                self.push()
            }
            None => Ok(()),
        }
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.begin(payload.len())?;
        self.frame.clear();
        self.frame.push(flags.bits());
        self.frame.extend_from_slice(payload);
        self.push()
    }

    fn try_flush(&mut self) -> Result<()> {
        self.end.link.check_generation(Operation::Send)
    }
}

impl Wait for PosixQueueSender {
    fn source(&self) -> Result<Source> {
        Ok(self.end.queue.clone())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.end.link.check_generation(Operation::Send)?;
        let ended = self.end.ended(RECEIVER_LEFT).is_some();
        Ok(if ended { Armed::Ready } else { Armed::Source(Interest::Writable) })
    }
}

impl Drop for PosixQueueSender {
    fn drop(&mut self) {
        if self.end.link.is_ours() {
            self.end.leave(SENDER_LEFT);
            // An empty message wakes a sleeping receiver. If the queue is full, it does not sleep.
            let _ = sys::send(&self.end.queue, 0, &[]);
            self.notify();
        }
    }
}

/// The receiving half of a channel over kernel queues.
#[derive(Debug)]
pub struct PosixQueueReceiver {
    end: End,
    token: Option<ReadySlot>,
    /// The message received last: flags, then the frame. `max_message` bytes once in use.
    frame: Vec<u8>,
}

impl PosixQueueReceiver {
    /// Receives one message into `frame`. Returns its flags and its length with them.
    fn pop(&mut self) -> Result<(Flags, usize)> {
        self.end.link.check_generation(Operation::Receive)?;
        self.frame.resize(self.end.max_message, 0);
        let mut end = None;
        loop {
            match sys::receive(&self.end.queue, &mut self.frame) {
                // The wake-up of a sender that has left.
                Ok((0, _)) => {}
                Ok((len, _)) => {
                    let flags = self.frame.first().and_then(|bits| Flags::from_bits(*bits));
                    return match flags {
                        Some(flags) => Ok((flags, len.min(self.frame.len()))),
                        None => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                            .because("the peer broke the format of the channel")),
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(Operation::Receive, error)),
            }
            // All messages were sent before the end became visible: look once more after it has.
            match (end, self.end.ended(SENDER_LEFT)) {
                (Some(kind), _) => return Err(Error::new(Operation::Receive, kind)),
                (None, None) => return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
                (None, known) => end = known,
            }
        }
    }
}

impl RecvHalf for PosixQueueReceiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let (flags, len) = self.pop()?;
        read(flags, self.frame.get(1..len).unwrap_or_default());
        Ok(())
    }

    fn token(&self) -> Option<u64> {
        self.token.as_ref().map(|slot| slot.index().into())
    }
}

impl Wait for PosixQueueReceiver {
    fn source(&self) -> Result<Source> {
        Ok(self.end.queue.clone())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.end.link.check_generation(Operation::Receive)?;
        let ended = self.end.ended(SENDER_LEFT).is_some();
        Ok(if ended { Armed::Ready } else { Armed::Source(Interest::Readable) })
    }
}

impl Drop for PosixQueueReceiver {
    fn drop(&mut self) {
        if self.end.link.is_ours() {
            self.end.leave(RECEIVER_LEFT);
            // Makes room, which wakes a sender that waits for it.
            self.frame.resize(self.end.max_message, 0);
            for _ in 0..self.end.messages {
                if sys::receive(&self.end.queue, &mut self.frame).is_err() {
                    break;
                }
            }
        } else {
            // Giving the slot back takes a lock that another thread of the parent may have held
            // at the fork.
            std::mem::forget(self.token.take());
        }
    }
}
