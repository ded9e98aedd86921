//! The memory alone: a process that dies after any store whatsoever, and memory that anyone wrote.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::cell::Cell;
use std::collections::{BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyipc_core::{Full, Name, Operation};
use anyipc_memory::{Memory, Path, Plan, Region};
use anyipc_os::{Dir, Scope};
use anyipc_ring::robust::OwnerId;
use proptest::prelude::*;

use crate::kind::KIND;
use crate::layout::{CHUNK, Geometry, RECORD, chunks_for, hot, list, lists, longest_in, record};
use crate::party::begin_anew;
use crate::store::{Sound, Store};
use crate::waiters::ROOM;

const CHUNKS: u32 = 24;
/// The most priorities; one alone is kept in another way.
const PRIORITIES: u32 = 3;

fn geometry(priorities: u32) -> Geometry {
    Geometry {
        priorities,
        full: Full::DropOld,
        seats: 3,
        chunks: CHUNKS,
        longest: longest_in(CHUNKS),
        text: 0,
    }
}

/// A queue in real memory. Keeps the memory.
struct Scene {
    store: Store,
    _memory: Memory,
}

impl Scene {
    fn new(tag: &str, priorities: u32) -> Self {
        let geometry = geometry(priorities);
        let dir = Arc::new(Dir::open(Scope::User, Operation::Create).unwrap());
        let name =
            Name::new(&format!("mq-unit-{tag}-{priorities}-{}", std::process::id())).unwrap();
        let path = Path {
            dir: &dir,
            kind: &KIND,
            name: &name,
            patience: Duration::from_secs(1),
            operation: Operation::Create,
        };
        let plan = Plan { size: geometry.size().unwrap(), persist: false, contents: &[] };
        let (memory, made) = Memory::open_or_create(path, plan, &|_| Ok(())).unwrap();
        assert!(made);
        Self { store: Store::new(memory.region(), geometry), _memory: memory }
    }

    /// As new.
    fn reset(&self) {
        self.store.fuel.store(u64::MAX, SeqCst);
        let region = self.store.region();
        region.store(0, &vec![0; region.len()]);
        region.store(0, &self.store.geometry().encode());
    }

    /// As new, and after these steps. Says what it should hold.
    fn begin(&self, steps: &[Step]) -> Model {
        self.reset();
        let mut model = Model::default();
        for (seed, step) in steps.iter().enumerate() {
            assert_eq!(act(&self.store, step, seed).unwrap(), expect(&mut model, step, seed).0);
        }
        assert_eq!(check(&self.store), model);
        model
    }
}

/// What a queue should hold, by priority.
type Model = [VecDeque<Vec<u8>>; PRIORITIES as usize];

#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u32, usize),
    DropOld(u32, usize),
    Pop,
    Purge,
}

impl Step {
    /// In a queue of fewer priorities.
    fn among(self, priorities: u32) -> Self {
        match self {
            Self::Push(priority, len) => Self::Push(priority % priorities, len),
            Self::DropOld(priority, len) => Self::DropOld(priority % priorities, len),
            other => other,
        }
    }
}

fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 31) as u8).collect()
}

/// Does what a party does under the lock. Says what was received.
fn act(store: &Store, step: &Step, seed: usize) -> Sound<Option<(u32, Vec<u8>)>> {
    match *step {
        Step::Push(priority, len) => {
            if store.has_room(chunks_for(len))? {
                store.push(priority, 1, &payload(seed, len))?;
            }
        }
        Step::DropOld(priority, len) => {
            if store.make_room(chunks_for(len), priority)? {
                store.push(priority, 1, &payload(seed, len))?;
            } else {
                store.count_drop();
            }
        }
        Step::Pop => {
            let Some(found) = store.highest()? else { return Ok(None) };
            let mut buffer = b"before".to_vec();
            store.pop(&found, &mut buffer)?;
            return Ok(Some((found.priority, buffer.split_off(6))));
        }
        Step::Purge => drop(store.purge()?),
    }
    Ok(None)
}

fn used(model: &[VecDeque<Vec<u8>>]) -> u32 {
    model.iter().flatten().map(|message| chunks_for(message.len())).sum()
}

