//! Processes that take one read-write lock, or permits of one semaphore, and die meanwhile.

use anyipc::Result;
use anyipc::sync::{LockResult, RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore};

use super::context::Context;
use super::kind::{Kind, Role};
use super::mutex::{Value, contend, fault, linger, raise, value};
use super::random::Random;
use super::record::EXCLUSIVE;
use crate::sys;

/// Permits of the semaphore.
pub(super) const PERMITS: u32 = 2;

/// The lane of a hold beside others.
const SHARED: u8 = 0;
pub(super) fn work(kind: Kind, role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    if kind == Kind::Semaphore {
        let semaphore =
            if keeps { Semaphore::create(address, PERMITS) } else { Semaphore::open(address) }?;
        return contend(context, move |random| permit(context, &semaphore, random));
    }
    let lock = if keeps { RwLock::create(address, [0; 3]) } else { RwLock::open(address) }?;
    contend(context, move |random| read_or_write(context, &lock, random))
}

fn permit(context: &Context, semaphore: &Semaphore, random: &mut Random) -> Result<()> {
    let (count, lane) = if random.below(8) == 0 { (PERMITS, EXCLUSIVE) } else { (1, SHARED) };
    let since = sys::now();
    let _permit = match random.below(8) {
        0 => semaphore.try_acquire_many(count),
        1 => semaphore.acquire_many_timeout(count, random.instant(13)),
        2 => context.task(random, semaphore.acquire_many_async(count)),
        _ => semaphore.acquire_many(count),
    }?;
    context.held(lane, 0, since, false, "");
    linger(random);
    context.freed(lane, 0);
    Ok(())
}

fn read_or_write(context: &Context, lock: &RwLock<Value>, random: &mut Random) -> Result<()> {
    let since = sys::now();
    if random.below(3) == 0 {
        let taken = match random.below(8) {
            0 => lock.try_write(),
            1 => lock.write_timeout(random.instant(13)),
            2 => context.task(random, lock.write_async()),
            _ => lock.write(),
        };
        write(context, taken?, since, random);
    } else {
        let taken = match random.below(8) {
            0 => lock.try_read(),
            1 => lock.read_timeout(random.instant(13)),
            2 => context.task(random, lock.read_async()),
            _ => lock.read(),
        };
        read(context, taken?, since, random);
    }
    Ok(())
}

fn read(
    context: &Context,
    taken: LockResult<RwLockReadGuard<'_, Value>>,
    since: u64,
    random: &mut Random,
) {
    let died = taken.owner_died();
    let guard = taken.into_inner();
    context.held(SHARED, guard[0], since, died, fault(&guard));
    linger(random);
    context.freed(SHARED, guard[0]);
}

fn write(
    context: &Context,
    taken: LockResult<RwLockWriteGuard<'_, Value>>,
    since: u64,
    random: &mut Random,
) {
    let died = taken.owner_died();
    let mut guard = taken.into_inner();
    context.held(EXCLUSIVE, guard[0], since, died, fault(&guard));
    if died {
        *guard = value(guard[0], context.order.life);
        guard.make_consistent();
    }
    let count = raise(context, &mut guard, random);
    context.freed(EXCLUSIVE, count);
}
