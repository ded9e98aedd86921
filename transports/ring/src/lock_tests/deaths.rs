//! A participant dies after any single store of any operation; so does the one that finds it. Then
//! a third one finds all as it should be.

use std::cell::Cell;
use std::sync::atomic::Ordering::SeqCst;

use super::{Memory, id};
use crate::cells;
use crate::mortal::with_stores;
use crate::mutex::{self, Effort, await_release};
use crate::robust::Taken;
use crate::rwlock::{self, Told};
use crate::semaphore;
use crate::wait_set::{announce_poller, announce_thread, wake_one, withdraw_poller};

/// The participant that dies first, the one that dies after it, and the one that lives.
const VICTIM: u32 = 0;
const HEIR: u32 = 1;
const SURVIVOR: u32 = 2;

const PERMITS: u32 = 3;

/// Runs `run` with a death of `VICTIM` after each of its stores, then `repair` with a death of
/// `HEIR` after each of its own, then `check`. Both get the memory as `prepare` left it.
fn die_everywhere(
    prepare: impl Fn(&Memory),
    run: impl Fn(&Memory),
    repair: impl Fn(&Memory),
    check: impl Fn(&Memory),
) -> u32 {
    let mut deaths = 0;
    for stores in 0.. {
        let mut survived = false;
        for repairs in 0.. {
            let memory = Memory::new(PERMITS);
            prepare(&memory);
            survived = with_stores(stores, || run(&memory)).is_some();
            memory.bury(VICTIM);
            let repaired = with_stores(repairs, || repair(&memory)).is_some();
            memory.bury(HEIR);
            check(&memory);
            deaths += 1;
            if repaired {
                break;
            }
        }
        if survived {
            return deaths;
        }
    }
    deaths
}

fn lock(memory: &Memory, slot: u32) -> Option<Taken> {
    mutex::try_lock(&memory.word, id(slot), Effort::Once, true, &memory.kernel)
}

fn unlock(memory: &Memory) {
    mutex::unlock(&memory.word, &memory.starving, || wake_one(&memory.waiters, &memory.waiters));
}

/// What a waiter that gives up does.
fn wait_in_vain(memory: &Memory, slot: u32) {
    announce_thread(&memory.waiters);
    await_release(&memory.word, Effort::Fresh);
    announce_poller(&memory.waiters, slot);
    await_release(&memory.word, Effort::Waited);
    memory.starving.store(1, SeqCst);
    if !withdraw_poller(&memory.waiters, slot) || !await_release(&memory.word, Effort::Waited) {
        wake_one(&memory.waiters, &memory.waiters);
    }
}

#[test]
fn a_death_at_any_store_harms_no_mutex() {
    let inside = Cell::new(false);
    let deaths = die_everywhere(
        |_| inside.set(false),
        |memory| lock_and_unlock(memory, VICTIM, &inside),
        |memory| lock_and_unlock(memory, HEIR, &inside),
        |memory| {
            let died_inside = inside.get();
            let taken = lock(memory, SURVIVOR).expect("free, or of the dead");
            assert!(taken == Taken::OwnerDied || !died_inside, "nothing said of a death");
            unlock(memory);
            assert_eq!(lock(memory, SURVIVOR), Some(Taken::Free), "told twice");
            assert_eq!(lock(memory, SURVIVOR), None);
            unlock(memory);
        },
    );
    assert!(deaths > 30, "{deaths}");
}

fn lock_and_unlock(memory: &Memory, slot: u32, inside: &Cell<bool>) {
    let taken = lock(memory, slot).expect("free, or of the dead");
    assert!(taken == Taken::OwnerDied || !inside.get(), "nothing said of a death");
    inside.set(true);
    wait_in_vain(memory, slot);
    inside.set(false);
    unlock(memory);
}

fn read(memory: &Memory, slot: u32) -> Option<Told> {
    rwlock::try_read(memory, id(slot), Effort::Once).or_else(|| {
        rwlock::try_take(memory, id(slot), Effort::Once, true, &memory.kernel)
            .then(|| rwlock::pass_to_read(memory, id(slot)))
    })
}

fn write(memory: &Memory, slot: u32) -> Option<Told> {
    if !rwlock::try_take(memory, id(slot), Effort::Once, true, &memory.kernel) {
        return None;
    }
    if rwlock::has_readers(memory, true, &memory.kernel) {
        rwlock::release(memory);
        return None;
    }
    Some(rwlock::begin_write(memory))
}

