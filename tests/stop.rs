//! One handle ends every blocked call of the process. In a test binary of its own: it ends those of
//! all tests.
#![cfg(all(
    feature = "in-process",
    feature = "message-queue",
    feature = "postcard",
    feature = "sync"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::fmt::Debug;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyipc::sync::{Condvar, Event, Reset, RwLock, Semaphore};
use anyipc::{BlockExt, ErrorKind, Inbox, Result, Select, Stop};
use support::channels::pair;
use support::schemes::{another, each, unique};

const LONG: Duration = Duration::from_secs(40);

/// The handle, for one test at a time.
fn stop() -> (MutexGuard<'static, ()>, Stop) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let stop = anyipc::stop().unwrap();
    stop.reset();
    (turn, stop)
}

/// A thread with a call that blocks, and its name.
type Blocked = (String, JoinHandle<ErrorKind>);

fn blocked<T: Debug>(what: &str, call: impl FnOnce() -> Result<T> + Send + 'static) -> Blocked {
    (what.to_owned(), thread::spawn(move || call().unwrap_err().kind()))
}

/// All of them are blocked; after the stop none is.
fn all_end(stop: Stop, calls: Vec<Blocked>) {
    // Each of them sleeps by now; one that does not would end all the same.
    thread::sleep(Duration::from_millis(150));
    for (what, call) in &calls {
        assert!(!call.is_finished(), "{what} does not block");
    }
    let started = Instant::now();
    stop.stop();
    for (what, call) in calls {
        assert_eq!(call.join().unwrap(), ErrorKind::Stopped, "{what}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    stop.reset();
}

#[test]
fn calls_of_channels_end() {
    each("stop", |url| {
        let (_turn, stop) = stop();
        for wait in ["block", "spin"] {
            let url = another(url);
            let with_wait = format!("{url}?wait={wait}");
            let (_owner, a, b) = pair(&with_wait);
            let (mut to_b, mut from_b) = a.split();
            let mut calls = vec![
                blocked("recv", move || from_b.recv()),
                blocked("send", move || to_b.send(&vec![0; 15 << 20])),
            ];
            let name = another(&url);
            calls.push(blocked("accept", move || anyipc::create(name)?.accept().map(drop)));
            let name = another(&url);
            let owner = anyipc::create(&name).unwrap();
            let name = format!("{}?timeout=40s", owner.address());
            calls.push(blocked("connect", move || anyipc::connect(name).map(drop)));
            let name = format!("{}?timeout=40s", another(&url));
            calls.push(blocked("connect without owner", move || anyipc::connect(name).map(drop)));
            let mut inbox = Inbox::new(anyipc::create(another(&url)).unwrap()).unwrap();
            calls.push(blocked("inbox", move || inbox.recv()));
            let (_owner2, mut c, d) = pair(&another(&url));
            let mut inbox = Inbox::new(anyipc::create(another(&url)).unwrap()).unwrap();
            calls.push(blocked("select", move || {
                Select::new()?.wait_timeout(&mut [&mut c, &mut inbox], LONG)
            }));
            all_end(stop, calls);
            drop((b, d, owner));
        }
    });
}

#[test]
fn calls_of_queues_blocks_and_locks_end() {
    support::watchdog::watched("stop", || {
        let (_turn, stop) = stop();
        let mut calls = Vec::new();
        let queue = anyipc::create(format!("mq://{}", unique("stop"))).unwrap();
        let mut empty = queue.queue().unwrap();
        calls.push(blocked("queue recv", move || empty.recv()));
        let full = anyipc::create(format!("mq://{}", unique("stop"))).unwrap();
        let mut sender = full.queue().unwrap();
        while sender.try_send(0, &[0; 1000]).is_ok() {}
        calls.push(blocked("queue send", move || sender.send(0, &[0; 1000])));
        let block = anyipc::create(format!("shm://{}?size=4KiB", unique("stop"))).unwrap();
        let seen = anyipc::open(block.address().to_string()).unwrap();
        calls.push(blocked("block", move || {
            seen.block()?.load_newer::<u32>(&mut 0, LONG).map(drop)
        }));
        let opened = format!("shm://{}", unique("stop"));
        calls.push(blocked("open", move || anyipc::open_timeout(opened, LONG).map(drop)));

        let name = format!("shm://{}", unique("stop"));
        let mutex = anyipc::sync::Mutex::create(&name, 0u64).unwrap();
        let held = mutex.lock().unwrap().into_inner();
        calls.push(blocked("mutex", move || {
            anyipc::sync::Mutex::<u64>::open(name)?.lock().map(drop)
        }));
        let name = format!("shm://{}", unique("stop"));
        let lock = RwLock::create(&name, 0u64).unwrap();
        let written = lock.write().unwrap().into_inner();
        calls.push(blocked("read lock", move || RwLock::<u64>::open(name)?.read().map(drop)));
        let name = format!("shm://{}", unique("stop"));
        let _semaphore = Semaphore::create(&name, 0).unwrap();
        calls.push(blocked("semaphore", move || Semaphore::open(name)?.acquire().map(drop)));
        let name = format!("shm://{}", unique("stop"));
        let _event = Event::create(&name, Reset::Manual).unwrap();
        calls.push(blocked("event", move || Event::open(name)?.wait()));
        let (name, guarded) =
            (format!("shm://{}", unique("stop")), format!("shm://{}", unique("stop")));
        let _condvar = Condvar::create(&name).unwrap();
        let _guarded = anyipc::sync::Mutex::create(&guarded, 0u64).unwrap();
        calls.push(blocked("condvar", move || {
            let mutex = anyipc::sync::Mutex::<u64>::open(guarded)?;
            let locked = mutex.lock()?.into_inner();
            Condvar::open(name)?.wait(locked).map(drop)
        }));
        all_end(stop, calls);
        drop((held, written));
    });
}

#[test]
fn what_need_not_wait_succeeds_and_after_a_reset_calls_wait_again() {
    each("again", |url| {
        let (_turn, stop) = stop();
        let (_owner, mut a, mut b) = pair(&format!("{url}?wait=block"));
        stop.stop();
        assert!(anyipc::stop().unwrap().is_stopped());
        a.send(b"there").unwrap();
        // It may be on its way through the kernel.
        support::watchdog::eventually("it is received", || b.recv().is_ok_and(|m| m == b"there"));
        assert_eq!(b.recv().unwrap_err().kind(), ErrorKind::Stopped);
        assert_eq!(b.recv_timeout(LONG).unwrap_err().kind(), ErrorKind::Stopped);
        stop.reset();
        let echo = thread::spawn(move || {
            while let Ok(message) = b.recv() {
                b.send(&message).unwrap();
            }
        });
        let started = Instant::now();
        for round in 0..200u32 {
            a.send(&round.to_le_bytes()).unwrap();
            assert_eq!(a.recv_timeout(LONG).unwrap(), round.to_le_bytes());
        }
        // Were the wake-ups lost, each round would cost a slice of 100 ms.
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        drop(a);
        echo.join().unwrap();
    });
}

#[cfg(unix)]
#[test]
fn a_handler_of_a_signal_ends_calls() {
    use std::sync::OnceLock;
    static STOP: OnceLock<Stop> = OnceLock::new();
    extern "C" fn handle(_: libc::c_int) {
        if let Some(stop) = STOP.get() {
            stop.stop();
        }
    }
    support::watchdog::watched("signal", || {
        let (_turn, stop) = stop();
        STOP.get_or_init(|| stop);
        // SAFETY: the handler only calls `Stop::stop`, which says that it may; the structure is all
        // zero but for the handler.
        let handled = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as extern "C" fn(libc::c_int) as libc::sighandler_t;
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut())
        };
        assert_eq!(handled, 0);
        let mut inbox = Inbox::new(anyipc::create("inproc://stop.signal").unwrap()).unwrap();
        let call = blocked("recv", move || inbox.recv());
        thread::sleep(Duration::from_millis(50));
        assert!(!call.1.is_finished());
        // SAFETY: the signal has a handler.
        assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR2) }, 0);
        assert_eq!(call.1.join().unwrap(), ErrorKind::Stopped);
        assert!(stop.is_stopped());
        stop.reset();
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_wait_for_the_stop() {
    support::watchdog::watched("tasks", || {
        let (_turn, stop) = stop();
        let ask = |runtime: &tokio::runtime::Runtime| {
            let tasks: Vec<_> =
                (0..3).map(|_| runtime.spawn(async move { stop.stopped().await })).collect();
            tasks
        };
        let runtimes = [support::channels::alone(), support::channels::alone()];
        let tasks: Vec<_> = runtimes.iter().map(ask).collect();
        for runtime in &runtimes {
            runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        }
        assert!(tasks.iter().flatten().all(|task| !task.is_finished()));
        stop.stop();
        for (runtime, tasks) in runtimes.iter().zip(tasks) {
            for task in tasks {
                runtime.block_on(task).unwrap().unwrap();
            }
            runtime.block_on(stop.stopped()).unwrap();
        }
        stop.reset();
        let waits = stop.stopped();
        let late = support::channels::alone()
            .block_on(async { tokio::time::timeout(Duration::from_millis(20), waits).await });
        assert!(late.is_err(), "it waits again");
    });
}
