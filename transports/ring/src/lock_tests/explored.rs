//! The locks under every interleaving with two preemptions. No sleep ends by itself.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use super::{Memory, Set, id};
use crate::cells;
use crate::modelled::explore;
use crate::mutex::{self, Effort, await_release};
use crate::primitive::{AtomicU32, Ordering::SeqCst};
use crate::robust::{LockBackend, Taken, owner};
use crate::rwlock::{self, Told};
use crate::semaphore;
use crate::wait_set::{announce_poller, announce_thread, wake_one, withdraw_poller};

/// The slot of a participant that is dead from the start.
const DEAD: u32 = 3;

/// How a waiter sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Thread,
    /// A task, by its slot.
    Task(u32),
}

impl Memory {
    /// Announces a waiter, looks, and sleeps unless the look says that a try is worth it.
    fn arm_and_sleep(&self, set: &Set, waiter: As, is_ready: impl FnOnce() -> bool) {
        match waiter {
            As::Thread => {
                let seen = announce_thread(set);
                if !is_ready() {
                    set.sleep(seen);
                }
            }
            As::Task(slot) => {
                set.drain(slot);
                announce_poller(set, slot);
                if !is_ready() {
                    set.sleep_on_source(slot);
                }
            }
        }
    }

    /// Ends a wait.
    fn disarm(&self, set: &Set, waiter: As, passes: bool) {
        if let As::Task(slot) = waiter
            && !withdraw_poller(set, slot)
            && passes
        {
            wake_one(set, set);
        }
    }

    /// As a waiter for the lock word.
    fn await_word(&self, waiter: As, effort: &mut Effort) {
        let was = std::mem::replace(effort, Effort::Waited);
        self.arm_and_sleep(&self.waiters, waiter, || {
            !await_release(&self.word, was)
                || owner(&self.word).is_some_and(|owner| self.kernel.is_dead(owner))
        });
    }

    /// As a waiter for the lock word that leaves without it.
    fn leave_word(&self, waiter: As) {
        self.disarm(&self.waiters, waiter, true);
        if !await_release(&self.word, Effort::Waited) {
            wake_one(&self.waiters, &self.waiters);
        }
    }

    fn lock(&self, slot: u32, waiter: As) -> Taken {
        let mut effort = Effort::Fresh;
        loop {
            let looks = effort == Effort::Waited;
            if let Some(taken) = mutex::try_lock(&self.word, id(slot), effort, looks, &self.kernel)
            {
                if looks {
                    self.disarm(&self.waiters, waiter, false);
                }
                return taken;
            }
            self.await_word(waiter, &mut effort);
        }
    }

    fn unlock(&self) {
        mutex::unlock(&self.word, &self.starving, || wake_one(&self.waiters, &self.waiters));
    }

    fn read(&self, slot: u32, waiter: As) -> Told {
        let mut effort = Effort::Fresh;
        loop {
            if effort == Effort::Fresh {
                if let Some(told) = rwlock::try_read(self, id(slot), effort) {
                    return told;
                }
            } else if rwlock::try_take(self, id(slot), effort, true, &self.kernel) {
                self.disarm(&self.waiters, waiter, false);
                return rwlock::pass_to_read(self, id(slot));
            }
            self.await_word(waiter, &mut effort);
        }
    }

    /// As a writer; `patience`: how often it waits for readers to leave before it gives up.
    fn write(&self, slot: u32, waiter: As, patience: u32) -> Option<Told> {
        let mut effort = Effort::Fresh;
        while !rwlock::try_take(self, id(slot), effort, effort == Effort::Waited, &self.kernel) {
            self.await_word(waiter, &mut effort);
        }
        if effort == Effort::Waited {
            self.disarm(&self.waiters, waiter, false);
        }
        let mut looks = false;
        while rwlock::has_readers(self, looks, &self.kernel) {
            looks = true;
            if patience == 0 {
                rwlock::release(self);
                return None;
            }
            self.arm_and_sleep(&self.drain, waiter, || {
                !rwlock::has_readers(self, true, &self.kernel)
            });
        }
        if looks {
            self.disarm(&self.drain, waiter, false);
        }
        Some(rwlock::begin_write(self))
    }

