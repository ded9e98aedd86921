use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyipc_core::{
    Armed, Error, ErrorKind, Flags, Interest, Operation, Result, SendHalf, Source, Wait, Waiter,
};
use anyipc_ring::{Producer, Pushed, Refusal, Storage, Wake, state};

use super::layout::{Layout, SPARE};
use super::liveness::Haste;
use super::scratch::Scratch;
use super::shared_ring::SharedRing;
use super::wake_peer;
use anyipc_memory::Anonymous;
use anyipc_memory::bytes::{self, SHORT};
use anyipc_memory::handover::{Half, Link, Liveness, ReadySlot};
use anyipc_os::Fd;

/// The sending half of a shared-memory channel.
#[derive(Debug)]
pub struct Sender {
    ring: Producer<SharedRing>,
    link: Arc<Link>,
    pulse: Liveness,
    ready: Option<ReadySlot>,
    /// The value of our state word that a thread may sleep on.
    parked: u32,
    max_frame: usize,
    /// Longer frames ask for a larger ring first.
    roomy: usize,
    growth: Growth,
    haste: Haste,
    /// Whether `try_send_with` lets a frame be written in the ring, where the peer can change it meanwhile,
    /// instead of in `scratch`.
    in_place: bool,
    scratch: Scratch,
}

/// A ring begins small, which is kind to memory and to the caches. A sender that finds it full goes on in the spare array;
/// one that finds its receiver far behind again and again, or has messages of several frames, wants a larger one still.
#[derive(Debug)]
struct Growth {
    /// Bytes of the array.
    capacity: usize,
    /// The most bytes it may get.
    limit: usize,
    /// What the messages need.
    wanted: usize,
    /// The array that both sides have already, and nobody has reserved.
    spare: Option<SharedRing>,
    /// The frame that was just refused fits by now.
    again: bool,
    next: Next,
}

/// A larger array on its way.
#[derive(Debug)]
enum Next {
    None,
    /// Each call that would use it reserves a part of its memory: all at once would take milliseconds.
    Reserving(Anonymous),
    /// The receiver has been offered it and has not answered yet.
    Offered(SharedRing),
}

/// Longer messages are copied in by parts, so that the receiver copies out meanwhile: bytes.
const FRAGMENT: usize = 32 << 10;
/// How often lines run out with the receiver far behind, between two looks at the peer, before the ring grows.
const CROWDED: u32 = 16;
/// How many frames an array should hold of those that are sent.
const FRAMES: usize = 8;
/// How much larger each array is than the one before.
const FACTOR: usize = 4;

impl Growth {
    /// The longest frame of which the array holds as many as it should, or as many as it ever will.
    fn roomy(&self, max_frame: usize) -> usize {
        if self.capacity < self.limit { self.capacity / FRAMES } else { max_frame }
    }
}

impl Sender {
    /// `limit`: how many bytes the ring may grow to.
    pub(super) fn new(
        ring: Producer<SharedRing>,
        spare: Option<SharedRing>,
        link: Arc<Link>,
        ready: Option<ReadySlot>,
        in_place: bool,
        limit: usize,
    ) -> Self {
        // The inbox is told of each frame.
        let ring = if ready.is_some() { ring.settling() } else { ring };
        let growth = Growth {
            capacity: ring.ring().capacity(),
            limit,
            wanted: 0,
            spare,
            again: false,
            next: Next::None,
        };
        let max_frame = ring.max_payload();
        let (pulse, roomy) = (Liveness::new(), growth.roomy(max_frame));
        let (haste, scratch) = (Haste::default(), Scratch::default());
        Self {
            ring,
            link,
            pulse,
            ready,
            parked: 0,
            max_frame,
            roomy,
            growth,
            haste,
            in_place,
            scratch,
        }
    }

