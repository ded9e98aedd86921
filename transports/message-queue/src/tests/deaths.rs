//! A process that dies after any single store.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::SeqCst;

use super::{CHUNKS, Model, PRIORITIES, Scene, Step, act, check, expect, steps};
use crate::layout::hot;
use crate::store::Store;

/// Runs until so many stores have happened. False if it died there.
fn with_fuel(store: &Store, fuel: u64, run: impl FnOnce()) -> bool {
    store.fuel.store(fuel, SeqCst);
    let survived = catch_unwind(AssertUnwindSafe(run)).is_ok();
    store.fuel.store(u64::MAX, SeqCst);
    survived
}

/// Queues in many states, each as the steps that lead to it.
fn beginnings(priorities: u32) -> Vec<Vec<Step>> {
    use Step::*;
    let all = vec![
        vec![],
        vec![Push(0, 0)],
        vec![Push(1, 300), Push(1, 10), Push(0, 200)],
        vec![Push(0, 500), Push(0, 500), Push(2, 10), Pop, Pop],
        (0..CHUNKS).map(|i| Push(i % PRIORITIES, 1)).collect(),
        vec![Push(0, 1000), Push(1, 1000), Push(2, 100), Push(0, 100), Pop, Push(1, 700)],
        vec![Push(0, 300), Push(0, 10), Lease(0, 30), Delay(0, 200, 3), Push(0, 7)],
        vec![
            Push(0, 300),
            Push(1, 200),
            Push(1, 100),
            Push(0, 150),
            Lease(0, 50),
            Lease(1, 20),
            Back(25),
            Lease(0, 60),
            Lease(0, 80),
            Delay(1, 140, 55),
            Push(0, 0),
        ],
    ];
    all.into_iter()
        .map(|steps| steps.into_iter().map(|step| step.among(priorities)).collect())
        .collect()
}

/// Dies after each store of each step, and of the repair that follows.
#[test]
fn a_death_at_any_store_does_no_harm() {
    die_at_any_store(PRIORITIES);
}

#[test]
fn a_death_at_any_store_of_a_plain_ring_does_no_harm() {
    die_at_any_store(1);
}

fn die_at_any_store(priorities: u32) {
    let scene = Scene::new("fuel", priorities);
    let store = &scene.store;
    let mut deaths = 0;
    for beginning in beginnings(priorities) {
        for step in steps(priorities) {
            for fuel in 0.. {
                let before = scene.begin(&beginning);
                let mut after = before.clone();
                let (received, dropped) = expect(&mut after, &step, 99);
                let got = Cell::new(None);
                let survived = with_fuel(store, fuel, || got.set(act(store, &step, 99).unwrap()));
                if survived {
                    assert_eq!(got.take(), received);
                    assert_eq!(check(store), after, "{beginning:?}, {step:?}");
                    assert_eq!(store.get_wide(hot::DROPPED), dropped);
                    break;
                }
                deaths += 1;
                // The repair dies, too, at a different store each time.
                with_fuel(store, fuel % 17, || store.repair().unwrap());
                store.repair().unwrap();
                let found = check(store);
                let between = between(&before, &after, &found, &step);
                assert!(between, "{beginning:?}, {step:?}, {fuel}: {found:?}");
                let lost = count(&before).saturating_sub(count(&found));
                let drops = store.get_wide(hot::DROPPED);
                if matches!(step, Step::DropOld(..)) && found != after {
                    assert!((lost..=lost + 1).contains(&drops), "{lost} lost, {drops} counted");
                }
                // The queue works on.
                let mut model = found;
                for (seed, step) in steps(priorities).iter().enumerate() {
                    assert_eq!(act(store, step, seed).unwrap(), expect(&mut model, step, seed).0);
                    if seed % 8 == 0 {
                        assert_eq!(check(store), model);
                    }
                }
                assert_eq!(check(store), model);
            }
        }
    }
    assert!(deaths > 1000, "{deaths}");
}

