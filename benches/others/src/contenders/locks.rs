//! Locks: one process takes and releases one, or two processes leapfrog over three of them, so
//! that each takes a lock as soon as the other one releases it. As `lock.h` for C and C++.

use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use anyipc_measure::Result;

use super::{name, start};
use crate::job::{Job, Pattern};
use crate::pin;

const LOCKS: usize = 3;

/// A kind of lock.
trait Lock {
    type Guard<'a>
    where
        Self: 'a;
    fn lock(&self) -> Result<Self::Guard<'_>>;
}

impl Lock for anyipc::sync::Mutex<u64> {
    type Guard<'a> = anyipc::sync::MutexGuard<'a, u64>;

    #[inline]
    fn lock(&self) -> Result<Self::Guard<'_>> {
        Ok(self.lock()?.into_inner())
    }
}

impl Lock for Mutex<u64> {
    type Guard<'a> = std::sync::MutexGuard<'a, u64>;

    #[inline]
    fn lock(&self) -> Result<Self::Guard<'_>> {
        self.lock().map_err(|_| "poisoned".into())
    }
}

/// An rwlock that is taken to read.
struct Reads(anyipc::sync::RwLock<u64>);

impl Lock for Reads {
    type Guard<'a> = anyipc::sync::RwLockReadGuard<'a, u64>;

    #[inline]
    fn lock(&self) -> Result<Self::Guard<'_>> {
        Ok(self.0.read()?.into_inner())
    }
}

/// An rwlock that is taken to write.
struct Writes(anyipc::sync::RwLock<u64>);

impl Lock for Writes {
    type Guard<'a> = anyipc::sync::RwLockWriteGuard<'a, u64>;

    #[inline]
    fn lock(&self) -> Result<Self::Guard<'_>> {
        Ok(self.0.write()?.into_inner())
    }
}

impl Lock for anyipc::sync::Semaphore {
    type Guard<'a> = anyipc::sync::Permit<'a>;

    #[inline]
    fn lock(&self) -> Result<Self::Guard<'_>> {
        Ok(self.acquire()?)
    }
}

/// anyipc's rwlock, which one process takes to do what the variant says.
pub(super) fn rwlock(job: &Job) -> Result<f64> {
    let rwlock = anyipc::sync::RwLock::create(format!("shm://{}", name("rwlock")), 0)?;
    match job.variant.as_str() {
        "read" => lock(&Reads(rwlock), job),
        _ => lock(&Writes(rwlock), job),
    }
}

/// anyipc's semaphore of one permit, which one process takes.
pub(super) fn semaphore(job: &Job) -> Result<f64> {
    lock(&anyipc::sync::Semaphore::create(format!("shm://{}", name("semaphore")), 1)?, job)
}

/// anyipc's mutex, with the variant as `wait=`.
pub(super) fn first(job: &Job) -> Result<f64> {
    let address = format!("shm://{}", name("mutex"));
    let locks = open(&address, &job.variant)?;
    if job.pattern == Pattern::Lock {
        return lock(&locks[0], job);
    }
    let held = locks[0].lock()?.into_inner();
    let _second = start(job, &address)?;
    // The second process has its first lock, or has gone on to its second one.
    while locks[1..].iter().all(|lock| lock.try_lock().is_ok()) {
        thread::yield_now();
    }
    leap(&locks, held, 0, job)
}

/// The second process of anyipc.
pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let locks = open(place, &job.variant)?;
    let held = locks[1].lock()?.into_inner();
    leap(&locks, held, 1, job).map(drop)
}

/// std's mutex, between two threads of one process.
pub(super) fn threads(job: &Job) -> Result<f64> {
    let locks = [(); LOCKS].map(|()| Mutex::new(0));
    if job.pattern == Pattern::Lock {
        return lock(&locks[0], job);
    }
    let both = Barrier::new(2);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            pin(1)?;
            let held = Lock::lock(&locks[1])?;
            both.wait();
            leap(&locks, held, 1, job).map(drop)
        });
        let held = Lock::lock(&locks[0])?;
        both.wait();
        let time = leap(&locks, held, 0, job)?;
        other.join().map_err(|_| "the other thread failed")??;
        Ok(time)
    })
}

fn open(address: &str, wait: &str) -> Result<[anyipc::sync::Mutex<u64>; LOCKS]> {
    let open = |number| {
        let address = format!("{address}.{number}?wait={wait}");
        anyipc::sync::Mutex::open_or_create(address, 0)
    };
    Ok([open(0)?, open(1)?, open(2)?])
}

fn lock(lock: &impl Lock, job: &Job) -> Result<f64> {
    let once = |_| lock.lock().map(drop);
    (0..job.warm).try_for_each(once)?;
    let start = Instant::now();
    (0..job.count).try_for_each(once)?;
    Ok(start.elapsed().as_nanos() as f64 / job.count as f64)
}

fn leap<'a, L: Lock>(
    locks: &'a [L; LOCKS],
    held: L::Guard<'a>,
    number: usize,
    job: &Job,
) -> Result<f64> {
    let mut held = Some(held);
    let mut number = number;
    let mut step = |_| {
        number = (number + 1) % LOCKS;
        let next = locks[number].lock()?;
        // The one before is released after this one is taken.
        held = Some(next);
        Ok::<_, anyipc_measure::Failure>(())
    };
    (0..job.warm).try_for_each(&mut step)?;
    let start = Instant::now();
    (0..job.count).try_for_each(&mut step)?;
    Ok(start.elapsed().as_nanos() as f64 / job.count as f64)
}
