use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Interest, Operation, RecvHalf, Result, Source, Wait, Waiter,
};
use anyipc_ring::{Consumer, Refusal, Storage, Wake, state};

use super::layout::Layout;
use super::scratch::Scratch;
use super::shared_ring::SharedRing;
use super::wake_peer;
use anyipc_memory::bytes::{self, SHORT};
use anyipc_memory::handover::{Half, Link, Liveness, ReadySlot};

/// The receiving half of a shared-memory channel.
#[derive(Debug)]
pub struct Receiver {
    ring: Consumer<SharedRing>,
    link: Arc<Link>,
    pulse: Liveness,
    token: Option<ReadySlot>,
    /// Whether frames are read where they stand, instead of in `copy`.
    in_place: bool,
    copy: Scratch,
    /// The value of our state word that a thread may sleep on.
    parked: u32,
    /// How many bytes the ring may grow to.
    limit: usize,
    larger: Larger,
    /// The peer broke the format: nothing of it is believed any more.
    broken: bool,
}

/// The array that the ring goes on in when the sender says so. An honest sender has at most one offer open,
/// and makes no other after one was declined, so that a peer's offers end.
#[derive(Debug)]
enum Larger {
    /// The sender may offer memory.
    None,
    /// The spare array, which both sides have; the sender may also offer memory.
    Spare(SharedRing),
    /// The memory that the sender has offered; the next thing in the ring must be data, or the move.
    Accepted(SharedRing),
    /// The sender's offer was declined: the ring stays as it is.
    Declined,
}

impl Receiver {
    pub(super) fn new(
        ring: Consumer<SharedRing>,
        spare: Option<SharedRing>,
        link: Arc<Link>,
        token: Option<ReadySlot>,
        in_place: bool,
        limit: usize,
    ) -> Self {
        Self {
            ring: ring.beside(link.answers()),
            link,
            pulse: Liveness::new(),
            token,
            in_place,
            copy: Scratch::default(),
            parked: 0,
            limit,
            larger: spare.map_or(Larger::None, Larger::Spare),
            broken: false,
        }
    }

    /// Shows the next frame to `read`, if it is there, has at most `most` bytes, and nothing has to be looked after. The
    /// error is for [`take`](Self::take).
    #[inline]
    fn pop_next<R>(
        &mut self,
        most: usize,
        read: impl FnOnce(&[u8]) -> R,
    ) -> std::result::Result<R, usize> {
        if !self.link.is_sound() || self.broken {
            return Err(usize::MAX);
        }
        let result = self.ring.pop_next(most, read)?;
        if self.ring.is_due() {
            self.turn();
        }
        Ok(result)
    }

    /// Shows the next frame to `read`, of this length if that can be; see [`Consumer::pop_next`].
    #[inline]
    fn take<R>(&mut self, len: usize, mut read: impl FnMut(Flags, &[u8]) -> R) -> Result<R> {
        if len > self.ring.max_payload() {
            return self.pop(read);
        }
        match self.ring.take(len, |frame| read(Flags::NONE, frame)) {
            Some(result) => {
                if self.ring.is_due() {
                    self.turn();
                }
                Ok(result)
            }
            None => Err(self.condemn()),
        }
    }

    #[cold]
    fn turn(&mut self) {
        let wake = self.ring.turn();
        wake_peer(&self.link, wake, self.ring.ring().producer());
    }

    /// Appends the next frame, as [`take`](Self::take) shows it.
    #[inline(never)]
    fn append(&mut self, len: usize, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.take(len, |flags, frame| {
            buffer.extend_from_slice(frame);
            flags
        })
    }

    #[inline(never)]
    fn pop<R>(&mut self, mut read: impl FnMut(Flags, &[u8]) -> R) -> Result<R> {
        self.link.check_generation(Operation::Receive)?;
        if self.broken {
            return Err(corrupt());
        }
        // An unknown flag cannot come from our sender; the frame is shown to nobody.
        let mut show =
            |flags: u8, frame: &[u8]| Flags::from_bits(flags).map(|flags| read(flags, frame));
        // At most two turns, and one for each of an offer and a move, whatever lies in the ring.
        let (mut gone, mut offered) = (false, false);
        let (result, wake) = loop {
            match self.ring.pop(&mut show) {
                Ok(popped) => break popped,
                // The next call's.
                Err(Refusal::Offered) if offered => {
                    return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
                }
                Err(Refusal::Offered) => {
                    offered = true;
                    self.consider()?;
                }
                Err(Refusal::Moved) => self.follow()?,
                Err(refusal) if gone => return Err(self.last(refusal)),
                Err(refusal) => match self.refuse(refusal) {
                    Some(error) => return Err(error),
                    // The peer has died meanwhile: what it sent before is all there now.
                    None => gone = true,
                },
            }
        };
        if wake != Wake::Nobody {
            wake_peer(&self.link, wake, self.ring.ring().producer());
        }
        result.ok_or_else(|| self.condemn())
    }