/// The model's answer to a step. Says what was received, and how many were dropped.
fn expect(model: &mut Model, step: &Step, seed: usize) -> (Option<(u32, Vec<u8>)>, u64) {
    let mut dropped = 0;
    match *step {
        Step::Push(priority, len) => {
            if CHUNKS - used(model) >= chunks_for(len) {
                model[priority as usize].push_back(payload(seed, len));
            }
        }
        Step::DropOld(priority, len) => {
            // Where dropping all that may be dropped is not enough, the new one is dropped, and nothing else.
            if used(&model[priority as usize + 1..]) + chunks_for(len) > CHUNKS {
                return (None, 1);
            }
            while CHUNKS - used(model) < chunks_for(len) {
                dropped += 1;
                let mut lowest = model[..=priority as usize].iter_mut();
                drop(lowest.find(|list| !list.is_empty()).and_then(VecDeque::pop_front));
            }
            model[priority as usize].push_back(payload(seed, len));
        }
        Step::Pop => {
            let highest = model.iter_mut().enumerate().rev().find(|(_, list)| !list.is_empty());
            return (highest.and_then(|(p, list)| Some((p as u32, list.pop_front()?))), 0);
        }
        Step::Purge => model.iter_mut().for_each(VecDeque::clear),
    }
    (None, dropped)
}

/// Reads all of a queue, lists first, and checks everything that can be told from that.
fn check(store: &Store) -> Model {
    let mut seen = BTreeSet::new();
    let mut model = Model::default();
    let mut bytes = 0;
    let mut read = |first: u32| {
        let found = store.message(first).expect("a message");
        let mut message = vec![0; found.len];
        let mut index = first;
        for (i, piece) in message.chunks_mut(CHUNK).enumerate() {
            index = if i == 0 { first } else { store.next(index).expect("a chunk inside") };
            assert!(seen.insert(index), "chunk {index} is in two messages");
            store.region().load(store.chunk(index), piece);
        }
        seen.insert(first);
        assert_eq!(found.flags, 1);
        bytes += found.len as u64;
        model[found.priority as usize].push_back(message);
        found
    };
    for priority in 0..store.geometry().priorities {
        let (mut link, mut last) = (store.head(priority), 0);
        while link != 0 {
            let first = store.index(link).expect("a link inside");
            assert_eq!(read(first).priority, priority);
            last = link;
            link = store.get(store.record(first, record::NEXT_MESSAGE));
        }
        assert_eq!(store.nonempty() & 1 << priority == 0, last == 0);
        assert!(
            last == 0 || store.get(list(priority, lists::LAST)) == last,
            "the last message is not noted"
        );
    }
    let (sorted, taken) =
        (store.position(hot::SORTED).unwrap(), store.position(hot::TAKEN).unwrap());
    let returned = store.position(store.returned_at()).unwrap();
    let mut position = sorted;
    while position != taken {
        position = store.forward(position, read(store.ordered(position).unwrap()).chunks());
        assert!(store.distance(position, taken).is_ok(), "a message is longer than what was taken");
    }
    let messages = model.iter().map(|list| list.len() as u32).sum();
    assert_eq!(store.counts(), (messages, bytes));
    let used = seen.len() as u32;
    assert_eq!((store.free(), store.distance(returned, taken)), (CHUNKS - used, Ok(used)));
    for place in 0..CHUNKS - used {
        let index = store.ordered(store.forward(taken, place)).unwrap();
        assert!(seen.insert(index), "chunk {index} is free and is not");
    }
    assert_eq!(seen.len() as u32, CHUNKS, "each chunk is in a message or free");
    // What each side knows of the other is old at most.
    let known = store.position(hot::KNOWN_RETURNED).unwrap();
    assert!(store.distance(known, returned).is_ok() && store.distance(known, taken).is_ok());
    let known = store.position(hot::KNOWN_TAKEN).unwrap();
    assert!(store.distance(sorted, known).is_ok() && store.distance(known, taken).is_ok());
    model
}

/// Runs with so much fuel. False if it died.
fn with_fuel(store: &Store, fuel: u64, run: impl FnOnce()) -> bool {
    store.fuel.store(fuel, SeqCst);
    let survived = catch_unwind(AssertUnwindSafe(run)).is_ok();
    store.fuel.store(u64::MAX, SeqCst);
    survived
}

/// Queues of many shapes, each as the steps that lead to it.
fn beginnings(priorities: u32) -> Vec<Vec<Step>> {
    use Step::*;
    let all = vec![
        vec![],
        vec![Push(0, 0)],
        vec![Push(1, 300), Push(1, 10), Push(0, 200)],
        vec![Push(0, 500), Push(0, 500), Push(2, 10), Pop, Pop],
        (0..CHUNKS).map(|i| Push(i % PRIORITIES, 1)).collect(),
        vec![Push(0, 1000), Push(1, 1000), Push(2, 100), Push(0, 100), Pop, Push(1, 700)],
    ];
    all.into_iter()
        .map(|steps| steps.into_iter().map(|step| step.among(priorities)).collect())
        .collect()
}