    fn acquire(&self, slot: u32, waiter: As, wanted: u32, starves: bool) {
        let mut has_waited = false;
        while !semaphore::try_acquire(
            self,
            id(slot),
            wanted,
            Effort::Waited,
            has_waited,
            &self.kernel,
        ) {
            has_waited = true;
            self.arm_and_sleep(&self.waiters, waiter, || {
                semaphore::await_permits(self, id(slot), wanted, starves, &self.kernel)
            });
        }
        if has_waited {
            self.disarm(&self.waiters, waiter, false);
            semaphore::end_wait(self, id(slot), wanted, true);
        }
    }
}

impl Shared {
    /// With a participant that died after it did this.
    fn after_death(permits: u32, did: impl FnOnce(&Memory)) -> Self {
        let shared = Self::new(permits);
        did(&shared.memory);
        shared.memory.bury(DEAD);
        shared
    }
}

struct Shared {
    memory: Memory,
    /// What the locks protect.
    value: UnsafeCell<u32>,
}

impl Shared {
    fn new(permits: u32) -> Self {
        let memory = Memory::new(permits);
        Self { memory, value: UnsafeCell::new(0) }
    }

    fn add_one(&self) {
        // SAFETY: loom checks that this access is exclusive.
        self.value.with_mut(|value| unsafe { *value += 1 });
    }

    fn look(&self) -> u32 {
        // SAFETY: loom checks that no thread writes meanwhile.
        self.value.with(|value| unsafe { *value })
    }
}

/// Runs these, the first one in this thread, and returns what they return.
fn run<R: 'static>(
    prepare: impl Fn() -> Shared + Sync + Send + 'static,
    works: &'static [fn(&Shared) -> R],
    check: impl Fn(&Shared, Vec<R>) + Sync + Send + 'static,
) {
    explore(move || {
        let shared = Arc::new(prepare());
        let others: Vec<_> = works[1..]
            .iter()
            .map(|work| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || work(&shared))
            })
            .collect();
        let mut results = vec![works[0](&shared)];
        results.extend(others.into_iter().map(|other| other.join().unwrap()));
        check(&shared, results);
    });
}

fn deaths(taken: &[Taken]) -> usize {
    taken.iter().filter(|taken| **taken == Taken::OwnerDied).count()
}

fn lock_and_add(shared: &Shared, slot: u32, waiter: As) -> Taken {
    let taken = shared.memory.lock(slot, waiter);
    shared.add_one();
    shared.memory.unlock();
    taken
}

const LOCKERS: &[fn(&Shared) -> Taken] = &[
    |shared| lock_and_add(shared, 0, As::Thread),
    |shared| lock_and_add(shared, 1, As::Task(1)),
    |shared| lock_and_add(shared, 2, As::Thread),
];

#[test]
fn mutex_lets_one_in_at_a_time() {
    run(
        || Shared::new(0),
        LOCKERS,
        |shared, taken| assert_eq!((shared.look(), deaths(&taken)), (3, 0)),
    );
}

#[test]
fn mutex_that_is_left_to_the_starving_loses_nobody() {
    let prepare = || {
        let shared = Shared::new(0);
        shared.memory.starving.store(1, SeqCst);
        shared
    };
    run(prepare, LOCKERS, |shared, _| assert_eq!(shared.look(), 3));
}

#[test]
fn mutex_of_the_dead_is_taken_over_once() {
    let prepare = || Shared::after_death(0, |memory| memory.word.store(id(DEAD).bits(), SeqCst));
    run(prepare, LOCKERS, |shared, taken| assert_eq!((shared.look(), deaths(&taken)), (3, 1)));
}

/// One gives up after its sleep.
#[test]
fn mutex_waiter_that_leaves_passes_its_wake_up_on() {
    const WORKS: &[fn(&Shared)] = &[
        |shared| {
            let memory = &shared.memory;
            memory.lock(0, As::Thread);
            memory.unlock();
        },
        |shared| {
            let memory = &shared.memory;
            let mut effort = Effort::Fresh;
            if mutex::try_lock(&memory.word, id(1), effort, false, &memory.kernel).is_some() {
                return memory.unlock();
            }
            memory.await_word(As::Thread, &mut effort);
            memory.leave_word(As::Thread);
        },
        |shared| {
            lock_and_add(shared, 2, As::Thread);
        },
    ];
    run(|| Shared::new(0), WORKS, |shared, _| assert_eq!(shared.look(), 1));
}

