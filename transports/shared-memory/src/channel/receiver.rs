use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, RecvHalf, Result, Source, Wait, Waiter,
};
use anyipc_memory::bytes::{self, SHORT};
use anyipc_memory::handover::{Half, Link, Liveness, ReadySlot};
use anyipc_ring::{Consumer, Next, Storage, Wake};

use super::resize::Follow;
use super::scratch::Scratch;
use super::shared_ring::SharedRing;
use super::{asleep, park, waiting, wake_peer};

/// The receiving half of a shared-memory channel.
#[derive(Debug)]
pub struct Receiver {
    ring: Consumer<SharedRing>,
    link: Arc<Link>,
    liveness: Liveness,
    follow: Follow,
    /// The peer's bit in our inbox.
    token: Option<ReadySlot>,
    /// True if frames are read in the ring, instead of in `scratch`.
    in_place: bool,
    scratch: Scratch,
    /// The value of our state word on which a thread may sleep.
    parked: u32,
    /// True if the peer broke the format: nothing of it is believed any more.
    is_broken: bool,
}

impl Receiver {
    /// `limit`: the most bytes to which the ring may be resized.
    pub(super) fn new(
        ring: Consumer<SharedRing>,
        spare: Option<SharedRing>,
        link: Arc<Link>,
        token: Option<ReadySlot>,
        in_place: bool,
        limit: usize,
    ) -> Self {
        Self {
            ring: ring.with_sent(link.sent_flag()),
            link,
            liveness: Liveness::new(),
            follow: Follow::new(limit, spare),
            token,
            in_place,
            scratch: Scratch::default(),
            parked: 0,
            is_broken: false,
        }
    }

    /// Shows the next frame to `read`, if there is one without flags and of at most `most` bytes,
    /// and nothing has to be checked. Otherwise the number is for [`pop_sized`](Self::pop_sized).
    #[inline]
    fn pop_fast<R>(
        &mut self,
        most: usize,
        read: impl FnOnce(&[u8]) -> R,
    ) -> std::result::Result<R, usize> {
        if !self.link.is_alive() || self.is_broken {
            return Err(usize::MAX);
        }
        let result = self.ring.pop_fast(most, read)?;
        self.release_if_due();
        Ok(result)
    }

    /// Shows the next frame to `read`, of this length if there can be such a one; see
    /// [`Consumer::pop_fast`].
    #[inline]
    fn pop_sized<R>(&mut self, len: usize, mut read: impl FnMut(Flags, &[u8]) -> R) -> Result<R> {
        if len > self.ring.max_payload() {
            return self.pop(read);
        }
        match self.ring.pop_sized(len, |frame| read(Flags::NONE, frame)) {
            Some(result) => {
                self.release_if_due();
                Ok(result)
            }
            None => Err(self.set_corrupt()),
        }
    }

    #[inline]
    fn release_if_due(&mut self) {
        if self.ring.is_release_due() {
            self.release_and_pace();
        }
    }

    #[cold]
    fn release_and_pace(&mut self) {
        let wake = self.ring.release_and_pace();
        self.wake(wake);
    }

    fn wake(&self, wake: Wake) {
        if wake != Wake::None {
            wake_peer(&self.link, wake, self.ring.storage().producer_state());
        }
    }

    /// Appends the next frame, as [`pop_sized`](Self::pop_sized) shows it.
    #[inline(never)]
    fn append(&mut self, len: usize, buffer: &mut Vec<u8>) -> Result<Flags> {
        self.pop_sized(len, |flags, frame| {
            buffer.extend_from_slice(frame);
            flags
        })
    }