    /// Moves to the spare array or offers a larger one, if that is due; moves to one that was accepted. If anything fails,
    /// the ring stays as it is.
    fn grow(&mut self) {
        let growth = &mut self.growth;
        let crowded = self.ring.crowded() >= CROWDED;
        let larger = if crowded { growth.capacity.saturating_mul(FACTOR) } else { 0 };
        let capacity = larger.max(growth.wanted).min(growth.limit);
        let memory = match std::mem::replace(&mut growth.next, Next::None) {
            Next::Offered(ring) => {
                match self.ring.answer() {
                    None => growth.next = Next::Offered(ring),
                    Some(accepted) => self.conclude(ring, accepted),
                }
                return;
            }
            Next::Reserving(memory) => Some(memory),
            Next::None if capacity <= growth.capacity => None,
            Next::None => {
                if let Some(spare) = growth.spare.take()
                    && spare.reserve().is_ok()
                {
                    return self.conclude(spare, true);
                }
                Anonymous::new(capacity, capacity).ok()
            }
        };
        if !memory.is_some_and(|memory| self.reserve(memory)) {
            // Where it failed, every further try would cost as much.
            self.growth.wanted = 0;
            if crowded {
                self.ring.calm();
            }
        }
    }

    /// Reserves a part of a larger array, and offers it once it has all its memory. False if that is not possible now.
    fn reserve(&mut self, mut memory: Anonymous) -> bool {
        match memory.reserve_some() {
            Ok(true) => self.offer(memory.fd(), memory.wanted()),
            Ok(false) => {
                self.growth.next = Next::Reserving(memory);
                true
            }
            Err(_) => false,
        }
    }

    /// Offers memory for an array of so many bytes. False if that is not possible now.
    fn offer(&mut self, memory: &Fd, capacity: usize) -> bool {
        let Ok(ring) = Layout::enlarge(self.ring.ring(), memory, capacity) else { return false };
        if !self.link.hand_over(memory) {
            return false;
        }
        match self.ring.offer() {
            Ok(wake) => {
                self.growth.next = Next::Offered(ring);
                self.announce(wake);
            }
            Err(_) => self.growth.limit = 0,
        }
        true
    }

    /// Moves to the array that was offered, if it was accepted.
    fn conclude(&mut self, ring: SharedRing, accepted: bool) {
        self.ring.calm();
        let capacity = ring.capacity();
        match accepted.then(|| self.ring.move_to(ring)) {
            Some(Ok(wake)) => {
                self.growth.capacity = capacity;
                self.max_frame = self.ring.max_payload();
                self.announce(wake);
            }
            _ => self.growth.limit = 0,
        }
        self.roomy = self.growth.roomy(self.max_frame);
    }

    #[inline]
    fn push(
        &mut self,
        max: usize,
        flags: Flags,
        mut fill: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let straight = self.link.is_sound() && self.ring.goes_straight(max) && self.haste.lasts();
        if !straight {
            self.begin(max)?;
        }
        let pushed = self.ring.push(max, flags.bits(), &mut fill);
        let sent = self.finish(pushed);
        if sent.is_err() && self.has_grown() {
            return self.push(max, flags, fill);
        }
        if !straight {
            self.hasten(max);
        }
        sent
    }

    /// Sends a frame: on the short way if nothing has to be looked after.
    #[inline]
    fn send_next(
        &mut self,
        flags: Flags,
        payload: &[u8],
        copy: impl FnOnce(&[u8], &mut [u8]),
    ) -> Result<()> {
        if flags != Flags::NONE || !self.link.is_sound() || !self.haste.lasts() {
            return self.send_looking(flags, payload);
        }
        match self.ring.push_next(payload, copy) {
            Pushed::Settled => Ok(()),
            Pushed::Unsettled => self.settle(),
            Pushed::Not => self.send_looking(flags, payload),
        }
    }

    /// Apart from the short ones, which need no call.
    #[inline(never)]
    fn send_long(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.send_next(flags, payload, |from, to| to.copy_from_slice(from))
    }

    #[inline(never)]
    fn settle(&mut self) -> Result<()> {
        self.link.answer();
        let wake = self.ring.settle();
        self.announce(wake);
        Ok(())
    }

