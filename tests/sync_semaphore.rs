//! `anyipc::sync::Semaphore` between processes: counts, deaths, stops, forks, tasks.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::Semaphore;
use support::process::{Process, end_with_parent, linger, say, serve, spawn_here};
use support::schemes::unique;
use support::watchdog::{eventually, watchdog};

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost the next one.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(1);
/// Where the count of permits in use lies in a block, behind the semaphore.
const IN_USE: usize = 4096;

#[test]
fn child() {
    serve(&[("take_turns", take_turns), ("hold", hold), ("take_small", take_small)]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

fn take_turns(arguments: &[&str]) {
    end_with_parent();
    let endpoint = anyipc::open(arguments[0]).unwrap();
    use_permits(endpoint.block().unwrap(), arguments[1].parse().unwrap());
}

/// Takes one to three permits of three, again and again, and counts those in use.
fn use_permits(block: &anyipc::Block, rounds: u64) {
    let semaphore = Semaphore::at(block, 0).unwrap();
    let in_use = block.atomic_u32(IN_USE).unwrap();
    for round in 0..rounds {
        let count = (round % 3 + 1) as u32;
        let permit = semaphore.acquire_many(count).unwrap();
        let before = in_use.fetch_add(count, SeqCst);
        assert!(before + count <= 3, "{before} and {count} of 3");
        std::hint::spin_loop();
        in_use.fetch_sub(count, SeqCst);
        drop(permit);
    }
}

fn hold(arguments: &[&str]) {
    let semaphore = Semaphore::open(arguments[0]).unwrap();
    let permit = semaphore.acquire_many(arguments[1].parse().unwrap()).unwrap();
    say("held");
    linger();
    drop(permit);
}

/// Always has one of two permits, nearly.
fn take_small(arguments: &[&str]) {
    end_with_parent();
    let semaphore = Semaphore::open(arguments[0]).unwrap();
    say("busy");
    loop {
        let _permit = semaphore.acquire().unwrap();
        (0..1000).for_each(|_| std::hint::spin_loop());
    }
}

fn holder(name: &str, count: u32) -> Process {
    let mut holder = spawn_here(&format!("hold {name} {count}"));
    holder.expect("held");
    holder
}

#[test]
fn no_more_than_there_are() {
    let _watchdog = watchdog("no_more_than_there_are", Duration::from_secs(50));
    const ROUNDS: u64 = 6_000;
    let name = name("sem.block");
    let owner = anyipc::create(format!("{name}?size=8192")).unwrap();
    let block = owner.block().unwrap();
    let semaphore = Semaphore::at(block, 0).unwrap();
    assert_eq!(semaphore.available().unwrap(), 0);
    semaphore.add_permits(3).unwrap();
    let mut children: Vec<_> =
        (0..3).map(|_| spawn_here(&format!("take_turns {name} {ROUNDS}"))).collect();
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| use_permits(block, ROUNDS))));
    });
    children.iter_mut().for_each(|child| child.finish());
    assert_eq!(semaphore.available().unwrap(), 3);
}

#[test]
fn permits_of_the_dead_are_given_back() {
    let _watchdog = watchdog("dead", Duration::from_secs(50));
    let name = name("sem.dead");
    let semaphore = Semaphore::create(&name, 5).unwrap();
    let mut times = Vec::new();
    for round in 0..20 {
        let (mut one, mut other) = (holder(&name, 3), holder(&name, 1));
        assert_eq!(semaphore.available().unwrap(), 1);
        let waits = round % 2 == 0;
        if !waits {
            one.kill();
            one.wait();
            assert_eq!(semaphore.available().unwrap(), 4);
        }
        let killed = Instant::now();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| drop(semaphore.acquire_many_timeout(4, LONG).unwrap()));
            if waits {
                std::thread::yield_now();
                one.kill();
            }
            waiter.join().unwrap();
        });
        times.push(killed.elapsed());
        // The living keep their own.
        assert_eq!(semaphore.try_acquire_many(5).unwrap_err().kind(), ErrorKind::WouldBlock);
        other.hush();
        other.finish();
        drop(semaphore.try_acquire_many(5).unwrap());
    }
    times.sort();
    println!("given back after {:?} in the median, {:?} at worst", times[10], times[19]);
    assert!(times[19] < GIVEN_BACK_WITHIN, "{times:?}");
    // Without a wait, too.
    let mut all = holder(&name, 5);
    assert_eq!(semaphore.try_acquire().unwrap_err().kind(), ErrorKind::WouldBlock);
    all.kill();
    all.wait();
    drop(semaphore.try_acquire_many(5).unwrap());
}

