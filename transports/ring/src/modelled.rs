//! Waiters for loom: threads that share a wait set and sleep as on a futex and on descriptors. No
//! sleep ends by itself, so a wake-up that is lost is a deadlock, which loom reports.

use std::collections::VecDeque;

use loom::model::Builder;
use loom::sync::{Condvar, Mutex};

use crate::primitive::{AtomicU32, AtomicU64, Ordering::SeqCst};
use crate::wait_set::{POLLER_WORDS, WaitWords, Wakers, announce_poller, announce_thread};

/// Every interleaving with two preemptions.
pub(crate) fn explore(run: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

/// A wait set, and what its waiters sleep on.
#[derive(Default)]
pub(crate) struct Waiters {
    sequence: AtomicU32,
    awaited: AtomicU32,
    pollers: [AtomicU64; POLLER_WORDS as usize],
    asleep: Mutex<Asleep>,
    changed: Condvar,
}

#[derive(Default)]
struct Asleep {
    /// The threads that sleep on the sequence, the first one first.
    threads: VecDeque<u32>,
    next: u32,
    /// Slots that were rung and have not drained that yet.
    rung: u64,
}

impl WaitWords for Waiters {
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

impl Wakers for Waiters {
    fn wake(&self, _word: &AtomicU32, most: u32) -> u32 {
        let mut asleep = self.asleep.lock().unwrap();
        let count = asleep.threads.len().min(most as usize);
        asleep.threads.drain(..count);
        self.changed.notify_all();
        count as u32
    }
    fn ring(&self, slot: u32) -> bool {
        self.asleep.lock().unwrap().rung |= 1 << slot;
        self.changed.notify_all();
        true
    }
}

impl Waiters {
    /// Tries until there is a result, as a thread does.
    pub(crate) fn wait<R>(&self, mut attempt: impl FnMut() -> Option<R>) -> R {
        loop {
            if let Some(done) = attempt() {
                return done;
            }
            let seen = announce_thread(self);
            // The look before the sleep, which takes what it finds.
            if let Some(done) = attempt() {
                return done;
            }
            self.sleep(seen);
        }
    }

    /// Sleeps on the sequence until a wake-up, if it is `seen`.
    pub(crate) fn sleep(&self, seen: u32) {
        let mut asleep = self.asleep.lock().unwrap();
        if self.sequence.load(SeqCst) != seen {
            return;
        }
        let own = asleep.next;
        asleep.next += 1;
        asleep.threads.push_back(own);
        while asleep.threads.contains(&own) {
            asleep = self.changed.wait(asleep).unwrap();
        }
    }

    /// As [`wait`](Self::wait), for the holder of a slot.
    pub(crate) fn poll<R>(&self, slot: u32, mut attempt: impl FnMut() -> Option<R>) -> R {
        loop {
            self.drain(slot);
            announce_poller(self, slot);
            if let Some(done) = attempt() {
                return done;
            }
            self.sleep_on_source(slot);
        }
    }

    /// Takes earlier wake-ups off the descriptor of a slot.
    pub(crate) fn drain(&self, slot: u32) {
        self.asleep.lock().unwrap().rung &= !(1 << slot);
    }

    /// Sleeps on the descriptor of a slot.
    pub(crate) fn sleep_on_source(&self, slot: u32) {
        let mut asleep = self.asleep.lock().unwrap();
        while asleep.rung & 1 << slot == 0 {
            asleep = self.changed.wait(asleep).unwrap();
        }
    }
}
