//! Signals make no wait shorter or longer.
#![cfg(all(target_os = "linux", feature = "in-process"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Inbox, Result, Select};
use support::channels::pair;
use support::schemes::each;

const TIME: Duration = Duration::from_millis(100);
const LATEST: Duration = Duration::from_millis(250);
static SIGNALS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Relaxed);
}

/// Runs the calls in a thread that gets a signal about every 200 µs; interrupted system calls are
/// not restarted.
fn in_a_storm(calls: impl FnOnce() + Send) {
    // SAFETY: the handler touches an atomic and nothing else; the structure is all zero but for it.
    let handled = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as extern "C" fn(libc::c_int) as libc::sighandler_t;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut())
    };
    assert_eq!(handled, 0);
    let over = AtomicBool::new(false);
    // With musl it is a pointer, which would stay in its thread.
    // SAFETY: the call has no conditions. The thread lives until the scope ends.
    let target = unsafe { libc::pthread_self() } as usize;
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                // SAFETY: the thread is the one that waits for this scope.
                unsafe { libc::pthread_kill(target as libc::pthread_t, libc::SIGUSR1) };
                thread::sleep(Duration::from_micros(200));
            }
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(calls));
        over.store(true, Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// The call fails so: never before its time, and in one of three runs not long after it.
#[track_caller]
fn keeps_time<T>(what: &str, expected: &[ErrorKind], mut call: impl FnMut() -> Result<T>) {
    let mut times = Vec::new();
    for _ in 0..3 {
        let (start, before) = (Instant::now(), SIGNALS.load(Relaxed));
        let result = call();
        let took = start.elapsed();
        let Err(error) = result else { panic!("{what} succeeded") };
        assert!(expected.contains(&error.kind()), "{what}: {error}");
        assert!(took >= TIME, "{what} gave up after {took:?}");
        assert!(SIGNALS.load(Relaxed) > before + 10, "{what}: there was no storm");
        if took <= LATEST {
            return;
        }
        times.push(took);
    }
    panic!("{what} took {times:?}");
}

#[test]
fn waits_keep_their_time_in_a_storm_of_signals() {
    each("storm", |url| {
        in_a_storm(|| {
            let late = [ErrorKind::TimedOut];
            let (owner, mut near, mut far) = pair(url);
            keeps_time(&format!("{url}: recv"), &late, || near.recv_timeout(TIME));
            keeps_time(&format!("{url}: accept"), &late, || owner.accept_timeout(TIME));
            let mut select = Select::new().unwrap();
            keeps_time(&format!("{url}: select"), &late, || {
                select.wait_timeout(&mut [&mut near], TIME)
            });
            let message = vec![1; 60_000];
            while far.send_timeout(&message, TIME).is_ok() {}
            keeps_time(&format!("{url}: send"), &late, || far.send_timeout(&message, TIME));
            drop((near, far));
            let deaf = format!("{url}?timeout=100ms");
            keeps_time(&format!("{url}: connect"), &late, || anyipc::connect(&deaf));
            let mut inbox = Inbox::new(owner).unwrap();
            keeps_time(&format!("{url}: inbox"), &late, || inbox.recv_timeout(TIME));
            drop(inbox);
            keeps_time(&format!("{url}: nobody"), &[ErrorKind::NoOwner], || anyipc::connect(&deaf));
        });
    });
}

/// Locks, events and leases: a limit of time is kept, and a wait without one ends when it should.
#[cfg(all(feature = "sync", feature = "message-queue"))]
#[test]
fn locks_and_leases_wait_through_a_storm_of_signals() {
    use anyipc::sync::{Barrier, Condvar, Event, Mutex, Once, Reset, RwLock, Semaphore};
    let _watchdog = support::watchdog::watchdog("storm", Duration::from_secs(60));
    let name = |what: &str| format!("shm://{}.{what}", support::schemes::unique("storm"));
    let (mutex, other) = (Mutex::create(name("m"), 0u32), Mutex::create(name("o"), 0u32));
    let (mutex, other) = (mutex.unwrap(), other.unwrap());
    let (lock, permits) = (RwLock::create(name("l"), 0u32), Semaphore::create(name("s"), 1));
    let (lock, permits) = (lock.unwrap(), permits.unwrap());
    let (event, condvar) = (Event::create(name("e"), Reset::Auto), Condvar::create(name("c")));
    let (event, condvar) = (event.unwrap(), condvar.unwrap());
    let (once, barrier) = (Once::create(name("n")).unwrap(), Barrier::create(name("b"), 2));
    let barrier = barrier.unwrap();
    let jobs = anyipc::create(format!("mq://{}", support::schemes::unique("storm"))).unwrap();
    let mut queue = jobs.queue().unwrap();
    let timed_out = |over: bool| {
        let error = anyipc::Error::new(anyipc::Operation::Lock, ErrorKind::TimedOut);
        if over { Err(error) } else { Ok(()) }
    };
    in_a_storm(|| {
        let late = [ErrorKind::TimedOut];
        // The guards are taken and given back by the thread that the signals interrupt.
        let guards = (mutex.lock().unwrap(), lock.write().unwrap(), permits.acquire().unwrap());
        keeps_time("lock", &late, || mutex.lock_timeout(TIME).map(drop));
        keeps_time("read", &late, || lock.read_timeout(TIME).map(drop));
        keeps_time("write", &late, || lock.write_timeout(TIME).map(drop));
        keeps_time("acquire", &late, || permits.acquire_timeout(TIME).map(drop));
        drop(guards);
        keeps_time("event", &late, || event.wait_timeout(TIME));
        keeps_time("barrier", &late, || barrier.wait_timeout(TIME));
        keeps_time("once", &late, || once.wait_timeout(TIME));
        keeps_time("lease", &late, || queue.lease_timeout(TIME, TIME).map(drop));
        keeps_time("condvar", &late, || {
            let guard = other.lock()?.into_inner();
            timed_out(condvar.wait_timeout(guard, TIME)?.1.timed_out())
        });
        // What another thread does after the time ends each of these, and nothing before it.
        let guard = mutex.lock().unwrap();
        let waits = |what: &str, end: &(dyn Fn() + Sync), wait: &mut dyn FnMut()| {
            let start = Instant::now();
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(TIME);
                    end();
                });
                wait();
            });
            assert!(start.elapsed() >= TIME, "{what} ended after {:?}", start.elapsed());
        };
        let guard = std::sync::Mutex::new(Some(guard));
        let unlock = || drop(guard.lock().unwrap().take());
        waits("lock", &unlock, &mut || drop(mutex.lock().unwrap()));
        waits("event", &|| event.set().unwrap(), &mut || event.wait().unwrap());
        let pass = || assert!(barrier.wait().is_ok());
        waits("barrier", &pass, &mut || pass());
        waits("once", &|| once.call_once(|| {}).unwrap(), &mut || once.wait().unwrap());
        waits("condvar", &|| condvar.notify_all().unwrap(), &mut || {
            let guard = other.lock().unwrap().into_inner();
            drop(condvar.wait(guard).unwrap());
        });
        let send = || jobs.queue().unwrap().send(0, b"job").unwrap();
        waits("lease", &send, &mut || queue.lease(TIME).unwrap().ack().unwrap());
    });
}