#[cfg(unix)]
#[test]
fn the_stopped_lose_nothing() {
    use rustix::process::{Pid, Signal, kill_process};
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let name = name("sem.stopped");
    let semaphore = Semaphore::create(&name, 2).unwrap();
    let mut one = holder(&name, 1);
    let pid = Pid::from_raw(one.pid() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let (start, timeout) = (Instant::now(), Duration::from_millis(1500));
    let refused = semaphore.acquire_many_timeout(2, timeout).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= timeout && start.elapsed() < 3 * timeout);
    drop(semaphore.acquire_timeout(LONG).unwrap());
    assert_eq!(semaphore.available().unwrap(), 1);
    kill_process(pid, Signal::CONT).unwrap();
    one.hush();
    drop(semaphore.acquire_many_timeout(2, LONG).unwrap());
    one.finish();
}

/// A waiter that is first and stopped is passed: others take what it could have taken.
#[cfg(unix)]
#[test]
fn a_stopped_waiter_is_passed() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    let _watchdog = watchdog("stopped waiter", Duration::from_secs(50));
    let name = name("sem.passed");
    let semaphore = Semaphore::create(&name, 2).unwrap();
    for signal in [Signal::STOP, Signal::KILL] {
        let permit = semaphore.acquire_many(2).unwrap();
        let mut waiter = spawn_here(&format!("hold {name} 2"));
        let pid = Pid::from_raw(waiter.pid() as i32).unwrap();
        // Time in which it becomes first; if it does not, the test is easier to pass.
        std::thread::sleep(Duration::from_millis(300));
        kill_process(pid, signal).unwrap();
        // Not before all its threads have stopped.
        if signal == Signal::STOP {
            waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        } else {
            waiter.wait();
        }
        drop(permit);
        drop(semaphore.acquire_timeout(LONG).unwrap());
        drop(semaphore.acquire_many_timeout(2, LONG).unwrap());
        if signal == Signal::STOP {
            kill_process(pid, Signal::CONT).unwrap();
            waiter.expect("held");
            assert_eq!(semaphore.available().unwrap(), 0);
            waiter.hush();
            waiter.finish();
        }
    }
}

/// One that wants all is not kept waiting by those that want one.
#[test]
fn a_large_want_does_not_starve() {
    let _watchdog = watchdog("large", Duration::from_secs(50));
    let name = name("sem.large");
    let semaphore = Semaphore::create(&name, 3).unwrap();
    let mut busy: Vec<_> = (0..3).map(|_| spawn_here(&format!("take_small {name}"))).collect();
    busy.iter_mut().for_each(|child| child.expect("busy"));
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        let start = Instant::now();
        drop(semaphore.acquire_many_timeout(3, LONG).unwrap());
        longest = longest.max(start.elapsed());
    }
    println!("{longest:?} at worst");
}

