//! A lock in shared memory that survives its owner.
//!
//! Owner and state share one word: 0 is free, otherwise it is the owner's [`OwnerId`], perhaps with
//! `WAITERS`. Taking a free lock is one compare-and-swap, releasing it one swap. A contending
//! thread spins briefly, sets `WAITERS`, then sleeps on the word for at most 10 ms at a time.
//! After a sleep in which the word did not change it checks whether the owner is alive, and takes
//! the lock over if it is not. The bit is sticky: a thread that slept sets it again when it takes
//! the lock, for it cannot know whether others sleep.
//!
//! Ordering: taking the lock is an acquire, releasing it a release, so that each owner sees what
//! the ones before it wrote. Taking it is a release as well, and reading its owner's id an acquire:
//! a thread that reads the id also sees what the owner wrote about itself before, by which the
//! backend tells whether it is dead. A lock taken over from a dead owner has no release to pair
//! with. What it protects is as the owner's last instruction left it: the kernel, which said that
//! the owner is dead, made all its stores visible before.

use std::time::{Duration, Instant};

use crate::primitive::{AtomicU32, Ordering};

/// A thread may sleep on the word.
const WAITERS: u32 = 1 << 31;
/// The longest sleep before the owner is checked: what a death costs the threads that wait.
const SLICE: Duration = Duration::from_millis(10);
/// Pauses between two looks at a taken lock, at first and at most. While one side pauses the other
/// gets much done on cache lines that stay its own.
const PAUSES: [u32; 2] = [4, 256];
/// Looks at a taken lock before sleeping: some microseconds in all.
const LOOKS: u32 = 24;

/// Bits of an owner id that name the slot, from the lowest on.
const SLOT_BITS: u32 = 9;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
/// The bits between these and `WAITERS` tell the holders of a slot apart. A slot is taken millions
/// of times before an id comes again.
const GENERATION_MASK: u32 = (1 << (31 - SLOT_BITS)) - 1;

/// A participant that takes the lock: its slot, and a generation that tells the holders of that
/// slot apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerId(u32);

impl OwnerId {
    /// The most slots.
    pub const SLOTS: u32 = SLOT_MASK - 1;

    /// The id of a slot's holder. `slot` is below [`SLOTS`](Self::SLOTS); of `generation` 22 bits
    /// count.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self((slot.wrapping_add(1) & SLOT_MASK) | (generation & GENERATION_MASK) << SLOT_BITS)
    }

    /// The slot. An id that was read from shared memory may name one that does not exist.
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 & SLOT_MASK).wrapping_sub(1)
    }

    /// As a number, for words that name a holder; never 0.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The id with these bits. `None` for 0 and for other bits that no id has.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Option<Self> {
        if bits == 0 || bits & WAITERS != 0 { None } else { Some(Self(bits)) }
    }

    /// True if this id is of this generation.
    #[must_use]
    pub const fn is_of(self, generation: u32) -> bool {
        (self.0 >> SLOT_BITS) & GENERATION_MASK == generation & GENERATION_MASK
    }
}

/// What the lock needs beside its word.
pub trait LockBackend {
    /// True if the participant with this id has died or never existed.
    fn is_dead(&self, owner_id: OwnerId) -> bool;
    /// Sleeps while the word has this value, for this time at most. May end early.
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration);
    /// Wakes one sleeper.
    fn wake(&self, word: &AtomicU32);
}

/// How the lock was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was free.
    Free,
    /// From an owner that died holding it: what it protects must be repaired first.
    OwnerDied,
}

/// Takes the lock. `None` if its owner is alive and does not release it within `timeout`.
#[inline]
pub fn lock(
    word: &AtomicU32,
    own_id: OwnerId,
    backend: &impl LockBackend,
    timeout: Duration,
) -> Option<Taken> {
    match word.compare_exchange(0, own_id.0, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => Some(Taken::Free),
        Err(_) => contend(word, own_id, backend, timeout),
    }
}

