//! `anyipc::sync::RwLock` between processes: exclusion, deaths, stops, forks, tasks.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::{LockResult, RwLock};
use support::process::{end_with_parent, linger, say, serve, spawn_here};
use support::schemes::unique;
use support::watchdog::{eventually, watchdog};

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost the next locker.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
/// Where the data lie that a lock at the beginning of a block protects.
const DATA: usize = 4096;

/// Two halves that are equal whenever nobody changes them.
type Pair = [u64; 2];

#[test]
fn child() {
    serve(&[
        ("use_block", use_block),
        ("read", hold_read),
        ("write", hold_write),
        ("write_again_and_again", write_again_and_again),
        ("read_again_and_again", read_again_and_again),
    ]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

/// Reads three times of four, otherwise adds one to both halves.
fn use_block(arguments: &[&str]) {
    end_with_parent();
    let endpoint = anyipc::open(arguments[0]).unwrap();
    add_or_look(endpoint.block().unwrap(), arguments[1].parse().unwrap());
}

fn add_or_look(block: &anyipc::Block, rounds: u64) {
    let lock = RwLock::<()>::at(block, 0).unwrap();
    let half = |at: usize| {
        let mut bytes = [0; 8];
        block.read_at(DATA + at, &mut bytes).unwrap();
        u64::from_ne_bytes(bytes)
    };
    let set = |at: usize, to: u64| block.write_at(DATA + at, &to.to_ne_bytes()).unwrap();
    for round in 0..rounds {
        if round % 4 == 0 {
            let _guard = lock.write().unwrap().recover(|_| panic!("no writer died"));
            assert_eq!(half(0), half(512), "two are inside");
            set(0, half(0) + 1);
            std::hint::spin_loop();
            set(512, half(512) + 1);
        } else {
            let guard = lock.read().unwrap();
            assert!(!guard.owner_died());
            assert_eq!(half(0), half(512), "a writer is inside");
        }
    }
}

fn hold_read(arguments: &[&str]) {
    let lock = RwLock::<Pair>::open(arguments[0]).unwrap();
    let guard = lock.read().unwrap();
    say("held");
    linger();
    drop(guard);
}

/// With a half of the change made, but not stored.
fn hold_write(arguments: &[&str]) {
    let lock = RwLock::<Pair>::open(arguments[0]).unwrap();
    let mut guard = lock.write().unwrap().into_inner();
    guard[0] += 1;
    say("held");
    linger();
}

fn write_again_and_again(arguments: &[&str]) {
    end_with_parent();
    let lock = RwLock::<Pair>::open(arguments[0]).unwrap();
    say("busy");
    loop {
        lock.write().unwrap().into_inner()[0] += 1;
    }
}

/// Two threads, so that nearly always one of them is inside.
fn read_again_and_again(arguments: &[&str]) {
    end_with_parent();
    let lock = RwLock::<Pair>::open(arguments[0]).unwrap();
    say("busy");
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let _guard = lock.read().unwrap();
                    (0..1000).for_each(|_| std::hint::spin_loop());
                }
            });
        }
    });
}

#[test]
fn many_readers_or_one_writer() {
    let _watchdog = watchdog("many_readers_or_one_writer", Duration::from_secs(50));
    const ROUNDS: u64 = 8_000;
    let name = name("rw.block");
    let owner = anyipc::create(format!("{name}?size=8192")).unwrap();
    let block = owner.block().unwrap();
    let mut children: Vec<_> =
        (0..3).map(|_| spawn_here(&format!("use_block {name} {ROUNDS}"))).collect();
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| add_or_look(block, ROUNDS))));
    });
    children.iter_mut().for_each(|child| child.finish());
    let mut bytes = [0; 8];
    block.read_at(DATA, &mut bytes).unwrap();
    assert_eq!(u64::from_ne_bytes(bytes), 5 * ROUNDS / 4);
}