#[test]
fn permits_come_and_go() {
    let _watchdog = watchdog("come and go", Duration::from_secs(50));
    let name = name("sem.more");
    let semaphore = Semaphore::create(&name, 1).unwrap();
    let other = Semaphore::open(&name).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| other.acquire_many_timeout(4, LONG).unwrap().count());
        let small = scope.spawn(|| drop(other.acquire_timeout(LONG).unwrap()));
        // What does not exist yet keeps nobody from what does.
        small.join().unwrap();
        semaphore.add_permits(3).unwrap();
        assert_eq!(waiter.join().unwrap(), 4);
    });
    semaphore.acquire_many(3).unwrap().forget();
    assert_eq!(other.available().unwrap(), 1);
    drop(other.try_acquire_many(0).unwrap());
    let max = Semaphore::MAX_PERMITS;
    assert_eq!(other.try_acquire_many(max + 1).unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(semaphore.add_permits(max).unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(Semaphore::create(&name, 1).unwrap_err().kind(), ErrorKind::Exists);
    let mutex = anyipc::sync::Mutex::<u64>::open(&name).unwrap_err();
    assert_eq!(mutex.kind(), ErrorKind::Mismatch);
    assert!(mutex.to_string().contains("semaphore"), "{mutex}");
    drop((semaphore, other));
    assert_eq!(Semaphore::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let too_many = Semaphore::create(&name, max + 1).unwrap_err();
    assert_eq!(too_many.kind(), ErrorKind::InvalidOption);
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_too() {
    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let name = name("sem.tasks");
    let owner = anyipc::create(format!("{name}?size=8192")).unwrap();
    let semaphore = Semaphore::at(owner.block().unwrap(), 0).unwrap();
    semaphore.add_permits(3).unwrap();
    let mut child = spawn_here(&format!("take_turns {name} 3000"));
    let shared = std::sync::Arc::new((semaphore, std::sync::atomic::AtomicU32::new(0)));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let shared = shared.clone();
            tokio::spawn(async move {
                for round in 0..200 {
                    let count = (task + round) % 3 + 1;
                    let permit = shared.0.acquire_many_async(count).await.unwrap();
                    assert!(shared.1.fetch_add(count, SeqCst) + count <= 3);
                    tokio::task::yield_now().await;
                    shared.1.fetch_sub(count, SeqCst);
                    drop(permit);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    tokio::task::spawn_blocking(move || child.finish()).await.unwrap();
    assert_eq!(shared.0.available().unwrap(), 3);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn cancelled_tasks_pass_their_turn_on() {
    let _watchdog = watchdog("cancelled", Duration::from_secs(50));
    let semaphore = std::sync::Arc::new(Semaphore::create(name("sem.cancelled"), 2).unwrap());
    for round in 0..60 {
        let permit = semaphore.acquire_many(2).unwrap();
        let waiters: Vec<_> = (0..4)
            .map(|which| {
                let semaphore = std::sync::Arc::clone(&semaphore);
                tokio::spawn(async move {
                    drop(semaphore.acquire_many_async(which % 2 + 1).await.unwrap());
                })
            })
            .collect();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        let victim = round / 2 % 4;
        if round % 3 == 0 {
            waiters[victim].abort();
            tokio::task::yield_now().await;
        }
        drop(permit);
        waiters[victim].abort();
        for (which, waiter) in waiters.into_iter().enumerate() {
            let ended = tokio::time::timeout(LONG, waiter).await.unwrap();
            assert!(which == victim || ended.is_ok());
        }
        assert_eq!(semaphore.available().unwrap(), 2);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_has_no_permits() {
    let semaphore = Semaphore::create(name("sem.fork"), 1).unwrap();
    let permit = semaphore.acquire().unwrap();
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            drop(permit);
            let refused = semaphore.try_acquire().is_err_and(|e| e.kind() == ErrorKind::Forked)
                && semaphore.acquire().is_err_and(|e| e.kind() == ErrorKind::Forked)
                && semaphore.available().is_err_and(|e| e.kind() == ErrorKind::Forked);
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
    assert_eq!(semaphore.available().unwrap(), 0);
    drop(permit);
    assert_eq!(semaphore.available().unwrap(), 1);
}

#[test]
fn a_permit_that_is_forgotten_by_mistake_comes_back_with_the_handle() {
    let name = name("sem.forget");
    let semaphore = Semaphore::create(&name, 1).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| std::mem::forget(semaphore.acquire().unwrap()));
    });
    let other = Semaphore::open(&name).unwrap();
    assert_eq!(other.available().unwrap(), 0);
    drop(semaphore);
    drop(other.acquire_timeout(LONG).unwrap());
    eventually("it is back", || other.available().unwrap() == 1);
}
