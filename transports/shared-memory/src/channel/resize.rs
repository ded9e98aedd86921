//! How a ring moves to a larger array. It begins small, which is kind to memory and to the caches.

use anyipc_memory::Anonymous;
use anyipc_memory::handover::Link;
use anyipc_os::Fd;
use anyipc_ring::{Consumer, Producer, Wake};

use super::layout::{Layout, SPARE};
use super::shared_ring::SharedRing;

/// Times the ring is full with a lagging receiver, between two looks at the peer, before it is
/// resized.
const FULL_OFTEN: u32 = 16;
/// How many of the frames that are sent an array should hold.
const FRAMES: usize = 8;
/// How much larger each array is than the one before.
const FACTOR: usize = 4;

/// The sender's side. A sender that finds the ring full goes on in the spare array. One that finds
/// its receiver lagging again and again, or has messages of several frames, goes on to larger ones.
#[derive(Debug)]
pub(super) struct Resize {
    /// The most bytes an array may have; 0 once resizing has failed for good.
    limit: usize,
    /// Bytes that the messages need; 0 if nothing is known.
    wanted: usize,
    /// The array that both sides have mapped from the beginning, until it is used.
    spare: Option<SharedRing>,
    larger: Larger,
}

/// A larger array on its way.
#[derive(Debug)]
enum Larger {
    None,
    /// Each step reserves a part of its memory: all at once would take milliseconds.
    Reserving(Anonymous),
    /// The receiver has not replied to the offer yet.
    Offered(SharedRing),
}

/// What a step did.
enum Step {
    /// Nothing that the receiver sees.
    Quiet,
    /// It published a record; these sleepers are to be woken.
    Published(Wake),
    /// It is impossible now.
    Failed,
}

impl Resize {
    pub(super) fn new(limit: usize, spare: Option<SharedRing>) -> Self {
        Self { limit, wanted: 0, spare, larger: Larger::None }
    }

    /// True if the ring was full often enough for a step.
    #[inline]
    pub(super) fn is_due(ring: &Producer<SharedRing>) -> bool {
        ring.full_count() >= FULL_OFTEN
    }

    /// The longest frame of which the array holds [`FRAMES`], or the longest one of all if the
    /// array does not get larger. A longer one needs a [`reserve`](Self::reserve) first.
    #[inline]
    pub(super) fn roomy(&self, ring: &Producer<SharedRing>) -> usize {
        let capacity = ring.storage().capacity();
        if capacity < self.limit { capacity / FRAMES } else { ring.max_payload() }
    }

    /// Frames of `len` bytes will follow.
    pub(super) fn reserve(&mut self, len: usize) {
        self.wanted = len.saturating_mul(FRAMES).checked_next_power_of_two().unwrap_or(usize::MAX);
    }

    /// The ring is full: the spare array, if it is left, is wanted.
    pub(super) fn note_full(&mut self) {
        if self.spare.is_some() {
            self.wanted = self.wanted.max(SPARE);
        }
    }

    /// Takes the next step, if one is due: moves to the spare array, reserves a part of a larger
    /// one, offers it, or moves to it once it is accepted. If anything fails, the ring stays as it
    /// is. Returns which sleepers to wake if it published a record.
    pub(super) fn step(&mut self, ring: &mut Producer<SharedRing>, link: &Link) -> Option<Wake> {
        let step = match std::mem::replace(&mut self.larger, Larger::None) {
            Larger::None => self.begin(ring, link),
            Larger::Reserving(memory) => self.reserve_part(memory, ring, link),
            Larger::Offered(larger) => match ring.poll_offer() {
                None => {
                    self.larger = Larger::Offered(larger);
                    Step::Quiet
                }
                Some(is_accepted) => self.conclude(larger, is_accepted, ring),
            },
        };
        match step {
            Step::Quiet => None,
            Step::Published(wake) => Some(wake),
            Step::Failed => {
                // Each further try would cost as much.
                self.wanted = 0;
                if Self::is_due(ring) {
                    ring.reset_full_count();
                }
                None
            }
        }
    }

    fn begin(&mut self, ring: &mut Producer<SharedRing>, link: &Link) -> Step {
        let capacity = ring.storage().capacity();
        let larger = if Self::is_due(ring) { capacity.saturating_mul(FACTOR) } else { 0 };
        let larger = larger.max(self.wanted).min(self.limit);
        if larger <= capacity {
            return Step::Failed;
        }
        if let Some(spare) = self.spare.take()
            && spare.reserve().is_ok()
        {
            return self.conclude(spare, true, ring);
        }
        match Anonymous::new(larger, larger) {
            Ok(memory) => self.reserve_part(memory, ring, link),
            Err(_) => Step::Failed,
        }
    }