#[test]
fn readers_share_it() {
    let _watchdog = watchdog("readers_share_it", Duration::from_secs(50));
    let name = name("rw.share");
    let lock = RwLock::<Pair>::create(&name, [3; 2]).unwrap();
    let mut children: Vec<_> = (0..2).map(|_| spawn_here(&format!("read {name}"))).collect();
    children.iter_mut().for_each(|child| child.expect("held"));
    // Threads of one handle, all at once.
    let barrier = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let guard = lock.read_timeout(LONG).unwrap().into_inner();
                barrier.wait();
                assert_eq!(*guard, [3; 2]);
            });
        }
    });
    assert_eq!(lock.try_write().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(lock.try_read().unwrap());
    for (left, child) in children.iter_mut().enumerate().rev() {
        child.hush();
        child.finish();
        assert_eq!(lock.try_write().is_ok(), left == 0);
    }
    let guard = lock.write().unwrap();
    assert_eq!(lock.try_read().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(lock.try_write().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
}

/// A dead reader is no news, and a writer that waits for it does so no longer than that.
#[test]
fn a_dead_reader_lets_the_writer_in() {
    let _watchdog = watchdog("dead reader", Duration::from_secs(50));
    let name = name("rw.dead.reader");
    let lock = RwLock::<Pair>::create(&name, [0; 2]).unwrap();
    let mut times = Vec::new();
    for round in 0..20 {
        let mut reader = spawn_here(&format!("read {name}"));
        reader.expect("held");
        let waits = round % 2 == 0;
        if !waits {
            reader.kill();
            reader.wait();
        }
        let killed = Instant::now();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| lock.write_timeout(LONG).unwrap().owner_died());
            if waits {
                std::thread::yield_now();
                reader.kill();
            }
            assert!(!writer.join().unwrap(), "a reader's death is no news");
        });
        times.push(killed.elapsed());
    }
    times.sort();
    println!("let in after {:?} in the median, {:?} at worst", times[10], times[19]);
    assert!(times[19] < TOLD_WITHIN, "{times:?}");
    // Without a wait, too.
    let mut reader = spawn_here(&format!("read {name}"));
    reader.expect("held");
    reader.kill();
    reader.wait();
    drop(lock.try_write().unwrap());
}

#[test]
fn all_are_told_of_a_dead_writer_until_one_repairs() {
    let _watchdog = watchdog("dead writer", Duration::from_secs(50));
    let name = name("rw.dead.writer");
    let lock = RwLock::<Pair>::create(&name, [0; 2]).unwrap();
    let mut times = Vec::new();
    for round in 0..20 {
        let mut writer = spawn_here(&format!("write {name}"));
        writer.expect("held");
        assert_eq!(lock.try_read().unwrap_err().kind(), ErrorKind::WouldBlock);
        let waits = round % 2 == 0;
        if !waits {
            writer.kill();
            writer.wait();
        }
        let killed = Instant::now();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let result = lock.read_timeout(LONG).unwrap();
                assert!(result.owner_died(), "round {round}: nothing said of the death");
                assert_eq!(*result.into_inner(), [0; 2], "a change that was not made");
            });
            if waits {
                std::thread::yield_now();
                writer.kill();
            }
            reader.join().unwrap();
        });
        times.push(killed.elapsed());
        assert!(lock.read().unwrap().owner_died(), "each reader is told");
        assert!(lock.try_read().unwrap().owner_died());
        let result = lock.write_timeout(LONG).unwrap();
        assert!(result.owner_died());
        drop(result.recover(|pair| assert_eq!(*pair, [0; 2])));
        assert!(!lock.read().unwrap().owner_died(), "told after the repair");
        assert!(!lock.write().unwrap().owner_died(), "told twice");
    }
    times.sort();
    println!("told after {:?} in the median, {:?} at worst", times[10], times[19]);
    assert!(times[19] < TOLD_WITHIN, "{times:?}");
}