    /// Takes the larger array that the sender has handed over, if it arrived (descriptors may have run out),
    /// is sound and can be mapped; else the ring stays as it is.
    #[cold]
    fn consider(&mut self) -> Result<()> {
        if matches!(self.larger, Larger::Accepted(_) | Larger::Declined) {
            return Err(self.condemn());
        }
        let memory = self.link.handed_over();
        let larger =
            memory.and_then(|memory| Layout::follow(self.ring.ring(), &memory, self.limit).ok());
        let wake = self.ring.answer(larger.is_some());
        self.larger = larger.map_or(Larger::Declined, Larger::Accepted);
        wake_peer(&self.link, wake, self.ring.ring().producer());
        Ok(())
    }

    /// Goes on in the array that both sides have.
    #[cold]
    fn follow(&mut self) -> Result<()> {
        match std::mem::replace(&mut self.larger, Larger::None) {
            Larger::Spare(ring) | Larger::Accepted(ring) => {
                self.ring.follow(ring);
                Ok(())
            }
            Larger::None | Larger::Declined => Err(self.condemn()),
        }
    }

    #[cold]
    fn condemn(&mut self) -> Error {
        self.broken = true;
        corrupt()
    }

    /// The error, or `None` if the ring deserves one more look before the peer is called gone.
    #[cold]
    fn refuse(&mut self, refusal: Refusal) -> Option<Error> {
        let wake = self.ring.rest();
        if wake != Wake::Nobody {
            wake_peer(&self.link, wake, self.ring.ring().producer());
        }
        let waits = refusal == Refusal::WouldBlock;
        if waits && (self.link.is_gone() || self.pulse.is_due() && self.link.look()) {
            return None;
        }
        Some(match refusal {
            Refusal::WouldBlock | Refusal::Cancelled => {
                Error::new(Operation::Receive, ErrorKind::WouldBlock)
            }
            Refusal::Closed => Error::new(Operation::Receive, ErrorKind::Closed),
            Refusal::Corrupt | Refusal::Offered | Refusal::Moved => self.condemn(),
        })
    }

    /// Announces that we wait, unless there is no reason to.
    fn sleep(&mut self, waiting: u32) -> Armed {
        if self.link.is_gone() {
            return Armed::Ready;
        }
        match self.ring.arm(waiting) {
            None => Armed::Ready,
            Some(value) => {
                self.parked = value;
                if waiting == state::PARKED {
                    Armed::Park
                } else {
                    Armed::Source(Interest::Readable)
                }
            }
        }
    }

    /// The error of a ring whose peer is known to be gone.
    #[cold]
    fn last(&mut self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Closed => Error::new(Operation::Receive, ErrorKind::Closed),
            Refusal::Corrupt | Refusal::Offered | Refusal::Moved => self.condemn(),
            Refusal::WouldBlock | Refusal::Cancelled => {
                Error::new(Operation::Receive, ErrorKind::PeerGone)
            }
        }
    }
}

#[cold]
fn corrupt() -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because("the peer broke the format of the ring")
}

#[cfg(test)]
impl Receiver {
    pub(super) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    pub(super) fn refuse_offers(&mut self) {
        self.limit = 0;
    }

    /// Ends as a killed process does: the socket hangs up, and nobody marks the ring.
    pub(super) fn abandon(self) {
        self.link.hang_up();
        std::mem::forget(self);
    }
}

impl RecvHalf for Receiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        if self.in_place {
            let shown = self.pop_next(self.ring.max_payload(), |frame| read(Flags::NONE, frame));
            return shown.or_else(|_| self.pop(read));
        }
        let mut copy = self.copy.take();
        copy.clear();
        let shown = self.try_recv_into(&mut copy).map(|flags| read(flags, &copy));
        let used = shown.is_ok().then_some(copy.len());
        self.copy.put_back(copy, used);
        shown
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let most = SHORT.min(buffer.capacity() - buffer.len());
        match self.pop_next(most, |frame| bytes::append_short(frame, buffer)) {
            Ok(()) => Ok(Flags::NONE),
            Err(len) => self.append(len, buffer),
        }
    }

    fn prefetch(&self) {
        if self.link.is_ours() {
            self.ring.prefetch();
        }
    }

    fn token(&self) -> Option<u64> {
        self.token.as_ref().map(|slot| slot.index().into())
    }
}

impl Wait for Receiver {
    fn source(&self) -> Result<Source> {
        self.link.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.link.check_generation(Operation::Receive)?;
        let waiting = match waiter {
            Waiter::Thread => state::PARKED,
            Waiter::Task(waker) => {
                self.link.prepare(Half::Receiver, waker);
                state::POLLING
            }
        };
        Ok(self.sleep(waiting))
    }

    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.link.check_generation(Operation::Receive)?;
        self.link.prepare_again(Half::Receiver, waker);
        Ok(self.sleep(state::POLLING))
    }

    fn park(&mut self, timeout: Duration) {
        if self.link.is_ours() {
            anyipc_memory::sleep(self.ring.ring().consumer(), self.parked, timeout);
        }
    }

    fn disarm(&mut self) {
        if self.link.is_ours() {
            self.ring.disarm();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.link.is_ours() {
            let wake = self.ring.close();
            wake_peer(&self.link, wake, self.ring.ring().producer());
        } else {
            // Giving the slot back takes a lock, which a thread of the parent may have held when we forked.
            std::mem::forget(self.token.take());
        }
    }
}
