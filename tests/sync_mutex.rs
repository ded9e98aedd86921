//! `anyipc::sync::Mutex` between processes: exclusion, deaths, stops, forks, tasks.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::{LockResult, Mutex};
use support::process::{end_with_parent, linger, say, serve, spawn_here};
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost the next locker.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Two halves that are equal whenever nobody changes them.
type Pair = [u64; 2];

#[test]
fn child() {
    serve(&[("count", count), ("hold", hold), ("hold_changed", hold_changed)]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

/// Adds one so often.
fn count(arguments: &[&str]) {
    end_with_parent();
    let mutex = Mutex::<Pair>::open(arguments[0]).unwrap();
    for _ in 0..arguments[1].parse().unwrap() {
        let mut pair = mutex.lock().unwrap().recover(|_| panic!("no owner died"));
        assert_eq!(pair[0], pair[1], "two are inside");
        pair[0] += 1;
        pair[1] += 1;
    }
}

/// Locks and says so.
fn hold(arguments: &[&str]) {
    let mutex = Mutex::<Pair>::open(arguments[0]).unwrap();
    let guard = mutex.lock().unwrap();
    say("held");
    linger();
    drop(guard);
}

/// As `hold`, with a half of the change made, but not stored.
fn hold_changed(arguments: &[&str]) {
    let mutex = Mutex::<Pair>::open(arguments[0]).unwrap();
    let mut guard = mutex.lock().unwrap().into_inner();
    guard[0] += 1;
    say("held");
    linger();
}

#[test]
fn one_at_a_time() {
    let _watchdog = watchdog("one_at_a_time", Duration::from_secs(50));
    const ROUNDS: u64 = 20_000;
    let name = name("count");
    let mutex = Mutex::<Pair>::create(&name, [7; 2]).unwrap();
    let mut children: Vec<_> =
        (0..3).map(|_| spawn_here(&format!("count {name} {ROUNDS}"))).collect();
    for _ in 0..ROUNDS {
        let mut pair = mutex.lock().unwrap().recover(|_| panic!("no owner died"));
        pair[0] += 1;
        pair[1] += 1;
    }
    children.iter_mut().for_each(|child| child.finish());
    assert_eq!(*mutex.lock().unwrap().into_inner(), [7 + 4 * ROUNDS; 2]);
}

#[test]
fn the_next_locker_is_told_of_a_death() {
    let _watchdog = watchdog("death", Duration::from_secs(50));
    let name = name("death");
    let mutex = Mutex::<Pair>::create(&name, [0; 2]).unwrap();
    let mut times = Vec::new();
    for round in 0..20 {
        let mut holder = spawn_here(&format!("hold_changed {name}"));
        holder.expect("held");
        assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
        let waits = round % 2 == 0;
        if !waits {
            holder.kill();
            holder.wait();
        }
        let killed = Instant::now();
        let result = std::thread::scope(|scope| {
            let locker = scope.spawn(|| mutex.lock_timeout(LONG).unwrap());
            if waits {
                std::thread::yield_now();
                holder.kill();
            }
            locker.join().unwrap()
        });
        times.push(killed.elapsed());
        assert!(result.owner_died(), "round {round}: nothing said of the death");
        let guard = result.recover(|pair| assert_eq!(*pair, [0; 2], "a change that was not made"));
        drop(guard);
        assert!(!mutex.lock().unwrap().owner_died(), "told twice");
    }
    times.sort();
    println!("told after {:?} in the median, {:?} at worst", times[10], times[19]);
    assert!(times[19] < TOLD_WITHIN, "{times:?}");
}

#[test]
fn without_a_repair_it_is_poisoned() {
    let name = name("poison");
    let mutex = Mutex::<Pair>::create(&name, [0; 2]).unwrap();
    let mut holder = spawn_here(&format!("hold {name}"));
    holder.expect("held");
    holder.kill();
    holder.wait();
    let LockResult::OwnerDied(guard) = mutex.lock().unwrap() else { panic!("no news") };
    drop(guard);
    let other = Mutex::<Pair>::open(&name).unwrap();
    for handle in [&mutex, &other] {
        assert_eq!(handle.lock().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(handle.try_lock().unwrap_err().kind(), ErrorKind::Poisoned);
    }
    other.clear_poison().unwrap();
    assert!(!mutex.lock().unwrap().owner_died());
}

#[cfg(unix)]
#[test]
fn a_stopped_owner_loses_nothing() {
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let name = name("stopped");
    let mutex = Mutex::<Pair>::create(&name, [0; 2]).unwrap();
    let mut holder = spawn_here(&format!("hold {name}"));
    holder.expect("held");
    let pid = rustix::process::Pid::from_raw(holder.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let start = Instant::now();
    let timeout = Duration::from_secs(2);
    assert_eq!(mutex.lock_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= timeout && start.elapsed() < 2 * timeout);
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    holder.hush();
    assert!(!mutex.lock_timeout(LONG).unwrap().owner_died());
    holder.finish();
}

#[test]
fn what_is_something_else_is_refused() {
    let name = name("other");
    let mutex = Mutex::<Pair>::create(&name, [0; 2]).unwrap();
    assert_eq!(Mutex::<Pair>::create(&name, [0; 2]).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(Mutex::<u64>::open(&name).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(Mutex::<u64>::open_or_create(&name, 1).unwrap_err().kind(), ErrorKind::Mismatch);
    drop(Mutex::<Pair>::open_or_create(&name, [9; 2]).unwrap());
    assert_eq!(*mutex.lock().unwrap().into_inner(), [0; 2]);
    drop(mutex);
    assert_eq!(Mutex::<Pair>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let scheme = Mutex::create("inproc://sync.other", 0u8).unwrap_err();
    assert_eq!(scheme.kind(), ErrorKind::Unsupported, "{scheme}");
}

#[test]
fn in_a_block_of_other_things() {
    let name = name("block");
    let owner = anyipc::create(format!("{name}?size=8192")).unwrap();
    let block = owner.block().unwrap();
    let mutex = Mutex::<u32>::at(block, 4096).unwrap();
    *mutex.lock().unwrap().into_inner() = 5;
    let opener = anyipc::open(&name).unwrap();
    let same = Mutex::<u32>::at(opener.block().unwrap(), 4096).unwrap();
    assert_eq!(*same.lock().unwrap().into_inner(), 5);
    let errors = [
        (Mutex::<u64>::at(block, 4096).unwrap_err(), ErrorKind::Mismatch),
        (Mutex::<u32>::at(block, 4100).unwrap_err(), ErrorKind::OutOfBounds),
        (Mutex::<u32>::at(block, 8192).unwrap_err(), ErrorKind::OutOfBounds),
        (Mutex::<[u8; 4096]>::at(block, 8128).unwrap_err(), ErrorKind::OutOfBounds),
    ];
    for (error, kind) in errors {
        assert_eq!(error.kind(), kind, "{error}");
    }
    block.write_at(0, &[3; 64]).unwrap();
    assert_eq!(Mutex::<u32>::at(block, 0).unwrap_err().kind(), ErrorKind::Corrupt);
    // The endpoint's end is no end of the memory while a lock in it lives.
    owner.close().unwrap();
    opener.close().unwrap();
    *mutex.lock().unwrap().into_inner() += 1;
    assert_eq!(*same.lock().unwrap().into_inner(), 6);
    drop((mutex, same));
    assert_eq!(anyipc::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_too() {
    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let name = name("tasks");
    let mutex = std::sync::Arc::new(Mutex::<Pair>::create(&name, [0; 2]).unwrap());
    let mut child = spawn_here(&format!("count {name} 5000"));
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let mutex = std::sync::Arc::clone(&mutex);
            tokio::spawn(async move {
                for _ in 0..500 {
                    let mut pair = mutex.lock_async().await.unwrap().into_inner();
                    pair[0] += 1;
                    tokio::task::yield_now().await;
                    pair[1] += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    tokio::task::spawn_blocking(move || child.finish()).await.unwrap();
    assert_eq!(*mutex.lock_async().await.unwrap().into_inner(), [9000; 2]);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_cancelled_task_passes_its_wake_up_on() {
    let _watchdog = watchdog("cancelled", Duration::from_secs(50));
    let mutex = std::sync::Arc::new(Mutex::create(name("cancelled"), 0u8).unwrap());
    for _ in 0..50 {
        let guard = mutex.lock().unwrap().into_inner();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let mutex = std::sync::Arc::clone(&mutex);
                tokio::spawn(async move { drop(mutex.lock_async().await.unwrap()) })
            })
            .collect();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        drop(guard);
        let mut waiters = waiters.into_iter();
        waiters.next().unwrap().abort();
        for waiter in waiters {
            tokio::time::timeout(LONG, waiter).await.unwrap().unwrap();
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_neither_unlocks_nor_locks() {
    let mutex = Mutex::create(name("fork"), 3u64).unwrap();
    let mut guard = mutex.lock().unwrap().into_inner();
    *guard = 4;
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            drop(guard);
            let refused = mutex.try_lock().is_err_and(|e| e.kind() == ErrorKind::Forked)
                && mutex.lock().is_err_and(|e| e.kind() == ErrorKind::Forked);
            // SAFETY: ends the child.
            unsafe { libc::_exit(if refused { 0 } else { 1 }) };
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for a child of ours.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0);
        }
    }
    assert_eq!(mutex.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
    assert_eq!(*mutex.lock().unwrap().into_inner(), 4);
}

#[test]
fn a_thread_that_ends_or_forgets_leaves_it_locked() {
    let name = name("forget");
    let mutex = Mutex::create(&name, 1u64).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(mutex.lock().unwrap().into_inner()));
    });
    let other = Mutex::<u64>::open(&name).unwrap();
    for handle in [&mutex, &other] {
        assert_eq!(handle.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    drop(mutex);
    assert!(other.lock_timeout(LONG).unwrap().owner_died());
}
