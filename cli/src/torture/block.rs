//! Writers and readers of one stored value, and their oracle.

use std::collections::HashMap;
use std::time::Duration;

use anyipc::{Block, Error, ErrorKind, Operation, Result};

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

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let endpoint =
        if role == Role::Keeper { anyipc::create(address) } else { anyipc::open(address) }?;
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
    if role == Role::Keeper {
        context.wait_to_finish();
    } else {
        use_value(context, block)?;
    }
    context.count_descriptors(before);
    endpoint.close()
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
                self.loads.push((record.since, life, record.id));
                findings.count("values loaded", 1);
                findings.went_on(life, record.at, lives);
            }
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
