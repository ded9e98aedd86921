//! Locks of participants that die, and of threads under every interleaving.
//!
//! - this file: the memory of the locks, and their waits as the crates above derive them
//! - `deaths`: a participant dies after any store
//! - `explored`: loom

#[cfg(not(loom))]
mod deaths;
#[cfg(loom)]
mod explored;
#[cfg(loom)]
mod sleep;

use std::time::Duration;

use crate::cells::{self, Cells};
use crate::primitive::{AtomicU32, AtomicU64};
use crate::robust::{LockBackend, OwnerId};
use crate::rwlock::RwWords;
use crate::semaphore::SemaphoreWords;
use crate::wait_set::{POLLER_WORDS, WaitWords, Wakers, wake_all, wake_one};

/// Participants of a test.
pub(crate) const SLOTS: u32 = 3;

/// The words of a lock of each sort, and their wait sets.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) word: AtomicU32,
    pub(crate) starving: AtomicU32,
    pub(crate) state: AtomicU32,
    pub(crate) total: AtomicU32,
    pub(crate) large: AtomicU32,
    pub(crate) turn: AtomicU64,
    pub(crate) first: AtomicU64,
    pub(crate) cells: TestCells,
    /// Waits for the word or for permits.
    pub(crate) waiters: Set,
    /// Waits for readers to leave.
    pub(crate) drain: Set,
    pub(crate) system: System,
}

#[derive(Debug)]
pub(crate) struct TestCells {
    cells: [AtomicU64; SLOTS as usize],
    joined: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Set {
    sequence: AtomicU32,
    awaited: AtomicU32,
    pollers: [AtomicU64; POLLER_WORDS as usize],
}

/// The kernel: it says which participants died, and wakes.
#[derive(Debug, Default)]
pub(crate) struct System {
    /// A bit for each slot of the dead.
    pub(crate) dead: std::sync::atomic::AtomicU32,
    #[cfg(loom)]
    pub(crate) sleepers: sleep::Sleepers,
}

/// The id of the participant in a slot.
pub(crate) fn id(slot: u32) -> OwnerId {
    OwnerId::new(slot, 1)
}

impl Memory {
    /// Free locks, and a semaphore of so many permits. All participants have joined.
    pub(crate) fn new(permits: u32) -> Self {
        let memory = Self {
            word: AtomicU32::new(0),
            starving: AtomicU32::new(0),
            state: AtomicU32::new(0),
            total: AtomicU32::new(permits),
            large: AtomicU32::new(0),
            turn: AtomicU64::new(0),
            first: AtomicU64::new(0),
            cells: TestCells {
                cells: std::array::from_fn(|_| AtomicU64::new(0)),
                joined: AtomicU64::new(0),
            },
            waiters: Set::new(),
            drain: Set::new(),
            system: System::default(),
        };
        (0..SLOTS).for_each(|slot| cells::join(&memory.cells, id(slot)));
        memory
    }

    pub(crate) fn bury(&self, slot: u32) {
        self.system.dead.fetch_or(1 << slot, std::sync::atomic::Ordering::SeqCst);
    }
}

impl Set {
    fn new() -> Self {
        Self {
            sequence: AtomicU32::new(0),
            awaited: AtomicU32::new(0),
            pollers: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl WaitWords for Set {
    fn sequence(&self) -> &AtomicU32 {
        &self.sequence
    }
    fn awaited(&self) -> &AtomicU32 {
        &self.awaited
    }
    fn pollers(&self, index: u32) -> &AtomicU64 {
        &self.pollers[index as usize]
    }
}

impl LockBackend for System {
    fn is_dead(&self, owner: OwnerId) -> bool {
        let dead = self.dead.load(std::sync::atomic::Ordering::SeqCst);
        owner.slot() >= SLOTS || !owner.is_of(1) || dead >> owner.slot() & 1 == 1
    }
    fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {}
    fn wake(&self, _word: &AtomicU32) {}
}

#[cfg(not(loom))]
impl Wakers for System {
    fn wake(&self, _word: &AtomicU32, _most: u32) -> u32 {
        0
    }
    fn ring(&self, _slot: u32) -> bool {
        false
    }
}

#[cfg(loom)]
impl Wakers for System {
    fn wake(&self, word: &AtomicU32, most: u32) -> u32 {
        self.sleepers.wake(word, most)
    }
    fn ring(&self, slot: u32) -> bool {
        slot < SLOTS && !self.is_dead(id(slot)) && self.sleepers.ring(slot)
    }
}

impl Cells for TestCells {
    fn count(&self) -> u32 {
        SLOTS
    }
    fn cell(&self, slot: u32) -> &AtomicU64 {
        &self.cells[slot as usize]
    }
    fn joined(&self, _index: u32) -> &AtomicU64 {
        &self.joined
    }
}

impl RwWords for Memory {
    type Readers = TestCells;

    fn readers(&self) -> &TestCells {
        &self.cells
    }
    fn word(&self) -> &AtomicU32 {
        &self.word
    }
    fn starving(&self) -> &AtomicU32 {
        &self.starving
    }
    fn state(&self) -> &AtomicU32 {
        &self.state
    }
    fn wake_writer(&self) {
        wake_one(&self.drain, &self.system);
    }
    fn wake_next(&self) -> bool {
        wake_one(&self.waiters, &self.system)
    }
}

impl SemaphoreWords for Memory {
    type Held = TestCells;

    fn held(&self) -> &TestCells {
        &self.cells
    }
    fn total(&self) -> &AtomicU32 {
        &self.total
    }
    fn turn(&self) -> &AtomicU64 {
        &self.turn
    }
    fn first(&self) -> &AtomicU64 {
        &self.first
    }
    fn large(&self) -> &AtomicU32 {
        &self.large
    }
    fn wake_one(&self) {
        wake_one(&self.waiters, &self.system);
    }
    fn wake_all(&self) {
        wake_all(&self.waiters, &self.system);
    }
}