/// Senders and receivers have a lock each: the other side of a death goes on before any repair.
#[test]
fn the_other_side_of_a_death_goes_on() {
    use Step::*;
    for priorities in [1, PRIORITIES] {
        let scene = Scene::new("other", priorities);
        let store = &scene.store;
        let pairs =
            [(Pop, Push(0, 10)), (Pop, Push(1, 300)), (Push(0, 300), Pop), (Push(2, 10), Pop)];
        for beginning in beginnings(priorities) {
            for (step, other) in pairs.map(|(a, b)| (a.among(priorities), b.among(priorities))) {
                for fuel in 0.. {
                    let before = scene.begin(&beginning);
                    let mut after = before.clone();
                    expect(&mut after, &step, 99);
                    if with_fuel(store, fuel, || drop(act(store, &step, 99).unwrap())) {
                        break;
                    }
                    let got = act(store, &other, 98).unwrap();
                    store.repair().unwrap();
                    let found = (check(store), got);
                    let mut allowed: Vec<_> = [&before, &after]
                        .into_iter()
                        .map(|model| {
                            let mut model = model.clone();
                            let got = expect(&mut model, &other, 98).0;
                            (model, got)
                        })
                        .collect();
                    // A message was taken off, but its room is not yet there for another.
                    if matches!(other, Push(..)) && allowed[0].0 == before {
                        allowed.push((after.clone(), None));
                    }
                    // A message of a high priority is there, but not yet counted.
                    if let (Pop, Some((priority, _))) = (other, &found.1) {
                        after.ready[*priority as usize].pop_front();
                        allowed.push((after, allowed[0].1.clone()));
                    }
                    assert!(
                        allowed.contains(&found),
                        "{beginning:?}, {step:?}, {fuel}, {other:?}: {found:?}"
                    );
                }
            }
        }
    }
}

fn count(model: &Model) -> u64 {
    model.ready.iter().map(|list| list.len() as u64).sum()
}

/// True if a step that a death interrupted may leave this: each message is there or not, whole.
fn between(before: &Model, after: &Model, found: &Model, step: &Step) -> bool {
    let is_either = |part: &dyn Fn(&Model) -> bool| part(before) || part(after);
    match step {
        Step::Push(..) | Step::Pop | Step::Delay(..) | Step::Begin => {
            found == before || found == after
        }
        // The oldest messages go first.
        Step::DropOld(..) => {
            found.held == before.held
                && (found == after
                    || before.ready.iter().zip(&found.ready).all(|(b, f)| {
                        f.len() <= b.len()
                            && b.iter().rev().zip(f.iter().rev()).all(|(b, f)| b == f)
                    }))
        }
        Step::Purge => {
            found == after
                || before.ready.iter().zip(&found.ready).all(|(b, f)| {
                    f.len() <= b.len() && b.iter().rev().zip(f.iter().rev()).all(|(b, f)| b == f)
                }) && found.held.iter().all(|held| before.held.contains(held))
        }
        // It is in its list or held, and one more attempt may be counted.
        Step::Lease(..) => {
            found.all() == before.all() && is_either(&|model| found.lists() == model.lists())
        }
        // The end may be the new one while the holder is the old one.
        Step::Ack(_) | Step::Retry(..) | Step::Extend(..) | Step::Detach(_) => {
            found.ready == before.ready && is_either(&|model| found.all() == model.all())
        }
        Step::Die(_) => found.ready == before.ready && found.all() == before.all(),
        // Each message came back, or did not, or was dead and counted.
        Step::Back(_) => {
            let (all, held) = (before.all(), |model: &Model| model.held.len());
            let gone = (all.len() - found.all().len()) as u64;
            found.all().iter().all(|message| all.contains(message))
                && (gone..=gone + 1).contains(&found.dead)
                && (held(after)..=held(before)).contains(&held(found))
        }
    }
}