#[test]
fn without_a_repair_it_is_poisoned() {
    let name = name("rw.poison");
    let lock = RwLock::<Pair>::create(&name, [0; 2]).unwrap();
    let mut writer = spawn_here(&format!("write {name}"));
    writer.expect("held");
    writer.kill();
    writer.wait();
    // A reader neither repairs nor poisons.
    drop(lock.read().unwrap());
    let LockResult::OwnerDied(guard) = lock.write().unwrap() else { panic!("no news") };
    drop(guard);
    let other = RwLock::<Pair>::open(&name).unwrap();
    for handle in [&lock, &other] {
        assert_eq!(handle.read().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(handle.write().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(handle.try_read().unwrap_err().kind(), ErrorKind::Poisoned);
        assert_eq!(handle.try_write().unwrap_err().kind(), ErrorKind::Poisoned);
    }
    other.clear_poison().unwrap();
    assert!(!lock.write().unwrap().owner_died());
}

/// A writer that gives up lets the readers in that came after it.
#[test]
fn a_writer_that_times_out_gives_way() {
    let _watchdog = watchdog("gives way", Duration::from_secs(50));
    let lock = RwLock::<Pair>::create(name("rw.way"), [0; 2]).unwrap();
    let inside = lock.read().unwrap();
    let timeout = Duration::from_secs(2);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| lock.write_timeout(timeout).unwrap_err().kind());
        eventually("the writer waits", || lock.try_read().is_err());
        drop(lock.read_timeout(LONG).unwrap());
        assert_eq!(writer.join().unwrap(), ErrorKind::TimedOut);
    });
    drop(inside);
}

