//! Channels over a pair of kernel queues without names, handed over in the handshake together with a page of marks.
//! The kernel wakes whoever sleeps; the socket tells of the peer's death.

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

use super::queue::failed;
use super::record::Record;
use super::sys;
use crate::settings::Settings;
use crate::store::state::{RECEIVER_LEFT, SENDER_LEFT};

/// Bytes of the page of marks: a word for each direction.
const MARKS: usize = 4096;

/// How channels of an address look.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    pub(crate) settings: &'a Settings,
    /// Who makes the queues of a channel holds this.
    pub(crate) record: &'a Record,
}

impl ChannelFactory for Pair<'_> {
    type Sender = Sender;
    type Receiver = Receiver;
    const EXTRAS: usize = 2;

    fn capacity(&self) -> usize {
        self.settings.channel_capacity()
    }

    fn insists(&self, hello: &Hello) -> u64 {
        self.settings.insists(hello)
    }

    fn extent(&self, _capacity: usize, _extra: u64) -> Option<Extent> {
        Some(Extent::whole(MARKS))
    }

    fn extras(&self) -> io::Result<Vec<Fd>> {
        let shape = self.settings.channel_shape();
        let make = || {
            self.record.nameless(shape).map_err(|error| {
                let (kind, why) = sys::explain(&error, shape.most as usize, shape.longest as usize);
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
    ) -> io::Result<(Sender, Receiver)> {
        let mut queues = side.extras.into_iter();
        let (Some(to_owner), Some(to_opener)) = (queues.next(), queues.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let end = |queue, mark| End::new(queue, region.clone(), mark, Arc::clone(&side.link));
        let (to_owner, to_opener) = (end(to_owner, 0)?, end(to_opener, 8)?);
        let ((out, back), (mark, token)) = match side.role {
            Role::Owner => ((to_opener, to_owner), (None, side.ready)),
            Role::Opener => ((to_owner, to_opener), (side.ready, None)),
        };
        Ok((
            Sender { end: out, ready: mark, scratch: Vec::new() },
            Receiver { end: back, token, copy: Vec::new() },
        ))
    }
}

/// A direction, as one of its sides has it.
#[derive(Debug)]
struct End {
    queue: Arc<Fd>,
    most: usize,
    /// Bytes of the longest message, the first of them flags.
    longest: usize,
    region: Region,
    mark: usize,
    link: Arc<Link>,
    pulse: Liveness,
}

impl End {
    /// `InvalidData` if the descriptor is no queue, or none that anyone would make.
    fn new(queue: Fd, region: Region, mark: usize, link: Arc<Link>) -> io::Result<Self> {
        let status = sys::status(&queue).map_err(|_| io::ErrorKind::InvalidData)?;
        if !(2..=16 << 20).contains(&status.longest) || status.most == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (most, longest) = (status.most, status.longest);
        Ok(Self {
            queue: Arc::new(queue),
            most,
            longest,
            region,
            mark,
            link,
            pulse: Liveness::new(),
        })
    }

    fn is_marked(&self, bit: u32) -> bool {
        self.region.u32(self.mark).load(SeqCst) & bit != 0
    }

    fn leave(&self, bit: u32) {
        self.region.u32(self.mark).fetch_or(bit, SeqCst);
    }

    /// How the direction has ended, if it has: `bit` is the peer's mark.
    fn ended(&mut self, bit: u32) -> Option<ErrorKind> {
        let gone = self.link.is_gone() || self.pulse.is_due() && self.link.look();
        // The mark last: who leaves in order sets it before the socket hangs up.
        if self.is_marked(bit) {
            Some(ErrorKind::Closed)
        } else {
            gone.then_some(ErrorKind::PeerGone)
        }
    }
}

/// The sending half of a channel over kernel queues.
#[derive(Debug)]
pub(crate) struct Sender {
    end: End,
    ready: Option<ReadySlot>,
    /// The flags and the frame, as one message.
    scratch: Vec<u8>,
}

impl Sender {
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

    /// Sends what is in `scratch`.
    fn push(&mut self) -> Result<()> {
        sys::send(&self.end.queue, 0, &self.scratch)
            .map_err(|error| failed(Operation::Send, error))?;
        self.tell();
        Ok(())
    }

    /// Tells the owner's inbox.
    fn tell(&self) {
        if self.ready.as_ref().is_some_and(ReadySlot::mark) {
            self.end.link.ring_bell();
        }
    }
}

impl SendHalf for Sender {
    fn max_frame(&self) -> usize {
        self.end.longest - 1
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        self.begin(max)?;
        // Only we take room away: what there is now stays.
        let status =
            sys::status(&self.end.queue).map_err(|error| failed(Operation::Send, error))?;
        if status.messages >= self.end.most {
            return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
        }
        self.scratch.clear();
        self.scratch.push(flags.bits());
        self.scratch.resize(1 + max, 0);
        match fill(&mut self.scratch[1..]) {
            Some(used) => {
                self.scratch.truncate(1 + used.min(max));
                self.push()
            }
            None => Ok(()),
        }
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.begin(payload.len())?;
        self.scratch.clear();
        self.scratch.push(flags.bits());
        self.scratch.extend_from_slice(payload);
        self.push()
    }

    fn try_flush(&mut self) -> Result<()> {
        self.end.link.check_generation(Operation::Send)
    }
}

impl Wait for Sender {
    fn source(&self) -> Result<Source> {
        Ok(self.end.queue.clone())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.end.link.check_generation(Operation::Send)?;
        let ended = self.end.ended(RECEIVER_LEFT).is_some();
        Ok(if ended { Armed::Ready } else { Armed::Source(Interest::Writable) })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.end.link.is_ours() {
            self.end.leave(SENDER_LEFT);
            // Wakes a receiver; in a full queue nobody sleeps.
            let _ = sys::send(&self.end.queue, 0, &[]);
            self.tell();
        }
    }
}

/// The receiving half of a channel over kernel queues.
#[derive(Debug)]
pub(crate) struct Receiver {
    end: End,
    token: Option<ReadySlot>,
    /// The flags and the frame, with room for the longest.
    copy: Vec<u8>,
}

impl Receiver {
    /// Receives one frame, which lies in `copy` behind the flags. How long it is.
    fn pop(&mut self) -> Result<(Flags, usize)> {
        self.end.link.check_generation(Operation::Receive)?;
        self.copy.resize(self.end.longest, 0);
        let mut end = None;
        loop {
            match sys::receive(&self.end.queue, &mut self.copy) {
                // The sender's goodbye, which only wakes.
                Ok((0, _)) => {}
                Ok((len, _)) => {
                    let flags = self.copy.first().and_then(|bits| Flags::from_bits(*bits));
                    return match flags {
                        Some(flags) => Ok((flags, len.min(self.copy.len()))),
                        None => Err(Error::new(Operation::Receive, ErrorKind::Corrupt)
                            .because("the peer broke the format of the channel")),
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(Operation::Receive, error)),
            }
            // Whatever was sent before the end is there once the end is known: one more look.
            match (end, self.end.ended(SENDER_LEFT)) {
                (Some(kind), _) => return Err(Error::new(Operation::Receive, kind)),
                (None, None) => return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
                (None, known) => end = known,
            }
        }
    }
}

impl RecvHalf for Receiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        let (flags, len) = self.pop()?;
        read(flags, self.copy.get(1..len).unwrap_or_default());
        Ok(())
    }

    fn token(&self) -> Option<u64> {
        self.token.as_ref().map(|slot| slot.index().into())
    }
}

impl Wait for Receiver {
    fn source(&self) -> Result<Source> {
        Ok(self.end.queue.clone())
    }

    fn arm(&mut self, _waiter: Waiter<'_>) -> Result<Armed> {
        self.end.link.check_generation(Operation::Receive)?;
        let ended = self.end.ended(SENDER_LEFT).is_some();
        Ok(if ended { Armed::Ready } else { Armed::Source(Interest::Readable) })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.end.link.is_ours() {
            self.end.leave(RECEIVER_LEFT);
            // Wakes a sender that waits for room.
            self.copy.resize(self.end.longest, 0);
            for _ in 0..self.end.most {
                if sys::receive(&self.end.queue, &mut self.copy).is_err() {
                    break;
                }
            }
        } else {
            // Giving the slot back takes a lock, which a thread of the parent may have held when we forked.
            std::mem::forget(self.token.take());
        }
    }
}
