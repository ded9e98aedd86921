use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Operation, Result, SendHalf, Source, Wait, Waiter,
};
use anyipc_memory::bytes::{self, SHORT};
use anyipc_memory::handover::{Half, Link, Liveness, ReadySlot};
use anyipc_ring::{Producer, Pushed, Refused, Storage, Wake, state};

use super::fast_path::FastPath;
use super::resize::Resize;
use super::scratch::Scratch;
use super::shared_ring::SharedRing;
use super::{asleep, park, waiting, wake_peer};

/// The sending half of a shared-memory channel.
#[derive(Debug)]
pub struct Sender {
    ring: Producer<SharedRing>,
    link: Arc<Link>,
    fast_path: FastPath,
    liveness: Liveness,
    resize: Resize,
    /// Our bit in the owner's inbox, set after each frame.
    ready: Option<ReadySlot>,
    /// The value of our state word on which a thread may sleep.
    parked: u32,
    /// True if `try_send_with` lets a frame be written in the ring, where the peer can change it
    /// meanwhile, instead of in `scratch`.
    in_place: bool,
    scratch: Scratch,
}

/// Longer messages are copied in by parts of this many bytes, so that the receiver copies out
/// meanwhile.
const FRAGMENT: usize = 32 << 10;

impl Sender {
    /// `limit`: the most bytes to which the ring may be resized.
    pub(super) fn new(
        ring: Producer<SharedRing>,
        spare: Option<SharedRing>,
        link: Arc<Link>,
        ready: Option<ReadySlot>,
        in_place: bool,
        limit: usize,
    ) -> Self {
        // The inbox is notified of each frame.
        let ring = if ready.is_some() { ring.flushing_each_record() } else { ring };
        Self {
            ring,
            link,
            fast_path: FastPath::default(),
            liveness: Liveness::new(),
            resize: Resize::new(limit, spare),
            ready,
            parked: 0,
            in_place,
            scratch: Scratch::default(),
        }
    }

    /// True if a frame may be sent without checks, as far as the ring allows that.
    #[inline]
    fn is_fast(&self) -> bool {
        self.link.is_alive() && self.fast_path.is_open()
    }

    /// Sends a frame that is not copied inline.
    #[inline(never)]
    fn send_longer(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        let is_fast = flags == Flags::NONE && payload.len() < FastPath::LONG && self.is_fast();
        let pushed = if is_fast {
            self.ring.push_fast(payload, |from, to| to.copy_from_slice(from))
        } else {
            Pushed::Skipped
        };
        self.finish(pushed, flags, payload)
    }

    #[inline]
    fn finish(&mut self, pushed: Pushed, flags: Flags, payload: &[u8]) -> Result<()> {
        match pushed {
            Pushed::Done => Ok(()),
            Pushed::FlushDue => self.publish_and_wake(),
            Pushed::Skipped => self.send_checked(flags, payload),
        }
    }

    #[inline(never)]
    fn publish_and_wake(&mut self) -> Result<()> {
        self.link.note_sent();
        let wake = self.ring.flush_tail();
        self.notify(wake);
        Ok(())
    }

    /// Sends a frame, with all checks that are due.
    #[inline(never)]
    fn send_checked(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        let fill = |frame: &mut [u8]| {
            frame.copy_from_slice(payload);
            Some(payload.len())
        };
        self.push(payload.len(), flags, fill).map(drop)
    }

    /// Sends a frame that `fill` writes. False if it returned `None`.
    #[inline]
    fn push(
        &mut self,
        max: usize,
        flags: Flags,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<bool> {
        let is_fast = self.is_fast() && self.ring.is_fast(max);
        if !is_fast {
            self.check(max)?;
        }
        let sent = match self.ring.push(max, flags.bits(), &mut fill) {
            Ok(Some(wake)) => {
                self.note_pushed(wake);
                Ok(true)
            }
            Ok(None) => Ok(false),
            Err(refused) => match self.refuse(refused) {
                None => return self.push(max, flags, fill),
                Some(error) => Err(error),
            },
        };
        if !is_fast {
            let frames = self.fast_path.grant(max, self.liveness.now());
            self.ring.open_fast_path(frames, max);
        }
        sent
    }

    /// Before a frame of `len` bytes: what speaks against sending it.
    #[inline]
    fn check(&mut self, len: usize) -> Result<()> {
        self.link.note_sent();
        // Before the frame, not after: a caller that comes once a minute must not send to a
        // dead peer.
        let is_plain =
            self.link.is_ours() && !self.link.is_gone() && len <= self.resize.roomy(&self.ring);
        if is_plain && !self.liveness.is_due() { Ok(()) } else { self.check_peer(len) }
    }

    /// Checks that the peer is still there, and makes the ring larger for a long frame.
    #[cold]
    fn check_peer(&mut self, len: usize) -> Result<()> {
        self.link.check_generation(Operation::Send)?;
        if len > self.max_frame() {
            return Err(self.too_large(len));
        }
        if self.link.check_gone() {
            return Err(self.gone());
        }
        if len > self.resize.roomy(&self.ring) {
            self.reserve(len);
        }
        self.ring.reset_full_count();
        Ok(())
    }

    #[inline]
    fn note_pushed(&mut self, wake: Wake) {
        let is_resize_due = Resize::is_due(&self.ring);
        if wake != Wake::None || self.ready.is_some() || is_resize_due {
            self.notify(wake);
            if is_resize_due {
                self.resize();
            }
        }
    }

    /// Wakes the peer, and tells its inbox that there is something to receive.
    fn notify(&mut self, wake: Wake) {
        if wake != Wake::None {
            wake_peer(&self.link, wake, self.ring.storage().consumer_state());
        }
        if let Some(ready) = &self.ready
            && ready.mark()
        {
            self.link.ring_doorbell();
        }
    }

    fn resize(&mut self) {
        if let Some(wake) = self.resize.step(&mut self.ring, &self.link) {
            self.notify(wake);
        }
    }

    /// The error, or `None` if the ring is larger now and the frame deserves another try.
    #[cold]
    fn refuse(&mut self, refused: Refused) -> Option<Error> {
        match refused {
            Refused::Full if self.liveness.is_due() && self.link.check_gone() => Some(self.gone()),
            Refused::Full => {
                let capacity = self.ring.storage().capacity();
                self.resize.note_full();
                self.resize();
                let is_larger = self.ring.storage().capacity() > capacity;
                (!is_larger).then(|| Error::new(Operation::Send, ErrorKind::WouldBlock))
            }
            Refused::Closed => Some(Error::new(Operation::Send, ErrorKind::Closed)),
            Refused::Corrupt => Some(
                Error::new(Operation::Send, ErrorKind::Corrupt)
                    .because("the peer set the ring's cursor to where it cannot be"),
            ),
        }
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

    #[cold]
    fn gone(&self) -> Error {
        let state = self.ring.storage().consumer_state().load(Ordering::Acquire);
        let is_closed = state & state::CLOSED != 0;
        Error::new(Operation::Send, if is_closed { ErrorKind::Closed } else { ErrorKind::PeerGone })
    }

    #[cold]
    fn too_large(&self, len: usize) -> Error {
        Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "a frame of {len} bytes is longer than the {} that a ring of this capacity takes",
            self.max_frame()
        ))
    }
}

