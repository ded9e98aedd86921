//! Processes that take one mutex, change what it protects, and die meanwhile.

use std::thread;
use std::time::Duration;

use anyipc::sync::{LockResult, Mutex, MutexGuard};
use anyipc::{ErrorKind, Result};

use super::context::{Context, Fault};
use super::kind::Role;
use super::message::Id;
use super::random::{Random, mix};
use super::record::{EXCLUSIVE, What};
use crate::sys;

/// Calls between two rests.
const BURST: u64 = 8;
pub(super) const REST: Duration = Duration::from_millis(1);

/// What the lock protects: a count of changes, the life that made the last one, and a sum of both.
pub(super) type Value = [u64; 3];

pub(super) fn value(count: u64, life: u32) -> Value {
    let life = life.into();
    [count, life, mix(count ^ mix(life))]
}

/// What is wrong with the value.
pub(super) fn fault(of: &Value) -> &'static str {
    let [count, life, sum] = *of;
    let is_whole = *of == [0; 3] || sum == mix(count ^ mix(life));
    if is_whole { "" } else { "torn" }
}

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    let mutex = if keeps { Mutex::create(address, [0; 3]) } else { Mutex::open(address) }?;
    contend(context, move |random| {
        let since = sys::now();
        let taken = match random.below(8) {
            0 => mutex.try_lock(),
            1 => mutex.lock_timeout(random.instant(13)),
            2 => context.task(random, mutex.lock_async()),
            _ => mutex.lock(),
        }?;
        let mut guard = take(context, taken, since);
        let count = raise(context, &mut guard, random);
        context.freed(EXCLUSIVE, count);
        Ok(())
    })
}

/// Bursts of calls, or, for the keeper, none. The calls own what they use.
pub(super) fn contend(
    context: &Context,
    mut call: impl FnMut(&mut Random) -> Result<()>,
) -> Result<()> {
    let before = sys::descriptors();
    context.log.say(What::Ready, &context.order.address);
    let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
    if !context.order.role.is_victim() {
        context.wait_to_finish();
    }
    while !context.is_finishing() {
        for _ in 0..BURST {
            match call(&mut random) {
                Err(error) if is_later(error.kind()) => context.log.say(What::Waited, ""),
                done => done?,
            }
            if context.has(Fault::Overlap) && random.below(16) == 0 {
                context.pretend_to_hold(EXCLUSIVE);
            }
        }
        thread::sleep(REST);
    }
    drop(call);
    context.count_descriptors(before);
    Ok(())
}

/// A lock that was not to be had in time.
pub(super) fn is_later(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Reports a hold, and repairs what a dead owner has left.
pub(super) fn take<'a>(
    context: &Context,
    taken: LockResult<MutexGuard<'a, Value>>,
    since: u64,
) -> MutexGuard<'a, Value> {
    let died = taken.owner_died();
    let mut guard = taken.into_inner();
    context.held(EXCLUSIVE, guard[0], since, died, fault(&guard));
    if died {
        // What a dead owner left may be torn; its count is good enough.
        *guard = value(guard[0], context.order.life);
        guard.make_consistent();
    }
    guard
}

/// Changes the value. Returns the new count.
pub(super) fn raise(context: &Context, value_of: &mut Value, random: &mut Random) -> u64 {
    linger(random);
    let count = value_of[0] + 1;
    *value_of = value(count, context.order.life);
    count
}

/// Long enough to be killed in.
pub(super) fn linger(random: &mut Random) {
    if random.below(2) == 0 {
        thread::sleep(random.instant(10));
    }
}

impl Context {
    /// Reports a lock just after it was taken.
    pub(super) fn held(&self, lane: u8, number: u64, since: u64, died: bool, fault: &str) {
        let died = died && !self.has(Fault::Silence);
        let text = match (died, fault) {
            (true, _) => OWNER_DIED,
            (false, fault) => fault,
        };
        self.log.record(What::Held, Id { stream: 0, lane, number }, since, text);
    }

    /// Reports a lock just before it is given back.
    pub(super) fn freed(&self, lane: u8, number: u64) {
        self.log.write(What::Freed, Id { stream: 0, lane, number });
    }

    /// What the oracle has to find.
    pub(super) fn pretend_to_hold(&self, lane: u8) {
        self.held(lane, 0, sys::now(), false, "");
        thread::sleep(REST);
        self.freed(lane, 0);
    }

    /// What a keeper does until the others have ended.
    pub(super) fn wait_to_finish(&self) {
        while !self.is_finishing() {
            thread::sleep(REST);
        }
    }
}

/// The text of a hold that came with the news that the owner before has died.
pub(super) const OWNER_DIED: &str = "owner_died";