#[cfg(unix)]
#[test]
fn the_stopped_lose_nothing() {
    use rustix::process::{Pid, Signal, kill_process};
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let name = name("rw.stopped");
    let lock = RwLock::<Pair>::create(&name, [0; 2]).unwrap();
    for role in ["read", "write"] {
        let mut holder = spawn_here(&format!("{role} {name}"));
        holder.expect("held");
        let pid = Pid::from_raw(holder.pid() as i32).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        let (start, timeout) = (Instant::now(), Duration::from_millis(1500));
        assert_eq!(lock.write_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() >= timeout && start.elapsed() < 3 * timeout);
        assert_eq!(lock.try_write().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(lock.read_timeout(timeout).is_ok(), role == "read");
        kill_process(pid, Signal::CONT).unwrap();
        holder.hush();
        drop(lock.write_timeout(LONG).unwrap().recover(|_| panic!("{role}: it lost its lock")));
        holder.finish();
    }
}

#[test]
fn neither_side_starves() {
    let _watchdog = watchdog("starves", Duration::from_secs(50));
    for role in ["write_again_and_again", "read_again_and_again"] {
        let name = name(role);
        let lock = RwLock::<Pair>::create(&name, [0; 2]).unwrap();
        let mut busy: Vec<_> = (0..2).map(|_| spawn_here(&format!("{role} {name}"))).collect();
        busy.iter_mut().for_each(|child| child.expect("busy"));
        let mut longest = Duration::ZERO;
        for _ in 0..100 {
            let start = Instant::now();
            match role {
                "write_again_and_again" => drop(lock.read_timeout(LONG).unwrap()),
                _ => drop(lock.write_timeout(LONG).unwrap()),
            }
            longest = longest.max(start.elapsed());
        }
        println!("among processes that {role}, {longest:?} at worst");
    }
}

#[test]
fn what_is_something_else_is_refused() {
    let name = name("rw.other");
    let lock = RwLock::<Pair>::create(&name, [4; 2]).unwrap();
    assert_eq!(RwLock::<Pair>::create(&name, [0; 2]).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(RwLock::<u64>::open(&name).unwrap_err().kind(), ErrorKind::Mismatch);
    let mutex = anyipc::sync::Mutex::<Pair>::open(&name).unwrap_err();
    assert_eq!(mutex.kind(), ErrorKind::Mismatch);
    assert!(mutex.to_string().contains("rwlock"), "{mutex}");
    drop(RwLock::<Pair>::open_or_create(&name, [9; 2]).unwrap());
    assert_eq!(*lock.read().unwrap().into_inner(), [4; 2]);
    drop(lock);
    assert_eq!(RwLock::<Pair>::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_too() {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let name = name("rw.tasks");
    let owner = anyipc::create(format!("{name}?size=8192")).unwrap();
    let lock = std::sync::Arc::new(RwLock::<()>::at(owner.block().unwrap(), 0).unwrap());
    let mut child = spawn_here(&format!("use_block {name} 4000"));
    let (writers, readers) = (AtomicBool::new(false), AtomicU32::new(0));
    let inside = std::sync::Arc::new((writers, readers));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (lock, inside) = (lock.clone(), inside.clone());
            tokio::spawn(async move {
                for round in 0..300 {
                    if (task + round) % 4 == 0 {
                        let guard = lock.write_async().await.unwrap();
                        assert!(!inside.0.swap(true, SeqCst) && inside.1.load(SeqCst) == 0);
                        tokio::task::yield_now().await;
                        inside.0.store(false, SeqCst);
                        drop(guard);
                    } else {
                        let guard = lock.read_async().await.unwrap();
                        inside.1.fetch_add(1, SeqCst);
                        assert!(!inside.0.load(SeqCst));
                        tokio::task::yield_now().await;
                        inside.1.fetch_sub(1, SeqCst);
                        drop(guard);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    tokio::task::spawn_blocking(move || child.finish()).await.unwrap();
    drop(lock.try_write().unwrap());
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn cancelled_tasks_pass_their_turn_on() {
    let _watchdog = watchdog("cancelled", Duration::from_secs(50));
    let lock = std::sync::Arc::new(RwLock::create(name("rw.cancelled"), 0u8).unwrap());
    for round in 0..60 {
        // A reader inside: the first writer has the word, the others wait for it.
        let reader = (round % 2 == 0).then(|| lock.read().unwrap());
        let writer = reader.is_none().then(|| lock.write().unwrap());
        let waiters: Vec<_> = (0..4)
            .map(|which| {
                let lock = std::sync::Arc::clone(&lock);
                tokio::spawn(async move {
                    match which % 2 {
                        0 => drop(lock.write_async().await.unwrap()),
                        _ => drop(lock.read_async().await.unwrap()),
                    }
                })
            })
            .collect();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        // One is cancelled before its turn, or together with it.
        let victim = round / 2 % 4;
        if round % 3 == 0 {
            waiters[victim].abort();
            tokio::task::yield_now().await;
        }
        drop((reader, writer));
        waiters[victim].abort();
        for (which, waiter) in waiters.into_iter().enumerate() {
            let ended = tokio::time::timeout(LONG, waiter).await.unwrap();
            assert!(which == victim || ended.is_ok());
        }
        drop(lock.try_write().unwrap());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_neither_unlocks_nor_locks() {
    let lock = RwLock::create(name("rw.fork"), 3u64).unwrap();
    let guard = lock.read().unwrap();
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            drop(guard);
            let refused = lock.try_read().is_err_and(|e| e.kind() == ErrorKind::Forked)
                && lock.write().is_err_and(|e| e.kind() == ErrorKind::Forked);
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
    assert_eq!(lock.try_write().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
    drop(lock.try_write().unwrap());
}

#[test]
fn a_thread_that_ends_or_forgets_leaves_it_locked() {
    let name = name("rw.forget");
    let lock = RwLock::create(&name, 1u64).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(lock.read().unwrap()));
    });
    let other = RwLock::<u64>::open(&name).unwrap();
    for handle in [&lock, &other] {
        assert_eq!(handle.try_write().unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    drop(lock);
    assert!(!other.write_timeout(LONG).unwrap().owner_died());
}