    /// Sends a frame, and looks after everything that may be due.
    #[inline(never)]
    fn send_looking(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        self.push(payload.len(), flags, |frame| {
            frame.copy_from_slice(payload);
            Some(payload.len())
        })
    }

    /// After a look: lets the next frames of `len` bytes go without one, if it may.
    fn hasten(&mut self, len: usize) {
        let run = self.haste.allows(len, self.pulse.now());
        self.ring.straighten(run, len);
    }

    #[inline]
    fn begin(&mut self, len: usize) -> Result<()> {
        self.link.answer();
        // Before, not after: a caller that comes once a minute must not send into the void first.
        let ready = self.link.is_ours() && len <= self.roomy && !self.link.is_gone();
        if ready && !self.pulse.is_due() { Ok(()) } else { self.look(len) }
    }

    /// Whether the peer is still there, where that is due, and what else speaks against sending.
    #[cold]
    fn look(&mut self, len: usize) -> Result<()> {
        self.link.check_generation(Operation::Send)?;
        if len > self.max_frame {
            return Err(self.too_large(len));
        }
        if self.link.look() {
            return Err(self.gone());
        }
        if len > self.roomy {
            SendHalf::reserve(self, len);
        }
        self.ring.calm();
        Ok(())
    }

    #[inline]
    fn finish(&mut self, pushed: std::result::Result<Wake, Refusal>) -> Result<()> {
        match pushed {
            Ok(Wake::Nobody) if self.ready.is_none() && self.ring.crowded() < CROWDED => Ok(()),
            Ok(wake) => {
                self.announce(wake);
                if self.ring.crowded() >= CROWDED {
                    self.grow();
                }
                Ok(())
            }
            Err(refusal) => Err(self.refuse(refusal)),
        }
    }

    fn announce(&mut self, wake: Wake) {
        if wake != Wake::Nobody {
            wake_peer(&self.link, wake, self.ring.ring().consumer());
        }
        if let Some(ready) = &self.ready
            && ready.mark()
        {
            self.link.ring_bell();
        }
    }

    /// Announces that we wait, unless there is no reason to.
    fn sleep(&mut self, waiting: u32) -> Result<Armed> {
        if self.link.is_gone() {
            return Ok(Armed::Ready);
        }
        match self.ring.arm(waiting).map_err(|refusal| self.refuse(refusal))? {
            None => Ok(Armed::Ready),
            Some(value) => {
                self.parked = value;
                Ok(if waiting == state::PARKED {
                    Armed::Park
                } else {
                    Armed::Source(Interest::Readable)
                })
            }
        }
    }