/// Lets `fill` write into `scratch`, and copies what it wrote.
fn copy_from(
    scratch: &mut Vec<u8>,
    frame: &mut [u8],
    fill: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<usize> {
    if scratch.len() < frame.len() {
        scratch.resize(frame.len(), 0);
    }
    let private = &mut scratch[..frame.len()];
    let used = fill(private)?.min(frame.len());
    frame[..used].copy_from_slice(&private[..used]);
    Some(used)
}

impl SendHalf for Sender {
    #[inline]
    fn max_frame(&self) -> usize {
        self.ring.max_payload()
    }

    fn fragment(&self) -> usize {
        self.max_frame().min(FRAGMENT)
    }

    fn reserve(&mut self, len: usize) {
        self.resize.reserve(len);
        if self.link.is_ours() {
            self.resize();
        }
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        if self.in_place {
            return self.push(max, flags, fill).map(drop);
        }
        let mut scratch = self.scratch.take();
        let sent = self.push(max, flags, |frame| copy_from(&mut scratch, frame, &mut *fill));
        self.scratch.put_back(scratch, matches!(sent, Ok(true)).then_some(max));
        sent.map(drop)
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        if payload.len() > SHORT {
            return self.send_longer(flags, payload);
        }
        let pushed = if flags == Flags::NONE && self.is_fast() {
            self.ring.push_fast(payload, bytes::copy_short)
        } else {
            Pushed::Skipped
        };
        self.finish(pushed, flags, payload)
    }

    fn cork(&mut self) {
        self.ring.cork();
    }

    fn try_flush(&mut self) -> Result<()> {
        self.link.check_generation(Operation::Send)?;
        let wake = self.ring.uncork();
        if wake != Wake::None {
            wake_peer(&self.link, wake, self.ring.storage().consumer_state());
        }
        Ok(())
    }
}

impl Wait for Sender {
    fn source(&self) -> Result<Source> {
        self.link.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let by_doorbell = self.link.arm(Half::Sender, waiter, Operation::Send)?;
        Ok(self.arm_ring(by_doorbell, asleep(waiter)))
    }

    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.link.check_generation(Operation::Send)?;
        self.link.register_again(Half::Sender, waker);
        Ok(self.arm_ring(true, asleep(Waiter::Task(waker))))
    }

    fn park(&mut self, timeout: Duration) {
        let word = self.ring.storage().producer_state();
        park(&self.link, Half::Sender, word, self.parked, timeout);
    }

    fn disarm(&mut self) {
        if self.link.is_ours() {
            self.ring.disarm();
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if self.link.is_ours() {
            let wake = self.ring.close();
            self.notify(wake);
        }
    }
}

#[cfg(test)]
impl Sender {
    pub(super) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    pub(super) fn ring(&self) -> &SharedRing {
        self.ring.storage()
    }

    pub(super) fn was_last_called_long_ago(&mut self) {
        self.liveness = Liveness::long_ago();
        self.fast_path.long_ago();
    }

    pub(super) fn has_just_looked(&mut self) {
        self.liveness = Liveness::new();
    }

    /// Ends as a killed process does: the socket hangs up, and no state word says so.
    pub(super) fn abandon(self) {
        self.link.hang_up();
        std::mem::forget(self);
    }

    /// Offers memory, and more of it before the first is answered.
    pub(super) fn offer_beside_an_offer(&mut self) {
        self.resize.offer_beside_an_offer(&mut self.ring, &self.link);
    }

    /// Offers memory that it does not hand over, and moves to it without a reply.
    pub(super) fn move_to_nowhere(mut self) {
        let memory = anyipc_memory::anonymous(1 << 16, 1 << 16).unwrap();
        let larger = super::Layout::enlarge(self.ring.storage(), &memory, 1 << 16).unwrap();
        self.ring.offer().unwrap();
        self.ring.move_to(larger).unwrap();
    }
}
