//! Writers and readers of one stored value, and their oracle.

use std::collections::HashMap;
use std::time::Duration;

use anyipc::{Block, BlockExt, Error, ErrorKind, Operation, Result};

use super::context::{Context, Fault};
use super::kind::Role;
use super::lives::Lives;
use super::message::{self, Id};
use super::oracle::{Check, Findings};
use super::queue::silent;
use super::random::Random;
use super::record::{Record, What};
use crate::sys;

/// Calls between two rests, and the rest: the records of all calls are kept until the end.
const BURST: u64 = 16;
const REST: Duration = Duration::from_millis(1);

/// A waiting reader looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);

/// The lane of a load that has waited for a newer value. It is no lane of the value.
const WAITED: u8 = 1;

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    with_block(role, context, |block| use_value(context, block))
}

/// Opens the block for this work; the keeper creates it and waits.
fn with_block(
    role: Role,
    context: &Context,
    work: impl FnOnce(&Block) -> Result<()>,
) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    let endpoint = if keeps { anyipc::create(address) } else { anyipc::open(address) }?;
    let before = sys::descriptors();
    let block = endpoint.block()?;
    let longest = block.store_capacity();
    if longest < context.order.size {
        let why =
            format!("the block keeps values of {longest} bytes at most; choose --size {longest}");
        return Err(Error::new(Operation::Block, ErrorKind::MessageTooLarge)
            .because(why)
            .at(endpoint.address()));
    }
    context.log.say(What::Ready, &endpoint.address().to_string());
    if keeps {
        context.wait_to_finish();
    } else {
        work(block)?;
    }
    context.count_descriptors(before);
    endpoint.close()
}

/// Stores values now and then, or waits for newer ones: half of the workers each.
pub(super) fn watch(role: Role, context: &Context) -> Result<()> {
    with_block(role, context, |block| {
        let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
        let mut next = Id { stream: context.order.life.into(), lane: 0, number: 0 };
        let (mut value, mut seen) = (Vec::new(), 0);
        loop {
            let since = sys::now();
            if role == Role::Sender {
                if context.is_finishing() {
                    return Ok(());
                }
                message::write(next, context.order.size, &mut value);
                block.store_bytes(&value)?;
                context.log.record(What::Stored, next, since, "");
                next.number += 1;
                std::thread::sleep(random.instant(13));
                continue;
            }
            if context.has(Fault::Late) && next.number == 3 {
                std::thread::sleep(Duration::from_millis(1500));
            }
            next.number += 1;
            match block.load_newer_bytes(&mut seen, RECHECK) {
                Ok(loaded) => match message::read(&loaded, context.order.size) {
                    Ok(id) => {
                        context.log.record(What::Loaded, Id { lane: WAITED, ..id }, since, "")
                    }
                    Err(why) => context.log.say(What::Torn, &why),
                },
                Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
                // The writers have ended before the readers are told to finish.
                Err(_) if context.is_finishing() => return Ok(()),
                Err(_) => context.log.record(What::Waited, next, since, ""),
            }
        }
    })
}

fn use_value(context: &Context, block: &Block) -> Result<()> {
    let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
    let mut next = Id { stream: context.order.life.into(), lane: 0, number: 0 };
    let (mut value, mut first) = (Vec::new(), None);
    while !context.is_finishing() {
        for _ in 0..BURST {
            let since = sys::now();
            if random.below(4) == 0 {
                message::write(next, context.order.size, &mut value);
                if context.has(Fault::Tear) && next.number == 3 {
                    let middle = value.len() / 2;
                    value[middle] ^= 1;
                }
                block.store_bytes(&value)?;
                context.log.record(What::Stored, next, since, "");
                next.number += 1;
                continue;
            }
            let Some(loaded) = block.load_bytes()? else { continue };
            let loaded = if context.has(Fault::Stale) {
                first.get_or_insert(loaded).clone()
            } else {
                loaded
            };
            match message::read(&loaded, context.order.size) {
                Ok(id) => context.log.record(What::Loaded, id, since, ""),
                Err(why) => context.log.say(What::Torn, &why),
            }
        }
        std::thread::sleep(REST);
    }
    Ok(())
}