fn steps(priorities: u32) -> Vec<Step> {
    use Step::*;
    let lengths = [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1000, longest_in(CHUNKS)];
    let pushes = lengths
        .iter()
        .flat_map(|&len| [Push(0, len), Push(1, len), DropOld(0, len), DropOld(2, len)]);
    pushes.chain([Pop, Purge]).map(|step| step.among(priorities)).collect()
}

/// Dies after every single store of every step, and of the repair that follows.
#[test]
fn whoever_dies_at_any_store_harms_nobody() {
    die_at_any_store(PRIORITIES);
}

#[test]
fn whoever_dies_at_any_store_of_a_plain_ring_harms_nobody() {
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
                // The repair dies, too, at one instant or another.
                with_fuel(store, fuel % 17, || store.repair().unwrap());
                store.repair().unwrap();
                let found = check(store);
                let between = between(&before, &after, &found, &step);
                assert!(between, "{beginning:?}, {step:?}, {fuel}: {found:?}");
                let lost = count(&before) - count(&found).min(count(&before));
                let drops = store.get_wide(hot::DROPPED);
                if matches!(step, Step::DropOld(..)) && found != after {
                    assert!((lost..=lost + 1).contains(&drops), "{lost} lost, {drops} counted");
                }
                // It goes on as if nothing had happened.
                let mut model = found;
                for (seed, step) in steps(priorities).iter().enumerate() {
                    assert_eq!(act(store, step, seed).unwrap(), expect(&mut model, step, seed).0);
                    assert_eq!(check(store), model);
                }
            }
        }
    }
    assert!(deaths > 1000, "{deaths}");
}

/// Senders and receivers have a lock each: those on the other side of a death go on before anyone repairs anything.
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
                    // A message that was taken off, but whose room was not yet there for another.
                    if matches!(other, Push(..)) && allowed[0].0 == before {
                        allowed.push((after.clone(), None));
                    }
                    // One of a high priority that is there, but was not yet told of.
                    if let (Pop, Some((priority, _))) = (other, &found.1) {
                        after[*priority as usize].pop_front();
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
    model.iter().map(|list| list.len() as u64).sum()
}

/// Whether a step that ended half-way may have left this: nothing of a message, or all of it.
fn between(before: &Model, after: &Model, found: &Model, step: &Step) -> bool {
    match step {
        Step::Push(..) | Step::Pop => found == before || found == after,
        // The oldest go first.
        Step::DropOld(..) | Step::Purge => {
            found == after
                || before.iter().zip(found).all(|(b, f)| {
                    f.len() <= b.len() && b.iter().rev().zip(f.iter().rev()).all(|(b, f)| b == f)
                })
        }
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0..200usize, 0..longest_in(CHUNKS)];
    let push = (0..PRIORITIES, len);
    prop_oneof![
        4 => push.clone().prop_map(|(priority, len)| Step::Push(priority, len)),
        2 => push.prop_map(|(priority, len)| Step::DropOld(priority, len)),
        4 => Just(Step::Pop),
        1 => Just(Step::Purge),
    ]
}

/// Garbage, and words that look right in some places.
fn scribbles() -> impl Strategy<Value = Vec<(usize, u32)>> {
    let chunks = geometry(1).first_chunk();
    let at = prop_oneof![64..chunks, chunks..chunks + CHUNKS as usize * (CHUNK + RECORD + 4)];
    let value = prop_oneof![any::<u32>(), 0..CHUNKS + 2];
    proptest::collection::vec((at.prop_map(|at| at & !3), value), 1..40)
}

/// Lengths are stored in 32 bits: no queue promises more, however large it is. Smaller address spaces have no such queue.
#[cfg(target_pointer_width = "64")]
#[test]
fn no_queue_takes_messages_whose_length_does_not_fit_into_its_word() {
    use crate::layout::MAX_CHUNKS;
    assert_eq!(longest_in(MAX_CHUNKS), u32::MAX as usize);
    assert_eq!(longest_in((1 << 25) - 1), (1 << 32) - CHUNK);
    assert_eq!(longest_in(1 << 25), u32::MAX as usize);
    assert_eq!(chunks_for(u32::MAX as usize), 1 << 25);
    let huge = Geometry { chunks: MAX_CHUNKS, longest: u32::MAX as usize, ..geometry(1) };
    assert!(huge.size().unwrap() > 32 << 30);
    let scene = Scene::new("huge", 1);
    scene.store.region().store(0, &Geometry { longest: u32::MAX as usize + 1, ..huge }.encode());
    assert_eq!(Geometry::read(scene.store.region()), None);
}

/// A ticket of a seat that nobody holds.
fn ticket(seat: u32) -> OwnerId {
    OwnerId::new(seat, 1)
}

