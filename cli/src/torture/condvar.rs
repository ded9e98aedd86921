//! Processes that change a value under a mutex and notify, and others that wait on the condition
//! variable until it has changed. [`Holds`](super::holds::Holds) is their oracle.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyipc::sync::{Condvar, Mutex};
use anyipc::{ErrorKind, Result};

use super::context::{Context, Fault};
use super::kind::Role;
use super::message::Id;
use super::mutex::{REST, Value, linger, raise, take};
use super::random::Random;
use super::record::{EXCLUSIVE, What};
use crate::sys;

/// The text of an end of a hold: what is notified of it.
pub(super) const ONE: &str = "one";
pub(super) const ALL: &str = "all";

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let (name, options) = address.split_once('?').unwrap_or((address, ""));
    let more = format!("{name}.more?{options}");
    let keeps = role == Role::Keeper;
    let mutex = if keeps { Mutex::create(address, [0; 3]) } else { Mutex::open(address) }?;
    let condvar = if keeps { Condvar::create(&more[..]) } else { Condvar::open(&more[..]) }?;
    let before = sys::descriptors();
    context.log.say(What::Ready, address);
    let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
    match role {
        Role::Keeper => context.wait_to_finish(),
        Role::Sender => {
            while !context.is_finishing() {
                change(context, &mutex, &condvar, &mut random)?;
                if context.has(Fault::Overlap) && random.below(16) == 0 {
                    context.pretend_to_hold(EXCLUSIVE);
                }
                thread::sleep(random.instant(12));
            }
        }
        _ => until_finished(context, &condvar, || watch(context, &mutex, &condvar, &mut random))?,
    }
    drop((mutex, condvar));
    context.count_descriptors(before);
    Ok(())
}

/// Changes the value and notifies, before or after the mutex is unlocked.
fn change(
    context: &Context,
    mutex: &Mutex<Value>,
    condvar: &Condvar,
    random: &mut Random,
) -> Result<()> {
    let since = sys::now();
    let mut guard = take(context, mutex.lock()?, since);
    let count = raise(context, &mut guard, random);
    let (all, early) = (random.below(2) == 0, random.below(2) == 0);
    let notify = || match all {
        _ if context.has(Fault::Lose) => Ok(()),
        true => condvar.notify_all(),
        false => condvar.notify_one(),
    };
    freed(context, count, if all { ALL } else { ONE });
    if early {
        notify()?;
        drop(guard);
        return Ok(());
    }
    drop(guard);
    notify()
}

/// Runs the waits. Once they are to finish, wakes them: the processes that notify have ended.
fn until_finished(
    context: &Context,
    condvar: &Condvar,
    waits: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            context.wait_to_finish();
            while !ended.load(Ordering::Relaxed) && condvar.notify_all().is_ok() {
                thread::sleep(REST);
            }
        });
        let done = waits();
        ended.store(true, Ordering::Relaxed);
        // The thread above would wait for the word to finish.
        if let Err(error) = &done {
            context.log.say(What::Failed, &error.to_string());
            std::process::exit(1);
        }
        done
    })
}

/// Waits for one change after the other. Each hold but the first ends a wait.
fn watch(
    context: &Context,
    mutex: &Mutex<Value>,
    condvar: &Condvar,
    random: &mut Random,
) -> Result<()> {
    let since = sys::now();
    let mut guard = take(context, mutex.lock()?, since);
    let mut seen = guard[0];
    while !context.is_finishing() {
        if guard[0] != seen {
            seen = guard[0];
            linger(random);
        }
        freed(context, seen, "");
        let since = sys::now();
        let locked = match random.below(8) {
            0 => condvar.wait_timeout(guard, random.instant(13))?.0,
            1 => match context.task(random, condvar.wait_async(guard)) {
                // The dropped future has unlocked.
                Err(error) if error.kind() == ErrorKind::TimedOut => mutex.lock()?,
                locked => locked?,
            },
            _ => condvar.wait(guard)?,
        };
        guard = take(context, locked, since);
    }
    freed(context, guard[0], "");
    Ok(())
}

fn freed(context: &Context, number: u64, notifies: &str) {
    context.log.record(What::Freed, Id { stream: 0, lane: EXCLUSIVE, number }, 0, notifies);
}