/// A store that is over.
#[derive(Debug, Clone, Copy)]
struct Store {
    since: u64,
    at: u64,
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    stores: HashMap<(u64, u64), Store>,
    /// When it began, the reader, the value.
    loads: Vec<(u64, u32, Id)>,
    /// Waits for a newer value: when each began and ended, and the reader.
    waits: Vec<(u64, u64, u32)>,
}

impl super::oracle::Oracle for Oracle {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        match record.what {
            What::Torn => {
                findings.checked(Check::Torn);
                let worker = lives.name(life);
                findings.violation(Check::Torn, record.at, worker, record.text.clone());
            }
            What::Stored => {
                let store = Store { since: record.since, at: record.at };
                self.stores.insert((record.id.stream, record.id.number), store);
                findings.count("values stored", 1);
                findings.went_on(life, record.at, lives);
            }
            What::Loaded => {
                findings.checked(Check::Torn);
                if record.id.lane == WAITED {
                    self.waits.push((record.since, record.at, life));
                }
                self.loads.push((record.since, life, Id { lane: 0, ..record.id }));
                findings.count("values loaded", 1);
                findings.went_on(life, record.at, lives);
            }
            What::Waited => self.waits.push((record.since, record.at, life)),
            _ => {}
        }
    }

    fn stuck(&self, now: u64, lives: &Lives) -> Option<(u32, String)> {
        silent(now, lives)
    }

    fn owes(&mut self, _life: u32, _lives: &Lives) -> bool {
        false
    }

    /// A load is stale if another value was stored, from begin to end, between the end of the
    /// value's own store and the begin of the load.
    fn conclude(&mut self, lives: &Lives, findings: &mut Findings) {
        self.waits(lives, findings);
        let mut stores: Vec<_> = self.stores.values().copied().collect();
        stores.sort_unstable_by_key(|store| store.at);
        // The latest begin of all stores up to each.
        let mut latest = 0;
        let begins: Vec<u64> = stores
            .iter()
            .map(|store| {
                latest = latest.max(store.since);
                latest
            })
            .collect();
        for (since, reader, id) in self.loads.drain(..) {
            findings.checked(Check::Stale);
            let over = match self.stores.get(&(id.stream, id.number)) {
                Some(store) => store.at,
                // Its writer was killed before it could say that the store is over.
                None => match lives.get(id.stream as u32).and_then(|of| of.over) {
                    Some(over) => over,
                    None => {
                        let what = format!(
                            "value {} of life {} was loaded, but never stored",
                            id.number, id.stream
                        );
                        findings.violation(Check::Unsent, since, lives.name(reader), what);
                        continue;
                    }
                },
            };
            let before = stores.partition_point(|store| store.at < since);
            let newest = before.checked_sub(1).and_then(|last| begins.get(last));
            if newest.is_some_and(|newest| *newest > over) {
                let what = format!(
                    "value {} of life {} was loaded {} us after another one had replaced it",
                    id.number,
                    id.stream,
                    (since - over) / 1000
                );
                findings.violation(Check::Stale, since, lives.name(reader), what);
            }
        }
    }
}

impl Oracle {
    /// A wait ends soon after a store is over that began after the wait did.
    fn waits(&mut self, lives: &Lives, findings: &mut Findings) {
        let mut stores: Vec<_> = self.stores.values().copied().collect();
        stores.sort_unstable_by_key(|store| store.since);
        // The earliest end of all stores from each on.
        let mut earliest = u64::MAX;
        for store in stores.iter_mut().rev() {
            earliest = earliest.min(store.at);
            store.at = earliest;
        }
        for (since, at, reader) in self.waits.drain(..) {
            findings.checked(Check::Late);
            let next = stores.partition_point(|store| store.since < since);
            let Some(due) = stores.get(next).map(|store| store.at) else { continue };
            if at > lives.deadline(since, due) {
                let what = format!(
                    "waited for a newer value, and had none {} ms after a store was over",
                    (at - due) / 1_000_000
                );
                findings.violation(Check::Late, due, lives.name(reader), what);
            }
        }
    }
}
