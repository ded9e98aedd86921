use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyipc_core::{Operation, Result, Source};
use anyipc_ring::robust::{LockBackend, OwnerId};
use anyipc_ring::wait_set::Wakers;

use crate::header::{END, PARTICIPANTS};
use crate::participant_slots::{ParticipantSlot, ParticipantSlots, SLOT_HEADER};
use crate::region::{Region, sleep, wake, wake_most};
use crate::segment::Segment;
use crate::sys::{WakeFifo, generation, is_number_locked};

/// The most participants of a segment: handles that lock in it, and waits by a descriptor.
pub const MAX_PARTICIPANTS: u32 = ((END - PARTICIPANTS) / SLOT_HEADER) as u32;

const SLOTS: ParticipantSlots =
    ParticipantSlots { start: PARTICIPANTS, stride: SLOT_HEADER, count: MAX_PARTICIPANTS };

/// The most wait places that are kept for later waits, and the most descriptors of others' places.
const MAX_KEPT: usize = 16;

/// A handle of a segment as one of those that lock in its contents. The kernel says which of them
/// live, by the locks of their slots, which lie in the header's page.
#[derive(Debug)]
pub struct Participants {
    places: Arc<WaitPlaces>,
    slot: ParticipantSlot,
}

/// The waits by a descriptor in a segment: those of one handle, which take a participant slot each,
/// and a way to wake those of others, which takes none.
#[derive(Debug)]
pub struct WaitPlaces {
    memory: Arc<Segment>,
    region: Region,
    /// Wait places that no waiter uses at the moment.
    idle: Mutex<Vec<WaitPlace>>,
    /// The wake FIFOs of others.
    known: Mutex<Vec<Known>>,
}

/// An open wake FIFO of another participant.
#[derive(Debug)]
struct Known {
    /// The slot, and its turn when the FIFO was opened.
    holder: (u32, u32),
    wake_fifo: Arc<WakeFifo>,
}

/// What a poller sleeps on, and its number in a wait set.
#[derive(Debug)]
pub struct WaitPlace {
    memory: Arc<Segment>,
    slot: ParticipantSlot,
    wake_fifo: Arc<WakeFifo>,
}

impl Participants {
    /// Joins the participants of a segment.
    ///
    /// # Errors
    /// `OutOfMemory` if there are [`MAX_PARTICIPANTS`]; `Forked`.
    pub fn join(places: &Arc<WaitPlaces>, operation: Operation) -> Result<Self> {
        places.memory.check(operation)?;
        let slot = ParticipantSlot::take(&places.memory, &places.region, SLOTS, operation)?;
        Ok(Self { places: Arc::clone(places), slot })
    }

    /// The memory.
    #[inline]
    pub fn memory(&self) -> &Arc<Segment> {
        &self.places.memory
    }

    /// Where this handle waits.
    #[inline]
    pub fn places(&self) -> &Arc<WaitPlaces> {
        &self.places
    }

    /// The id of this handle in locks.
    #[inline]
    pub fn owner_id(&self) -> OwnerId {
        self.slot.owner_id()
    }
}

impl WaitPlaces {
    /// Those of a handle that does not wait yet.
    pub fn new(memory: &Arc<Segment>) -> Self {
        Self {
            memory: Arc::clone(memory),
            region: memory.header(),
            idle: Mutex::default(),
            known: Mutex::default(),
        }
    }

    /// The memory.
    #[inline]
    pub fn memory(&self) -> &Arc<Segment> {
        &self.memory
    }

    /// A place for one poller.
    ///
    /// # Errors
    /// `OutOfMemory` if there are [`MAX_PARTICIPANTS`]; those of making a wake FIFO.
    pub fn wait_place(&self, operation: Operation) -> Result<WaitPlace> {
        self.memory.check(operation)?;
        if let Some(place) = unpoisoned(&self.idle).pop() {
            return Ok(place);
        }
        let slot = ParticipantSlot::take(&self.memory, &self.region, SLOTS, operation)?;
        let wake_fifo = Arc::new(self.memory.make_wake_fifo(slot.number(), operation)?);
        Ok(WaitPlace { memory: Arc::clone(&self.memory), slot, wake_fifo })
    }

    /// Keeps a place for a later wait.
    pub fn keep(&self, place: WaitPlace) {
        let mut idle = unpoisoned(&self.idle);
        if idle.len() < MAX_KEPT {
            idle.push(place);
        }
    }

    /// The wake FIFO of a slot's holder. `None` if that is dead, or leaves at the moment.
    fn wake_fifo(&self, slot: u32) -> Option<Arc<WakeFifo>> {
        let holder = (slot, SLOTS.turn(&self.region, slot));
        let mut all = unpoisoned(&self.known);
        if let Some(known) = all.iter().find(|known| known.holder == holder) {
            return Some(Arc::clone(&known.wake_fifo));
        }
        let wake_fifo = Arc::new(self.memory.open_wake_fifo(slot)?);
        all.retain(|known| known.holder.0 != slot);
        if all.len() < MAX_KEPT {
            all.push(Known { holder, wake_fifo: Arc::clone(&wake_fifo) });
        }
        Some(wake_fifo)
    }
}

impl LockBackend for Participants {
    fn is_dead(&self, owner_id: OwnerId) -> bool {
        SLOTS.is_dead(&self.places.memory, &self.places.region, owner_id)
    }
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
        sleep(word, expected, timeout);
    }
    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

impl Wakers for Participants {
    fn wake(&self, word: &AtomicU32, most: u32) -> u32 {
        self.places.wake(word, most)
    }
    fn ring(&self, slot: u32) -> bool {
        self.places.ring(slot)
    }
}

impl Wakers for WaitPlaces {
    fn wake(&self, word: &AtomicU32, most: u32) -> u32 {
        wake_most(word, most)
    }
    fn ring(&self, slot: u32) -> bool {
        if slot >= SLOTS.count {
            return false;
        }
        let lives = self.memory.own_slots().contains(&slot)
            || is_number_locked(self.memory.fd(), slot).unwrap_or(true);
        let fifo = if lives { self.wake_fifo(slot) } else { None };
        if let Some(fifo) = &fifo {
            fifo.wake();
        }
        fifo.is_some()
    }
}

impl WaitPlace {
    /// The place's number in a wait set.
    pub fn slot(&self) -> u32 {
        self.slot.number()
    }

    /// What the poller sleeps on.
    pub fn source(&self) -> Source {
        self.wake_fifo.clone()
    }

    /// Takes earlier wake-ups off the source.
    pub fn drain(&self) {
        self.wake_fifo.drain();
    }
}

impl Drop for WaitPlace {
    fn drop(&mut self) {
        if self.memory.generation() == generation() {
            self.memory.remove_wake_fifo(self.slot.number());
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