    /// Shows the next frame to `read`, with all checks that are due.
    #[inline(never)]
    fn pop<R>(&mut self, mut read: impl FnMut(Flags, &[u8]) -> R) -> Result<R> {
        self.link.check_generation(Operation::Receive)?;
        if self.is_broken {
            return Err(corrupt());
        }
        // An honest sender sets no unknown flags; such a frame is shown to no one.
        let mut show =
            |flags: u8, frame: &[u8]| Flags::from_bits(flags).map(|flags| read(flags, frame));
        // Bounded: at most one offer, one move, and one more look after the peer's death.
        let (mut was_offered, mut is_gone) = (false, false);
        loop {
            match self.ring.pop(&mut show) {
                Next::Frame(result, wake) => {
                    self.wake(wake);
                    return result.ok_or_else(|| self.set_corrupt());
                }
                // The next call's.
                Next::Offer if was_offered => return Err(would_block()),
                Next::Offer => {
                    was_offered = true;
                    match self.follow.consider(&mut self.ring, &self.link) {
                        Some(wake) => self.wake(wake),
                        None => return Err(self.set_corrupt()),
                    }
                }
                Next::Moved => {
                    if !self.follow.follow(&mut self.ring) {
                        return Err(self.set_corrupt());
                    }
                }
                Next::Empty if is_gone => {
                    return Err(Error::new(Operation::Receive, ErrorKind::PeerGone));
                }
                Next::Empty => {
                    self.release();
                    // What a dead peer sent before is all visible now: one more look.
                    is_gone =
                        self.link.is_gone() || self.liveness.is_due() && self.link.check_gone();
                    if !is_gone {
                        return Err(would_block());
                    }
                }
                Next::Closed => {
                    self.release();
                    return Err(Error::new(Operation::Receive, ErrorKind::Closed));
                }
                Next::Corrupt => return Err(self.set_corrupt()),
            }
        }
    }

    /// Releases what was received: there is nothing more to do.
    #[cold]
    fn release(&mut self) {
        let wake = self.ring.release();
        self.wake(wake);
    }

    #[cold]
    fn set_corrupt(&mut self) -> Error {
        self.is_broken = true;
        corrupt()
    }

    /// Announces a sleep, unless there is no reason to wait.
    fn arm_ring(&mut self, by_doorbell: bool, asleep: Armed) -> Armed {
        if self.link.is_gone() {
            return Armed::Ready;
        }
        let Some(value) = self.ring.arm(waiting(by_doorbell)) else { return Armed::Ready };
        self.parked = value;
        asleep
    }
}

#[cold]
fn corrupt() -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because("the peer broke the format of the ring")
}

fn would_block() -> Error {
    Error::new(Operation::Receive, ErrorKind::WouldBlock)
}

impl RecvHalf for Receiver {
    fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
        if self.in_place {
            let shown = self.pop_fast(self.ring.max_payload(), |frame| read(Flags::NONE, frame));
            return shown.or_else(|_| self.pop(read));
        }
        let mut copy = self.scratch.take();
        copy.clear();
        let shown = self.try_recv_into(&mut copy).map(|flags| read(flags, &copy));
        let used = shown.is_ok().then_some(copy.len());
        self.scratch.put_back(copy, used);
        shown
    }

    fn try_recv_into(&mut self, buffer: &mut Vec<u8>) -> Result<Flags> {
        let most = SHORT.min(buffer.capacity() - buffer.len());
        match self.pop_fast(most, |frame| bytes::append_short(frame, buffer)) {
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
        let by_doorbell = self.link.arm(Half::Receiver, waiter, Operation::Receive)?;
        Ok(self.arm_ring(by_doorbell, asleep(waiter)))
    }

    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.link.check_generation(Operation::Receive)?;
        self.link.register_again(Half::Receiver, waker);
        Ok(self.arm_ring(true, asleep(Waiter::Task(waker))))
    }

    fn park(&mut self, timeout: Duration) {
        let word = self.ring.storage().consumer_state();
        park(&self.link, Half::Receiver, word, self.parked, timeout);
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
            self.wake(wake);
        } else {
            // Dropping the slot takes a lock, which a thread of the parent may have held at the
            // fork.
            std::mem::forget(self.token.take());
        }
    }
}

#[cfg(test)]
impl Receiver {
    pub(super) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    pub(super) fn decline_offers(&mut self) {
        self.follow.decline_offers();
    }

    /// Ends as a killed process does: the socket hangs up, and no state word says so.
    pub(super) fn abandon(self) {
        self.link.hang_up();
        std::mem::forget(self);
    }
}