/// Takes one of what `total` counts.
fn take(shared: &Shared, waiter: As) {
    let memory = &shared.memory;
    let take = |total: &AtomicU32| {
        let now = total.load(SeqCst);
        now > 0 && total.compare_exchange(now, now - 1, SeqCst, SeqCst).is_ok()
    };
    let mut has_waited = false;
    while !take(&memory.total) {
        has_waited = true;
        let is_there = || memory.total.load(SeqCst) > 0;
        memory.arm_and_sleep(&memory.waiters, waiter, is_there);
    }
    if has_waited {
        memory.disarm(&memory.waiters, waiter, false);
    }
}

fn give(shared: &Shared) {
    shared.memory.total.fetch_add(1, SeqCst);
    wake_one(&shared.memory.waiters, &shared.memory.waiters);
}

#[test]
fn wait_set_wakes_a_waiter_for_each_waker() {
    const THREADS: &[fn(&Shared)] =
        &[give, give, |shared| take(shared, As::Thread), |shared| take(shared, As::Thread)];
    run(|| Shared::new(0), THREADS, |shared, _| assert_eq!(shared.memory.total.load(SeqCst), 0));
}

#[test]
fn wait_set_wakes_threads_and_tasks() {
    const BOTH: &[fn(&Shared)] = &[
        |shared| {
            give(shared);
            give(shared);
        },
        |shared| take(shared, As::Task(1)),
        |shared| take(shared, As::Thread),
    ];
    run(|| Shared::new(0), BOTH, |shared, _| assert_eq!(shared.memory.total.load(SeqCst), 0));
}

#[test]
fn wait_set_of_a_cancelled_task_wakes_another() {
    const CANCELLED: &[fn(&Shared)] = &[
        give,
        |shared| {
            let memory = &shared.memory;
            memory.waiters.drain(1);
            announce_poller(&memory.waiters, 1);
            memory.disarm(&memory.waiters, As::Task(1), true);
        },
        |shared| take(shared, As::Task(2)),
    ];
    run(|| Shared::new(0), CANCELLED, |shared, _| assert_eq!(shared.memory.total.load(SeqCst), 0));
}

fn read_and_look(shared: &Shared, slot: u32, waiter: As) -> Told {
    let told = shared.memory.read(slot, waiter);
    shared.look();
    rwlock::leave(&shared.memory, id(slot));
    told
}

fn write_and_add(shared: &Shared, slot: u32, waiter: As) -> Told {
    let told = shared.memory.write(slot, waiter, 1).unwrap();
    shared.add_one();
    rwlock::end_write(&shared.memory, true);
    told
}

const SOUND: Told = Told::Locked(Taken::Free);
const DIED: Told = Told::Locked(Taken::OwnerDied);

#[test]
fn rwlock_keeps_readers_and_the_writer_apart() {
    const WORKS: &[fn(&Shared) -> Told] = &[
        |shared| write_and_add(shared, 0, As::Thread),
        |shared| read_and_look(shared, 1, As::Thread),
        |shared| read_and_look(shared, 2, As::Task(2)),
    ];
    run(
        || Shared::new(0),
        WORKS,
        |shared, told| assert_eq!((shared.look(), told), (1, vec![SOUND; 3])),
    );
}

#[test]
fn rwlock_keeps_writers_apart() {
    const WORKS: &[fn(&Shared) -> Told] = &[
        |shared| write_and_add(shared, 0, As::Thread),
        |shared| write_and_add(shared, 1, As::Task(1)),
        |shared| read_and_look(shared, 2, As::Thread),
    ];
    run(|| Shared::new(0), WORKS, |shared, _| assert_eq!(shared.look(), 2));
}