#[test]
fn a_claim_is_of_one_sender_and_ends() {
    let scene = Scene::new("claim", 1);
    let store = &scene.store;
    scene.reset();
    assert!(
        !store.has_claim()
            && store.claim(ticket(0))
            && store.claim(ticket(0))
            && !store.claim(ticket(1))
    );
    assert_eq!(store.claimant(), Some(ticket(0)));
    // The next in line is the only sender that is woken, and for as little as it needs.
    for (seat, wants) in [(1, 1), (0, 2)] {
        store.await_wake(ROOM, seat, false, wants);
    }
    assert_eq!(store.next_sleeper(ROOM).map(|sleeper| sleeper.seat), Some(0));
    assert!(store.next_sleeper(ROOM).is_none());
    // A repair leaves it, as it is no part of the truth.
    store.repair().unwrap();
    store.release(ticket(1));
    assert_eq!(store.claimant(), Some(ticket(0)));
    store.release(ticket(0));
    assert!(!store.has_claim() && store.next_sleeper(ROOM).is_some());
    // One that is not renewed, and one that is from the future, are no claims; the next sender has them.
    let word = store.region().u64(hot::CLAIM);
    for shift in [1000, 1 << 31, u32::MAX - 1000] {
        assert!(store.claim(ticket(0)));
        let claim = word.load(SeqCst);
        word.store(
            claim & !u64::from(u32::MAX) | u64::from((claim as u32).wrapping_sub(shift)),
            SeqCst,
        );
        assert_eq!(store.claimant(), None);
        assert!(!store.has_claim() && store.claim(ticket(1)));
        store.release(ticket(1));
    }
    // What is no ticket is no claim.
    word.store(u64::MAX, SeqCst);
    assert_eq!(store.claimant(), None);
    assert!(store.claim(ticket(1)) && store.claimant() == Some(ticket(1)));
}

proptest! {
    #[test]
    fn queues_do_as_the_model_does(
        priorities in 1..=PRIORITIES,
        steps in proptest::collection::vec(any_step(), 0..200),
    ) {
        let scene = Scene::new("model", priorities);
        scene.reset();
        let mut model = Model::default();
        for (seed, step) in steps.iter().enumerate() {
            let step = step.among(priorities);
            prop_assert_eq!(act(&scene.store, &step, seed).unwrap(), expect(&mut model, &step, seed).0);
        }
        prop_assert_eq!(check(&scene.store), model);
    }

    #[test]
    fn hostile_memory_is_an_error_at_worst(
        priorities in 1..=PRIORITIES,
        steps in proptest::collection::vec((any_step(), scribbles()), 1..20),
    ) {
        let scene = Scene::new("hostile", priorities);
        scene.reset();
        let store = &scene.store;
        for (seed, (step, scribbles)) in steps.iter().enumerate() {
            for (at, value) in scribbles {
                store.region().u32(*at).store(*value, SeqCst);
            }
            for kind in [0, 1] {
                let _ = store.next_sleeper(kind);
                store.await_wake(kind, 2, true, 3);
                store.forget(kind, 1);
            }
            store.claim(ticket(seed as u32 % 3));
            let _ = store.claimant();
            store.release(ticket(1));
            if act(store, &step.among(priorities), seed).is_err() && store.repair().is_ok() {
                check_soundness(store);
            }
            let _ = Geometry::read(store.region());
            let _ = begin_anew(store.region(), geometry(priorities));
        }
        // Whatever it was, it can be emptied and used again.
        store.purge().unwrap();
        scene.store.region().u32(hot::DROPPED).store(0, SeqCst);
        let mut model = Model::default();
        for (seed, step) in self::steps(priorities).iter().enumerate() {
            prop_assert_eq!(act(store, step, seed).unwrap(), expect(&mut model, step, seed).0);
        }
    }

    #[test]
    fn hostile_geometry_is_refused(bytes in proptest::collection::vec(any::<u8>(), 40)) {
        let scene = Scene::new("geometry", PRIORITIES);
        let region: &Region = scene.store.region();
        region.store(0, &bytes);
        if let Some(geometry) = Geometry::read(region) {
            prop_assert!(geometry.size().unwrap() <= region.len());
        }
    }
}

/// A repaired queue gives all its messages, whatever they are.
fn check_soundness(store: &Store) {
    for _ in 0..store.counts().0 {
        let found = store.highest().unwrap().expect("as many as were counted");
        store.pop(&found, &mut Vec::new()).unwrap();
    }
    assert_eq!((store.free(), store.counts(), store.is_empty()), (CHUNKS, (0, 0), true));
}
