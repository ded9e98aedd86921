//! Locks of participants that die, and of threads under every interleaving.
//!
//! - this file: the memory of the locks, and their waits as the crates above derive them
//! - `deaths`: a participant dies after any store
//! - `explored`: loom

#[cfg(not(loom))]
mod deaths;
#[cfg(loom)]
mod explored;

use std::time::Duration;

use crate::cells::{self, Cells};
use crate::primitive::{AtomicU32, AtomicU64};
use crate::robust::{LockBackend, OwnerId};
use crate::rwlock::RwWords;
use crate::semaphore::SemaphoreWords;
#[cfg(not(loom))]
use crate::wait_set::{POLLER_WORDS, WaitWords, Wakers};
use crate::wait_set::{wake_all, wake_one};

#[cfg(loom)]
pub(crate) use crate::modelled::Waiters as Set;

/// Participants of a test.
pub(crate) const SLOTS: u32 = 4;

/// The words of a lock of each sort, and their wait sets.
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
    pub(crate) kernel: Kernel,
}

pub(crate) struct TestCells {
    cells: [AtomicU64; SLOTS as usize],
    joined: AtomicU64,
}

/// A wait set of waiters that never sleep.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Set {
    sequence: AtomicU32,
    awaited: AtomicU32,
    pollers: [AtomicU64; POLLER_WORDS as usize],
}

/// Says which participants died: a bit for each slot.
#[derive(Default)]
pub(crate) struct Kernel(std::sync::atomic::AtomicU32);

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
            waiters: Set::default(),
            drain: Set::default(),
            kernel: Kernel::default(),
        };
        (0..SLOTS).for_each(|slot| cells::join(&memory.cells, id(slot)));
        memory
    }

    pub(crate) fn bury(&self, slot: u32) {
        self.kernel.0.fetch_or(1 << slot, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(not(loom))]
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

impl LockBackend for Kernel {
    fn is_dead(&self, owner: OwnerId) -> bool {
        let dead = self.0.load(std::sync::atomic::Ordering::SeqCst);
        owner.slot() >= SLOTS || !owner.is_of(1) || dead >> owner.slot() & 1 == 1
    }
    fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {}
    fn wake(&self, _word: &AtomicU32) {}
}

#[cfg(not(loom))]
impl Wakers for Set {
    fn wake(&self, _word: &AtomicU32, _most: u32) -> u32 {
        0
    }
    fn ring(&self, _slot: u32) -> bool {
        false
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
        wake_one(&self.drain, &self.drain);
    }
    fn wake_next(&self) -> bool {
        wake_one(&self.waiters, &self.waiters)
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
        wake_one(&self.waiters, &self.waiters);
    }
    fn wake_all(&self) {
        wake_all(&self.waiters, &self.waiters);
    }
}