#[test]
fn rwlock_writer_that_gives_up_lets_the_others_in() {
    const WORKS: &[fn(&Shared)] = &[
        |shared| {
            if shared.memory.write(0, As::Thread, 0).is_some() {
                rwlock::end_write(&shared.memory, true);
            }
        },
        |shared| {
            read_and_look(shared, 1, As::Thread);
        },
        |shared| {
            write_and_add(shared, 2, As::Thread);
        },
    ];
    run(|| Shared::new(0), WORKS, |shared, _| assert_eq!(shared.look(), 1));
}

#[test]
fn rwlock_of_a_dead_reader_is_free() {
    const WORKS: &[fn(&Shared) -> Told] = &[
        |shared| write_and_add(shared, 0, As::Thread),
        |shared| write_and_add(shared, 1, As::Thread),
    ];
    let prepare = || Shared::after_death(0, |memory| cells::add(&memory.cells, id(DEAD), 2));
    run(prepare, WORKS, |shared, told| assert_eq!((shared.look(), told), (2, vec![SOUND; 2])));
}

#[test]
fn rwlock_of_a_dead_writer_tells_all_until_the_repair() {
    const WORKS: &[fn(&Shared) -> Told] = &[
        |shared| write_and_add(shared, 0, As::Thread),
        |shared| read_and_look(shared, 1, As::Thread),
    ];
    let prepare = || {
        Shared::after_death(0, |memory| {
            memory.word.store(id(DEAD).bits(), SeqCst);
            assert_eq!(rwlock::begin_write(memory), SOUND);
        })
    };
    // The reader is told if it comes before the repair.
    run(prepare, WORKS, |shared, told| assert_eq!((shared.look(), told[0]), (1, DIED)));
}

fn use_permits(shared: &Shared, slot: u32, waiter: As, wanted: u32, starves: bool) {
    shared.memory.acquire(slot, waiter, wanted, starves);
    // All of the permits: alone.
    if wanted == shared.memory.total.load(SeqCst) {
        shared.add_one();
    } else {
        shared.look();
    }
    semaphore::release(&shared.memory, id(slot), wanted);
}

fn all_are_there(shared: &Shared) {
    let left = semaphore::available(&shared.memory, false, &shared.memory.kernel);
    assert_eq!(left, shared.memory.total.load(SeqCst));
}

#[test]
fn semaphore_gives_a_permit_to_one_at_a_time() {
    const WORKS: &[fn(&Shared)] = &[
        |shared| use_permits(shared, 0, As::Thread, 1, false),
        |shared| use_permits(shared, 1, As::Thread, 1, false),
        |shared| use_permits(shared, 2, As::Task(2), 1, false),
    ];
    run(
        || Shared::new(1),
        WORKS,
        |shared, _| {
            assert_eq!(shared.look(), 3);
            all_are_there(shared);
        },
    );
}

#[test]
fn semaphore_serves_those_that_want_many() {
    const WORKS: &[fn(&Shared)] = &[
        |shared| use_permits(shared, 0, As::Thread, 1, false),
        |shared| use_permits(shared, 1, As::Thread, 2, false),
        |shared| use_permits(shared, 2, As::Thread, 1, false),
    ];
    run(
        || Shared::new(2),
        WORKS,
        |shared, _| {
            assert_eq!(shared.look(), 1);
            all_are_there(shared);
        },
    );
}

#[test]
fn semaphore_that_is_left_to_the_first_loses_nobody() {
    const WORKS: &[fn(&Shared)] = &[
        |shared| use_permits(shared, 0, As::Thread, 1, true),
        |shared| use_permits(shared, 1, As::Thread, 2, true),
    ];
    run(|| Shared::new(2), WORKS, |shared, _| all_are_there(shared));
}

#[test]
fn semaphore_takes_the_permits_of_the_dead() {
    const WORKS: &[fn(&Shared)] = &[
        |shared| use_permits(shared, 0, As::Thread, 2, false),
        |shared| use_permits(shared, 1, As::Thread, 2, false),
    ];
    let prepare = || Shared::after_death(2, |memory| cells::add(&memory.cells, id(DEAD), 1));
    run(prepare, WORKS, |shared, _| {
        assert_eq!(shared.look(), 2);
        all_are_there(shared);
    });
}