const SOUND: Told = Told::Locked(Taken::Free);
const DIED: Told = Told::Locked(Taken::OwnerDied);

/// After any deaths: `told` is what the survivor must hear, if that is certain.
fn check_rwlock(memory: &Memory, may_be_told: bool, must_be_told: bool) {
    let heard = read(memory, SURVIVOR).expect("no writer lives");
    assert!(heard == SOUND || may_be_told && heard == DIED, "{heard:?}");
    assert!(heard == DIED || !must_be_told, "nothing said of a dead writer");
    assert_eq!(write(memory, SURVIVOR), None, "with a reader inside");
    rwlock::leave(memory, id(SURVIVOR));
    assert_eq!(write(memory, SURVIVOR), Some(heard), "readers and writers are told the same");
    assert_eq!(read(memory, SURVIVOR), None, "with a writer inside");
    rwlock::end_write(memory, true);
    assert_eq!(read(memory, SURVIVOR), Some(SOUND));
    rwlock::leave(memory, id(SURVIVOR));
    assert_eq!(write(memory, SURVIVOR), Some(SOUND));
    rwlock::end_write(memory, false);
    assert_eq!(read(memory, SURVIVOR), Some(Told::Poisoned));
    assert_eq!(write(memory, SURVIVOR), Some(Told::Poisoned));
    rwlock::clear_poison(memory);
    assert_eq!(write(memory, SURVIVOR), Some(SOUND));
    rwlock::end_write(memory, true);
}

#[test]
fn a_death_at_any_store_of_a_reader_is_nobodys_news() {
    let act = |memory: &Memory, slot: u32| {
        assert_eq!(read(memory, slot), Some(SOUND));
        wait_in_vain(memory, slot);
        rwlock::leave(memory, id(slot));
        // As one that has waited, by way of the word.
        assert!(rwlock::try_take(memory, id(slot), Effort::Waited, true, &memory.kernel));
        assert_eq!(rwlock::pass_to_read(memory, id(slot)), SOUND);
        rwlock::leave(memory, id(slot));
        // As a writer that gives up.
        assert!(rwlock::try_take(memory, id(slot), Effort::Waited, true, &memory.kernel));
        rwlock::has_readers(memory, true, &memory.kernel);
        announce_thread(&memory.drain);
        rwlock::release(memory);
    };
    let deaths = die_everywhere(
        |_| {},
        |memory| act(memory, VICTIM),
        |memory| act(memory, HEIR),
        |memory| check_rwlock(memory, false, false),
    );
    assert!(deaths > 300, "{deaths}");
}

#[test]
fn a_death_at_any_store_of_a_writer_is_told() {
    let inside = Cell::new(false);
    let act = |memory: &Memory, slot: u32| {
        let told = write(memory, slot).expect("free, or of the dead");
        assert!(told == DIED || told == SOUND && !inside.get(), "{told:?}");
        inside.set(true);
        wait_in_vain(memory, slot);
        inside.set(false);
        rwlock::end_write(memory, true);
    };
    let deaths = die_everywhere(
        |_| inside.set(false),
        |memory| act(memory, VICTIM),
        |memory| act(memory, HEIR),
        |memory| check_rwlock(memory, true, inside.get()),
    );
    assert!(deaths > 100, "{deaths}");
}

#[test]
fn a_death_at_any_store_of_one_that_was_told_is_told_again() {
    let deaths = die_everywhere(
        |memory| {
            assert_eq!(write(memory, VICTIM), Some(SOUND));
            memory.bury(VICTIM);
        },
        |_| {},
        |memory| {
            assert_eq!(read(memory, HEIR), Some(DIED));
            rwlock::leave(memory, id(HEIR));
            assert_eq!(write(memory, HEIR), Some(DIED));
        },
        |memory| check_rwlock(memory, true, true),
    );
    assert!(deaths > 5, "{deaths}");
}

