//! The store alone, compared with a model: a death after any store, and memory that holds anything.
//!
//! - this file: a queue in real memory, and the check of it against the model
//! - `model`: what it should hold
//! - `deaths`, `hostile`, `reservation`: the tests

mod deaths;
mod hostile;
mod model;
mod reservation;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyipc_core::{Full, LeaseId, Name, Operation, Settle};
use anyipc_memory::{Path, Plan, Segment};
use anyipc_os::{Dir, Scope};
use anyipc_ring::robust::OwnerId;

use crate::hold::is_lease;
use crate::kind::KIND;
use crate::layout::{CHUNK, Geometry, chunks_for, hold, hot, list, lists, longest_in, record};
use crate::store::{Checked, Store};
use model::{Held, Model};

const CHUNKS: u32 = 24;
/// The most priorities in these tests. A queue with one has no lists.
const PRIORITIES: u32 = 3;
/// How often a message is leased.
const ATTEMPTS: u32 = 2;

fn geometry(priorities: u32) -> Geometry {
    Geometry {
        priorities,
        full: Full::DropOld,
        slots: 3,
        chunks: CHUNKS,
        longest: longest_in(CHUNKS),
        text: 0,
        leases: true,
        attempts: ATTEMPTS,
        dead: None,
    }
}

/// A queue in real memory. Keeps the memory.
struct Scene {
    store: Store,
    _memory: Segment,
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
            timeout: Duration::from_secs(1),
            operation: Operation::Create,
        };
        let plan = Plan::zeroed(geometry.size().unwrap());
        let (memory, made) = Segment::open_or_create(path, plan, &|_| Ok(())).unwrap();
        assert!(made);
        Self { store: Store::new(memory.region(), geometry), _memory: memory }
    }

    /// As new.
    fn reset(&self) {
        self.store.forget();
        self.store.fuel.store(u64::MAX, SeqCst);
        let region = self.store.region();
        region.store(0, &vec![0; region.len()]);
        region.store(0, &self.store.geometry().encode());
    }

    /// As new, and after these steps. Returns what it should hold.
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

#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u32, usize),
    DropOld(u32, usize),
    Pop,
    Purge,
    /// The first lease or delay.
    Begin,
    /// A message that is sent with a delay: until this time.
    Delay(u32, usize, u64),
    /// A lease of this slot's holder, until this time.
    Lease(u32, u64),
    /// The end of the lease with this rank.
    Ack(usize),
    Retry(usize, u64),
    Extend(usize, u64),
    Detach(usize),
    /// The death of this slot's holder.
    Die(u32),
    /// What is due at this time comes back.
    Back(u64),
}

impl Step {
    /// The same step in a queue of this many priorities.
    fn among(self, priorities: u32) -> Self {
        match self {
            Self::Push(priority, len) => Self::Push(priority % priorities, len),
            Self::DropOld(priority, len) => Self::DropOld(priority % priorities, len),
            Self::Delay(priority, len, due) => Self::Delay(priority % priorities, len, due),
            other => other,
        }
    }

    /// True if the step needs a queue that holds messages back.
    fn is_timed(&self) -> bool {
        !matches!(self, Self::Push(..) | Self::DropOld(..) | Self::Pop | Self::Purge | Self::Begin)
    }
}

fn payload(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + seed * 31) as u8).collect()
}

/// The lease with this rank, by its end.
fn nth_lease(store: &Store, rank: usize) -> Option<LeaseId> {
    let holder = |first: u32| store.get(store.hold(first, hold::HOLDER));
    let mut leased: Vec<_> = (0..CHUNKS)
        .filter(|first| is_lease(holder(*first)))
        .map(|first| (store.key(first), first))
        .collect();
    leased.sort_unstable();
    let ((_, number), place) = *leased.get(rank)?;
    Some(LeaseId { place, number })
}

/// An end that no other step has.
fn end(due: u64, seed: usize) -> u64 {
    due * 256 + seed as u64 % 256
}