#[cold]
fn contend(
    word: &AtomicU32,
    own_id: OwnerId,
    backend: &impl LockBackend,
    timeout: Duration,
) -> Option<Taken> {
    // AcqRel if it succeeds with an id of ours; a mere WAITERS needs neither.
    let replace =
        |expected, new| word.compare_exchange(expected, new, Ordering::AcqRel, Ordering::Relaxed);
    let [mut pauses, longest] = PAUSES;
    for _ in 0..LOOKS {
        (0..pauses).for_each(|_| std::hint::spin_loop());
        pauses = (pauses * 2).min(longest);
        if word.load(Ordering::Relaxed) == 0 && replace(0, own_id.0).is_ok() {
            return Some(Taken::Free);
        }
    }
    // `None` is never. A sleep ends early when the word changes, so only the clock tells how long
    // this takes.
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let left = deadline.map_or(SLICE, |at| at.saturating_duration_since(Instant::now()));
        let now = word.load(Ordering::Relaxed);
        if now == 0 {
            if replace(0, own_id.0 | WAITERS).is_ok() {
                return Some(Taken::Free);
            }
        } else if now & WAITERS != 0 || replace(now, now | WAITERS).is_ok() {
            backend.sleep(word, now | WAITERS, left.min(SLICE));
            // An owner that released it meanwhile was alive. Acquire: for `is_dead`.
            let is_same = word.load(Ordering::Acquire) == now | WAITERS;
            if is_same
                && backend.is_dead(OwnerId(now & !WAITERS))
                && replace(now | WAITERS, own_id.0 | WAITERS).is_ok()
            {
                return Some(Taken::OwnerDied);
            }
        }
        if left.is_zero() {
            return None;
        }
    }
}

/// The owner's id, if the lock is taken.
pub fn owner(word: &AtomicU32) -> Option<OwnerId> {
    // Acquire: for `is_dead`.
    OwnerId::from_bits(word.load(Ordering::Acquire) & !WAITERS)
}

/// Sleeps until this owner releases the lock, at most 10 ms or `timeout`.
pub fn await_release(
    word: &AtomicU32,
    owner: OwnerId,
    backend: &impl LockBackend,
    timeout: Duration,
) {
    // Before the sleep: an owner that releases the lock after this finds the bit, and one that did
    // so before has changed the word, on which `sleep` returns at once then.
    let with_waiters = owner.0 | WAITERS;
    let _ = word.compare_exchange(owner.0, with_waiters, Ordering::Relaxed, Ordering::Relaxed);
    backend.sleep(word, with_waiters, timeout.min(SLICE));
}

