//! The store alone, compared with a model: a death after any store, and memory that holds anything.
//!
//! - this file: a queue in real memory, the model, and the check of one against the other
//! - `deaths`, `hostile`, `reservation`: the tests

mod deaths;
mod hostile;
mod reservation;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyipc_core::{Full, Name, Operation};
use anyipc_memory::{Path, Plan, Segment};
use anyipc_os::{Dir, Scope};
use anyipc_ring::robust::OwnerId;

use crate::kind::KIND;
use crate::layout::{CHUNK, Geometry, chunks_for, hot, list, lists, longest_in, record};
use crate::store::{Checked, Store};

const CHUNKS: u32 = 24;
/// The most priorities in these tests. A queue with one has no lists.
const PRIORITIES: u32 = 3;

fn geometry(priorities: u32) -> Geometry {
    Geometry {
        priorities,
        full: Full::DropOld,
        slots: 3,
        chunks: CHUNKS,
        longest: longest_in(CHUNKS),
        text: 0,
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

/// The messages that a queue should hold, by priority.
type Model = [VecDeque<Vec<u8>>; PRIORITIES as usize];

#[derive(Debug, Clone, Copy)]
enum Step {
    Push(u32, usize),
    DropOld(u32, usize),
    Pop,
    Purge,
}

impl Step {
    /// The same step in a queue of this many priorities.
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

/// Does what a client does under the lock. Returns what was received.
fn act(store: &Store, step: &Step, seed: usize) -> Checked<Option<(u32, Vec<u8>)>> {
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

/// The model's answer to a step: the message that was received, and how many were dropped.
fn expect(model: &mut Model, step: &Step, seed: usize) -> (Option<(u32, Vec<u8>)>, u64) {
    let mut dropped = 0;
    match *step {
        Step::Push(priority, len) => {
            if CHUNKS - used(model) >= chunks_for(len) {
                model[priority as usize].push_back(payload(seed, len));
            }
        }
        Step::DropOld(priority, len) => {
            // If dropping all that may be dropped makes too little room, only the new message is
            // dropped.
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

/// Reads all of a queue, lists first, and checks everything that follows from it.
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
    // What each side knows of the other may be old, never wrong.
    let known = store.position(hot::KNOWN_RETURNED).unwrap();
    assert!(store.distance(known, returned).is_ok() && store.distance(known, taken).is_ok());
    let known = store.position(hot::KNOWN_TAKEN).unwrap();
    assert!(store.distance(sorted, known).is_ok() && store.distance(known, taken).is_ok());
    model
}

fn steps(priorities: u32) -> Vec<Step> {
    use Step::*;
    let lengths = [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK, 1000, longest_in(CHUNKS)];
    let pushes = lengths
        .iter()
        .flat_map(|&len| [Push(0, len), Push(1, len), DropOld(0, len), DropOld(2, len)]);
    pushes.chain([Pop, Purge]).map(|step| step.among(priorities)).collect()
}

/// An owner id of a slot without a holder.
fn owner_id(slot: u32) -> OwnerId {
    OwnerId::new(slot, 1)
}
