//! Processes that go through a row of things, each to be done once, and die meanwhile.
//! [`Jobs`](super::lease::Jobs) is their oracle.

use std::thread;

use anyipc::sync::{Once, OnceState};
use anyipc::{Block, Error, ErrorKind, Operation, Result};

use super::context::{Context, Fault};
use super::kind::Role;
use super::lease::{ACK, BACK};
use super::message::Id;
use super::mutex::{REST, contend};
use super::record::What;

/// Bytes of a block of things to do, unless the address says how many: enough for a minute.
pub(super) const SIZE: usize = 65_536 * Once::SIZE;

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    let endpoint = if keeps { anyipc::create(address) } else { anyipc::open(address) }?;
    let mut next = if keeps { 0 } else { first(endpoint.block()?)? };
    contend(context, move |random| {
        let block = endpoint.block()?;
        if next == count(block) {
            // A rest until the end of the run.
            thread::sleep(REST);
            return Err(Error::new(Operation::Lock, ErrorKind::WouldBlock));
        }
        let once = Once::at(block, next * Once::SIZE)?;
        let id = Id { stream: 0, lane: 0, number: next as u64 };
        let (mut ours, time) = (false, random.instant(12));
        if random.below(4) == 0 {
            let call = once.call_async(async |state| {
                ours = true;
                let mut doing = Doing::begin(context, id, state);
                tokio::time::sleep(time).await;
                doing.is_done = true;
            });
            context.task(random, call)?;
        } else {
            once.call(|state| {
                ours = true;
                let mut doing = Doing::begin(context, id, state);
                thread::sleep(time);
                doing.is_done = true;
            })?;
        }
        context.log.write(if ours { What::Acked } else { What::Got }, id);
        if context.has(Fault::Duplicate) && next == 3 {
            context.log.record(What::Held, id, 2, "");
        }
        next += 1;
        Ok(())
    })
}

/// One that is being done. Its drop reports how that ends, before the others can see it.
struct Doing<'c> {
    context: &'c Context,
    id: Id,
    is_done: bool,
}

impl<'c> Doing<'c> {
    fn begin(context: &'c Context, id: Id, state: OnceState) -> Self {
        let died = state.is_after_death() && !context.has(Fault::Silence);
        context.log.record(What::Held, id, if died { 2 } else { 1 }, "");
        Self { context, id, is_done: false }
    }
}

impl Drop for Doing<'_> {
    fn drop(&mut self) {
        let how = if self.is_done { ACK } else { BACK };
        self.context.log.record(What::Freed, self.id, 0, how);
    }
}

fn count(block: &Block) -> usize {
    block.len() / Once::SIZE
}

/// The first one that is not done: all before it are.
fn first(block: &Block) -> Result<usize> {
    let (mut done, mut open) = (0, count(block));
    while done < open {
        let middle = done.midpoint(open);
        if Once::at(block, middle * Once::SIZE)?.is_completed()? {
            done = middle + 1;
        } else {
            open = middle;
        }
    }
    Ok(done)
}