#[test]
fn a_death_at_any_store_costs_no_permit() {
    let act = |memory: &Memory, slot: u32| {
        let acquire = |wanted, effort| {
            semaphore::try_acquire(memory, id(slot), wanted, effort, true, &memory.kernel)
        };
        assert!(acquire(2, Effort::Fresh));
        announce_thread(&memory.waiters);
        assert!(!semaphore::await_permits(memory, id(slot), 2, true, &memory.kernel));
        assert!(!acquire(2, Effort::Waited));
        assert!(acquire(1, Effort::Once));
        semaphore::end_wait(memory, id(slot), 2, false);
        semaphore::release(memory, id(slot), 3);
    };
    let deaths = die_everywhere(
        |_| {},
        |memory| act(memory, VICTIM),
        |memory| {
            pass_the_dead(memory, HEIR);
            act(memory, HEIR);
        },
        |memory| {
            pass_the_dead(memory, SURVIVOR);
            assert_eq!(semaphore::available(memory, true, &memory.kernel), PERMITS);
            act(memory, SURVIVOR);
            assert_eq!(semaphore::available(memory, false, &memory.kernel), PERMITS);
        },
    );
    assert!(deaths > 100, "{deaths}");
}

/// As a waiter does after a slice.
fn pass_the_dead(memory: &Memory, slot: u32) {
    assert_eq!(semaphore::first_in_the_way(memory, id(slot), 1, &memory.kernel), None);
}

/// Permits that are added or destroyed are so wholly, whatever the dead had.
#[test]
fn a_death_at_any_store_adds_or_destroys_all_or_nothing() {
    let deaths = die_everywhere(
        |_| {},
        |memory| {
            assert!(semaphore::add_permits(memory, 2));
            assert!(semaphore::try_acquire(
                memory,
                id(VICTIM),
                4,
                Effort::Once,
                false,
                &memory.kernel
            ));
            semaphore::forget(memory, id(VICTIM), 4);
        },
        |memory| {
            semaphore::available(memory, true, &memory.kernel);
        },
        |memory| {
            let left = semaphore::available(memory, true, &memory.kernel);
            assert!([PERMITS, PERMITS + 2, PERMITS - 2].contains(&left), "{left}");
            assert_eq!(left, memory.total.load(SeqCst));
        },
    );
    assert!(deaths > 5, "{deaths}");
}

/// A slot that was taken anew has nothing of what its last holder had.
#[test]
fn a_new_holder_of_a_slot_has_nothing() {
    let memory = Memory::new(PERMITS);
    cells::add(&memory.cells, id(VICTIM), 2);
    let next = crate::robust::OwnerId::new(VICTIM, 2);
    cells::join(&memory.cells, next);
    assert_eq!(cells::held(&memory.cells, false, &memory.kernel).count(), 0);
    cells::add(&memory.cells, next, 1);
    assert_eq!(cells::remove(&memory.cells, next, 1), 0);
}

/// Whatever stands there: calls end, and what a participant itself has is mended.
#[test]
fn any_words_are_survived() {
    let values = [0, 1, 2, 0x7fff_ffff, 0x8000_0000, u64::MAX, 0x1_0000_0001, 0xffff_ffff_0000];
    for value in values {
        for place in 0..10 {
            let memory = Memory::new(PERMITS);
            let small = value as u32;
            match place {
                0 => memory.word.store(small, SeqCst),
                1 => memory.starving.store(small, SeqCst),
                2 => memory.state.store(small, SeqCst),
                3 => memory.total.store(small, SeqCst),
                4 => memory.large.store(small, SeqCst),
                5 => memory.turn.store(value, SeqCst),
                6 => memory.first.store(value, SeqCst),
                7 => cells::Cells::joined(&memory.cells, 0).store(value, SeqCst),
                slot => cells::Cells::cell(&memory.cells, slot - 8).store(value, SeqCst),
            }
            wait_in_vain(&memory, SURVIVOR);
            for _ in 0..2 {
                if matches!(read(&memory, SURVIVOR), Some(Told::Locked(_))) {
                    rwlock::leave(&memory, id(SURVIVOR));
                }
                if matches!(write(&memory, SURVIVOR), Some(Told::Locked(_))) {
                    rwlock::end_write(&memory, true);
                }
                let kernel = &memory.kernel;
                let (own, effort) = (id(SURVIVOR), Effort::Fresh);
                semaphore::await_permits(&memory, own, 2, true, kernel);
                if semaphore::try_acquire(&memory, own, 2, effort, true, kernel) {
                    semaphore::release(&memory, own, 2);
                }
                semaphore::end_wait(&memory, own, 2, false);
                semaphore::add_permits(&memory, 1);
                semaphore::forget(&memory, own, 1);
            }
        }
    }
}