    /// Reserves a part of a larger array, and offers it once it has all its memory.
    fn reserve_part(
        &mut self,
        mut memory: Anonymous,
        ring: &mut Producer<SharedRing>,
        link: &Link,
    ) -> Step {
        match memory.reserve_some() {
            Ok(true) => self.offer(memory.fd(), memory.wanted(), ring, link),
            Ok(false) => {
                self.larger = Larger::Reserving(memory);
                Step::Quiet
            }
            Err(_) => Step::Failed,
        }
    }

    fn offer(
        &mut self,
        memory: &Fd,
        capacity: usize,
        ring: &mut Producer<SharedRing>,
        link: &Link,
    ) -> Step {
        let Ok(larger) = Layout::enlarge(ring.storage(), memory, capacity) else {
            return Step::Failed;
        };
        if !link.hand_over(memory) {
            return Step::Failed;
        }
        match ring.offer() {
            Ok(wake) => {
                self.larger = Larger::Offered(larger);
                Step::Published(wake)
            }
            Err(_) => self.give_up(),
        }
    }

    /// Moves to a larger array, if it was accepted.
    fn conclude(
        &mut self,
        larger: SharedRing,
        is_accepted: bool,
        ring: &mut Producer<SharedRing>,
    ) -> Step {
        ring.reset_full_count();
        if !is_accepted {
            return self.give_up();
        }
        match ring.move_to(larger) {
            Ok(wake) => Step::Published(wake),
            Err(_) => self.give_up(),
        }
    }

    fn give_up(&mut self) -> Step {
        self.limit = 0;
        Step::Quiet
    }
}

/// The receiver's side: the array that the ring goes on in when the sender says so. An honest
/// sender has at most one offer open, and makes no other after one was declined, so that a peer's
/// offers end.
#[derive(Debug)]
pub(super) struct Follow {
    /// The most bytes an array may have.
    limit: usize,
    next: NextArray,
}

#[derive(Debug)]
enum NextArray {
    /// None: the sender may offer memory.
    None,
    /// The spare array; the sender may also offer memory.
    Spare(SharedRing),
    /// The memory that the sender has offered; the next thing in the ring must be data or the move.
    Accepted(SharedRing),
    /// The sender's offer was declined: the ring stays as it is.
    Declined,
}

impl Follow {
    pub(super) fn new(limit: usize, spare: Option<SharedRing>) -> Self {
        Self { limit, next: spare.map_or(NextArray::None, NextArray::Spare) }
    }

    /// Takes the array that the sender has handed over, if it arrived (descriptors may have run
    /// out), is sealed as it must be, and can be mapped. Otherwise the ring stays as it is. Returns
    /// which sleepers to wake; `None` if an honest sender makes no offer now.
    #[cold]
    pub(super) fn consider(
        &mut self,
        ring: &mut Consumer<SharedRing>,
        link: &Link,
    ) -> Option<Wake> {
        if matches!(self.next, NextArray::Accepted(_) | NextArray::Declined) {
            return None;
        }
        let memory = link.handed_over();
        let larger =
            memory.and_then(|memory| Layout::follow(ring.storage(), &memory, self.limit).ok());
        let is_accepted = larger.is_some();
        self.next = larger.map_or(NextArray::Declined, NextArray::Accepted);
        Some(if is_accepted { ring.accept_offer() } else { ring.decline_offer() })
    }

    /// Goes on in the array that both sides have. False if there is none.
    #[cold]
    pub(super) fn follow(&mut self, ring: &mut Consumer<SharedRing>) -> bool {
        match std::mem::replace(&mut self.next, NextArray::None) {
            NextArray::Spare(larger) | NextArray::Accepted(larger) => {
                ring.follow(larger);
                true
            }
            NextArray::None | NextArray::Declined => false,
        }
    }
}

#[cfg(test)]
impl Resize {
    /// Offers memory, and more of it before the first is answered.
    pub(super) fn offer_beside_an_offer(&mut self, ring: &mut Producer<SharedRing>, link: &Link) {
        for capacity in [1 << 16, 1 << 17] {
            let memory = anyipc_memory::anonymous(capacity, capacity).unwrap();
            assert!(matches!(self.offer(&memory, capacity, ring, link), Step::Published(_)));
        }
    }
}

#[cfg(test)]
impl Follow {
    pub(super) fn decline_offers(&mut self) {
        self.limit = 0;
    }
}