/// Does what a client does under the lock. Returns what was received.
fn act(store: &Store, step: &Step, seed: usize) -> Checked<Option<(u32, Vec<u8>)>> {
    if step.is_timed() {
        store.begin_timing()?;
    }
    let settle = |rank, how| match nth_lease(store, rank) {
        Some(lease) => store.settle(lease, how, 0).map(|over| assert!(over)),
        None => Ok(()),
    };
    match *step {
        Step::Push(priority, len) => {
            if store.has_room(chunks_for(len))? {
                store.push(priority, 1, &payload(seed, len))?;
            }
        }
        Step::Delay(priority, len, due) => {
            if store.has_room(chunks_for(len))? {
                store.push_delayed(end(due, seed), priority, 1, &payload(seed, len))?;
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
        Step::Lease(slot, due) => {
            let Some(found) = store.highest()? else { return Ok(None) };
            let mut buffer = Vec::new();
            store.copy_out(&found, &mut buffer)?;
            store.lease(&found, owner_id(slot), end(due, seed))?;
            return Ok(Some((found.priority, buffer)));
        }
        Step::Purge => drop(store.purge()?),
        Step::Begin => store.begin_timing()?,
        Step::Ack(rank) => settle(rank, Settle::Ack)?,
        Step::Retry(rank, due) => {
            settle(rank, Settle::Retry(Duration::from_nanos(end(due, seed))))?
        }
        Step::Extend(rank, due) => {
            settle(rank, Settle::Extend(Duration::from_nanos(end(due, seed))))?
        }
        Step::Detach(rank) => settle(rank, Settle::Detach)?,
        Step::Die(slot) => store.end_leases_of(owner_id(slot))?,
        Step::Back(now) => {
            store.sort()?;
            store.bring_back(end(now, 255), owner_id(2), &mut Vec::new())?;
        }
    }
    Ok(None)
}

/// The model's answer to a step: the message that was received, and how many were dropped.
fn expect(model: &mut Model, step: &Step, seed: usize) -> (Option<(u32, Vec<u8>)>, u64) {
    let mut dropped = 0;
    let number = model.held.iter().map(|held| held.number).max().unwrap_or(0) + 1;
    match *step {
        Step::Push(priority, len) => {
            if model.free() >= chunks_for(len) {
                model.ready[priority as usize].push_back((payload(seed, len), 0));
            }
        }
        Step::Delay(priority, len, due) => {
            if model.free() >= chunks_for(len) {
                let (holder, message, due) = (hold::DELAYED, payload(seed, len), end(due, seed));
                model.hold(Held { due, holder, number, priority, message, attempts: 0 });
            }
        }
        Step::DropOld(priority, len) => {
            // If dropping all that may be dropped makes too little room, only the new message is
            // dropped.
            if model.used(&model.ready[priority as usize + 1..]) + chunks_for(len) > CHUNKS {
                return (None, 1);
            }
            while model.free() < chunks_for(len) {
                dropped += 1;
                let mut lowest = model.ready[..=priority as usize].iter_mut();
                drop(lowest.find(|list| !list.is_empty()).and_then(VecDeque::pop_front));
            }
            model.ready[priority as usize].push_back((payload(seed, len), 0));
        }
        Step::Pop | Step::Lease(..) => {
            let highest = model.ready.iter_mut().enumerate().rev();
            let found = highest.map(|(p, list)| (p as u32, list)).find(|(_, l)| !l.is_empty());
            let Some((priority, list)) = found else { return (None, 0) };
            let Some((message, attempts)) = list.pop_front() else { return (None, 0) };
            if let Step::Lease(slot, due) = *step {
                let (holder, message) = (owner_id(slot).bits(), message.clone());
                let (attempts, due) = (attempts + 1, end(due, seed));
                model.hold(Held { due, holder, number, priority, message, attempts });
            }
            return (Some((priority, message)), 0);
        }
        Step::Purge => {
            model.ready.iter_mut().for_each(VecDeque::clear);
            model.held.clear();
        }
        Step::Begin => {}
        Step::Ack(rank) => {
            if let Some(at) = model.leased(rank) {
                model.held.remove(at);
            }
        }
        Step::Retry(rank, due) | Step::Extend(rank, due) => {
            if let Some(at) = model.leased(rank) {
                let mut held = model.held.remove(at);
                held.due = end(due, seed);
                if matches!(step, Step::Retry(..)) {
                    // What has no attempt left need not wait.
                    held.due = if held.attempts >= ATTEMPTS { 1 } else { held.due };
                    held.holder = hold::DELAYED;
                }
                model.hold(held);
            }
        }
        Step::Detach(rank) => {
            if let Some(at) = model.leased(rank) {
                model.held[at].holder = hold::DETACHED;
            }
        }
        Step::Die(slot) => {
            let dead = |held: &Held| held.holder == owner_id(slot).bits();
            let (dead, mut rest): (Vec<_>, _) = model.held.drain(..).partition(dead);
            rest.extend(dead.into_iter().map(|held| Held {
                due: 1,
                holder: hold::DELAYED,
                ..held
            }));
            model.held = Vec::new();
            rest.into_iter().for_each(|held| model.hold(held));
        }
        Step::Back(now) => model.come_back(end(now, 255), ATTEMPTS),
    }
    (None, dropped)
}

/// Reads all of a queue, what is held back and lists first, and checks everything that follows from
/// it.
fn check(store: &Store) -> Model {
    let mut seen = BTreeSet::new();
    let mut model = Model { dead: store.get_wide(hot::DEAD), ..Model::default() };
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
        (found, message)
    };
    let mut leased = 0;
    for first in (0..CHUNKS).filter(|first| store.is_held(*first)) {
        let (found, message) = read(first);
        let ((due, number), holder) =
            (store.key(first), store.get(store.hold(first, hold::HOLDER)));
        leased += u32::from(is_lease(holder));
        let (priority, attempts) = (found.priority, found.attempts);
        model.hold(Held { due, holder, number, priority, message, attempts });
        let place = store.get(store.hold(first, hold::PLACE));
        assert_eq!(store.at_place(place), Ok(first), "it is in the heap");
        if place > 0 {
            let above = store.at_place((place - 1) / 2).expect("a message");
            assert!(store.key(above) <= store.key(first), "the heap is in order");
        }
    }
    if store.is_timed() {
        assert_eq!(store.held() as usize, model.held.len());
        let earliest = model.held.first().map_or(0, |held| held.due);
        assert_eq!(store.get_wide(hot::DUE), earliest);
    }
    for priority in 0..store.geometry().priorities {
        let (mut link, mut last) = (store.head(priority), 0);
        while link != 0 {
            let first = store.index(link).expect("a link inside");
            assert!(!store.is_held(first), "a listed message is held");
            let (found, message) = read(first);
            assert_eq!(found.priority, priority);
            model.ready[priority as usize].push_back((message, found.attempts));
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
        let first = store.ordered(position).unwrap();
        let (found, message) = read(first);
        let (priority, attempts) = (found.priority, found.attempts);
        if found.delayed {
            let ((due, number), holder) = (store.key(first), hold::DELAYED);
            model.hold(Held { due, holder, number, priority, message, attempts });
        } else {
            model.ready[priority as usize].push_back((message, attempts));
        }
        position = store.forward(position, found.chunks());
        assert!(store.distance(position, taken).is_ok(), "a message is longer than what was taken");
    }
    let messages = model.all().len() as u32;
    assert_eq!(store.counts(), (messages, bytes));
    assert_eq!(store.counts_held(), (leased, model.held.len() as u32 - leased));
    let used = seen.len() as u32;
    assert_eq!((store.free(), store.distance(returned, taken)), (CHUNKS - used, Ok(used)));
    for place in 0..CHUNKS - used {
        let index = store.ordered(store.forward(taken, place)).unwrap();
        assert!(seen.insert(index), "chunk {index} is free and is not");
        assert!(!store.is_held(index), "a free chunk is held");
    }
    assert_eq!(seen.len() as u32, CHUNKS, "each chunk is in a message or free");
    // What each side knows of the other may be old, never wrong.
    let known = store.position(hot::KNOWN_RETURNED).unwrap();
    assert!(store.distance(known, returned).is_ok() && store.distance(known, taken).is_ok());
    let known = store.position(hot::KNOWN_TAKEN).unwrap();
    assert!(store.distance(sorted, known).is_ok() && store.distance(known, taken).is_ok());
    model
}

/// Steps of a queue that never holds anything back.
fn plain_steps(priorities: u32) -> Vec<Step> {
    use Step::*;
    let lengths = [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1000, longest_in(CHUNKS)];
    let pushes = lengths
        .iter()
        .flat_map(|&len| [Push(0, len), Push(1, len), DropOld(0, len), DropOld(2, len)]);
    pushes.chain([Pop, Purge]).map(|step| step.among(priorities)).collect()
}

/// These, then those of one that does.
fn steps(priorities: u32) -> Vec<Step> {
    use Step::*;
    let timed = [
        Begin,
        Push(0, 300),
        Delay(0, 200, 40),
        Delay(1, 10, 5),
        Back(4),
        Push(2, 100),
        Lease(0, 50),
        Lease(1, 60),
        Lease(0, 45),
        Extend(1, 70),
        Detach(2),
        Back(100),
        Lease(0, 110),
        Lease(0, 120),
        Lease(1, 130),
        Retry(1, 95),
        Die(0),
        Ack(0),
        Lease(1, 140),
        Back(105),
        Pop,
        DropOld(0, 500),
        Purge,
    ];
    let timed = timed.into_iter().map(|step| step.among(priorities));
    plain_steps(priorities).into_iter().chain(timed).collect()
}

/// An owner id of a slot without a holder.
fn owner_id(slot: u32) -> OwnerId {
    OwnerId::new(slot, 1)
}