    #[cold]
    fn refuse(&mut self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::WouldBlock | Refusal::Cancelled if self.pulse.is_due() && self.link.look() => {
                self.gone()
            }
            Refusal::WouldBlock => {
                let full = self.growth.capacity;
                if self.growth.spare.is_some() {
                    self.growth.wanted = self.growth.wanted.max(SPARE);
                }
                self.grow();
                self.growth.again = self.growth.capacity > full;
                Error::new(Operation::Send, ErrorKind::WouldBlock)
            }
            Refusal::Cancelled => Error::new(Operation::Send, ErrorKind::WouldBlock),
            Refusal::Closed => Error::new(Operation::Send, ErrorKind::Closed),
            Refusal::Corrupt | Refusal::Offered | Refusal::Moved => {
                Error::new(Operation::Send, ErrorKind::Corrupt)
                    .because("the peer set the ring's cursor to where it cannot be")
            }
        }
    }

    /// Whether what was just refused deserves another try.
    #[cold]
    fn has_grown(&mut self) -> bool {
        std::mem::take(&mut self.growth.again)
    }

    #[cold]
    fn gone(&self) -> Error {
        let closed = self.ring.ring().consumer().load(std::sync::atomic::Ordering::Acquire)
            & state::CLOSED
            != 0;
        Error::new(Operation::Send, if closed { ErrorKind::Closed } else { ErrorKind::PeerGone })
    }

    #[cold]
    fn too_large(&self, len: usize) -> Error {
        Error::new(Operation::Send, ErrorKind::MessageTooLarge).because(format!(
            "a frame of {len} bytes is longer than the {} that a ring of this capacity takes",
            self.max_frame
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

#[cfg(test)]
impl Sender {
    pub(super) fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    pub(super) fn ring(&self) -> &SharedRing {
        self.ring.ring()
    }

    pub(super) fn was_last_called_long_ago(&mut self) {
        self.pulse = Liveness::long_ago();
        self.haste.long_ago();
    }

    pub(super) fn has_just_looked(&mut self) {
        self.pulse = Liveness::new();
    }

    /// Ends as a killed process does: the socket hangs up, and nobody marks the ring.
    pub(super) fn abandon(self) {
        self.link.hang_up();
        std::mem::forget(self);
    }

    /// Offers memory, and more of it before the first is answered.
    pub(super) fn offer_beside_an_offer(&mut self) {
        for capacity in [1 << 16, 1 << 17] {
            assert!(self.offer(&anyipc_memory::anonymous(capacity, capacity).unwrap(), capacity));
        }
    }

    /// Offers memory that it does not hand over, and moves to it whatever the answer is.
    pub(super) fn move_to_nowhere(mut self) {
        let memory = anyipc_memory::anonymous(1 << 16, 1 << 16).unwrap();
        let ring = Layout::enlarge(self.ring.ring(), &memory, 1 << 16).unwrap();
        self.ring.offer().unwrap();
        self.ring.move_to(ring).unwrap();
    }
}

impl SendHalf for Sender {
    fn max_frame(&self) -> usize {
        self.max_frame
    }

    fn fragment(&self) -> usize {
        self.max_frame.min(FRAGMENT)
    }

    fn reserve(&mut self, len: usize) {
        self.growth.wanted =
            len.saturating_mul(FRAMES).checked_next_power_of_two().unwrap_or(usize::MAX);
        if self.link.is_ours() {
            self.grow();
        }
    }

    fn try_send_with(
        &mut self,
        max: usize,
        flags: Flags,
        fill: &mut dyn FnMut(&mut [u8]) -> Option<usize>,
    ) -> Result<()> {
        let mut cancelled = false;
        let mut fill = |frame: &mut [u8]| {
            let used = fill(frame);
            cancelled = used.is_none();
            used
        };
        let result = if self.in_place {
            self.push(max, flags, fill)
        } else {
            let mut scratch = self.scratch.take();
            let sent = self.push(max, flags, |frame| copy_from(&mut scratch, frame, &mut fill));
            self.scratch.put_back(scratch, sent.is_ok().then_some(max));
            sent
        };
        if cancelled { Ok(()) } else { result }
    }

    fn try_send(&mut self, flags: Flags, payload: &[u8]) -> Result<()> {
        if payload.len() <= SHORT {
            self.send_next(flags, payload, bytes::copy_short)
        } else {
            self.send_long(flags, payload)
        }
    }

    fn cork(&mut self) {
        self.ring.cork();
    }

    fn try_flush(&mut self) -> Result<()> {
        self.link.check_generation(Operation::Send)?;
        let wake = self.ring.uncork();
        if wake != Wake::Nobody {
            wake_peer(&self.link, wake, self.ring.ring().consumer());
        }
        Ok(())
    }
}

impl Wait for Sender {
    fn source(&self) -> Result<Source> {
        self.link.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.link.check_generation(Operation::Send)?;
        let waiting = match waiter {
            Waiter::Thread => state::PARKED,
            Waiter::Task(waker) => {
                self.link.prepare(Half::Sender, waker);
                state::POLLING
            }
        };
        self.sleep(waiting)
    }

    fn rearm(&mut self, waker: &Waker) -> Result<Armed> {
        self.link.check_generation(Operation::Send)?;
        self.link.prepare_again(Half::Sender, waker);
        self.sleep(state::POLLING)
    }

    fn park(&mut self, timeout: Duration) {
        if self.link.is_ours() {
            anyipc_memory::sleep(self.ring.ring().producer(), self.parked, timeout);
        }
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
            self.announce(wake);
        }
    }
}