/// Releases the lock. The caller holds it.
#[inline]
pub fn unlock(word: &AtomicU32, backend: &impl LockBackend) {
    if word.swap(0, Ordering::Release) & WAITERS != 0 {
        backend.wake(word);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::*;

    use super::*;
    use crate::sleeper::Sleeper;

    #[derive(Default)]
    struct Threads {
        dead: AtomicBool,
        sleeper: Sleeper,
    }

    impl LockBackend for Threads {
        fn is_dead(&self, owner_id: OwnerId) -> bool {
            self.dead.load(SeqCst) && owner_id.slot() == 7
        }
        fn sleep(&self, word: &AtomicU32, expected: u32, timeout: Duration) {
            self.sleeper.sleep(word, expected, timeout);
        }
        fn wake(&self, word: &AtomicU32) {
            self.sleeper.wake(word);
        }
    }

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn one_at_a_time() {
        let (word, backend, inside) =
            (AtomicU32::new(0), Threads::default(), AtomicBool::new(false));
        let mut count = 0;
        let counter = std::sync::Mutex::new(&mut count);
        std::thread::scope(|scope| {
            for slot in 0..4 {
                let (word, backend, inside, counter) = (&word, &backend, &inside, &counter);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        assert_eq!(
                            lock(word, OwnerId::new(slot, 1), backend, LONG),
                            Some(Taken::Free)
                        );
                        assert!(!inside.swap(true, Relaxed), "two are inside");
                        **counter.try_lock().unwrap() += 1;
                        inside.store(false, Relaxed);
                        unlock(word, backend);
                    }
                });
            }
        });
        assert_eq!(count, 80_000);
        assert_eq!(word.load(SeqCst) & !WAITERS, 0);
    }

    #[test]
    fn a_dead_owner_is_followed_once() {
        let (word, backend) = (Arc::new(AtomicU32::new(0)), Arc::new(Threads::default()));
        lock(&word, OwnerId::new(7, 3), &*backend, LONG);
        assert_eq!(lock(&word, OwnerId::new(1, 1), &*backend, Duration::from_millis(30)), None);
        let contenders: Vec<_> = (0..4)
            .map(|slot| {
                let (word, backend) = (word.clone(), backend.clone());
                std::thread::spawn(move || {
                    let taken = lock(&word, OwnerId::new(slot, 1), &*backend, LONG);
                    unlock(&word, &*backend);
                    taken
                })
            })
            .collect();
        backend.dead.store(true, SeqCst);
        let taken: Vec<_> =
            contenders.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
        assert_eq!(taken.iter().filter(|t| **t == Taken::OwnerDied).count(), 1, "{taken:?}");
    }

    /// A backend in which every sleep ends at once, as it does on a word that changes all the time.
    struct Restless;

    impl LockBackend for Restless {
        fn is_dead(&self, _owner_id: OwnerId) -> bool {
            false
        }
        fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {
            std::thread::yield_now();
        }
        fn wake(&self, _word: &AtomicU32) {}
    }

    #[test]
    fn the_timeout_is_measured_by_a_clock() {
        let word = AtomicU32::new(OwnerId::new(7, 3).0);
        let (timeout, start) = (Duration::from_millis(30), Instant::now());
        assert_eq!(lock(&word, OwnerId::new(1, 1), &Restless, timeout), None);
        assert!(start.elapsed() >= timeout, "gave up after {:?}", start.elapsed());
    }

    #[test]
    fn a_wait_for_a_release_is_woken_by_it() {
        let (word, backend) = (AtomicU32::new(0), Threads::default());
        let owner_id = OwnerId::new(3, 1);
        assert_eq!(owner(&word), None);
        lock(&word, owner_id, &backend, LONG);
        assert_eq!(owner(&word), Some(owner_id));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while owner(&word).is_some() {
                    await_release(&word, owner_id, &backend, LONG);
                }
            });
            while word.load(SeqCst) & WAITERS == 0 {
                std::thread::yield_now();
            }
            unlock(&word, &backend);
        });
        // There is no wait for an owner that has released the lock already.
        await_release(&word, owner_id, &backend, LONG);
    }

    #[test]
    fn owner_ids_tell_slots_and_generations() {
        let id = OwnerId::new(OwnerId::SLOTS - 1, (1 << 22) + 0x8003);
        assert_eq!(id.slot(), OwnerId::SLOTS - 1);
        assert!(id.is_of(0x8003) && !id.is_of(3) && !id.is_of(0x8004));
        assert_ne!(OwnerId::new(0, 0).0, 0);
    }
}

/// Threads that share the word under every interleaving. A sleep ends at once; a dead owner is one
/// that never releases the lock.
#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use super::*;

    struct Threads;

    impl LockBackend for Threads {
        fn is_dead(&self, owner_id: OwnerId) -> bool {
            owner_id.slot() == 7
        }
        fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout: Duration) {
            loom::thread::yield_now();
        }
        fn wake(&self, _word: &AtomicU32) {}
    }

    fn run(start: u32) {
        loom::model(move || {
            let shared = Arc::new((AtomicU32::new(start), UnsafeCell::new(0u32)));
            let work = |shared: &(AtomicU32, UnsafeCell<u32>), slot| {
                let taken = contend(&shared.0, OwnerId::new(slot, 1), &Threads, Duration::MAX);
                // SAFETY: the lock lets one in at a time, which is what loom checks here.
                shared.1.with_mut(|count| unsafe { *count += 1 });
                unlock(&shared.0, &Threads);
                taken == Some(Taken::OwnerDied)
            };
            let other = Arc::clone(&shared);
            let there = loom::thread::spawn(move || work(&other, 1));
            let here = work(&shared, 0);
            let there = there.join().unwrap();
            assert_eq!(u32::from(here) + u32::from(there), u32::from(start != 0));
            // SAFETY: the other thread has ended.
            shared.1.with(|count| assert_eq!(unsafe { *count }, 2));
        });
    }

    #[test]
    fn robust_lock_lets_one_in_at_a_time() {
        run(0);
    }

    #[test]
    fn robust_lock_of_the_dead_is_taken_over_once() {
        run(OwnerId::new(7, 1).0);
    }
}
