//! `anyipc::sync::Once` between processes: one does it, deaths, panics, stops, tasks.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::Once;
use support::process::{end_with_parent, linger, say, serve, spawn_here};
use support::random::Random;
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost those that wait.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn child() {
    serve(&[("call", call), ("stay", stay)]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

/// Calls, and says whether it did it.
fn call(arguments: &[&str]) {
    end_with_parent();
    let once = Once::open(arguments[0]).unwrap();
    let mut did = "found";
    once.call(|state| did = if state.is_after_death() { "did after" } else { "did" }).unwrap();
    assert!(once.is_completed().unwrap());
    say(did);
}

/// Begins, and stays in it.
fn stay(arguments: &[&str]) {
    let once = Once::open(arguments[0]).unwrap();
    once.call_once(|| {
        say("begun");
        linger();
    })
    .unwrap();
}

#[test]
fn one_does_it_and_the_others_wait() {
    let _watchdog = watchdog("one", Duration::from_secs(50));
    for _ in 0..10 {
        let name = name("one");
        let once = Once::create(&name).unwrap();
        let done = AtomicU32::new(0);
        let mut children: Vec<_> = (0..2).map(|_| spawn_here(&format!("call {name}"))).collect();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    once.call_once(|| _ = done.fetch_add(1, Ordering::Relaxed)).unwrap();
                    once.wait_timeout(LONG).unwrap();
                });
            }
        });
        let said: Vec<_> = children.iter_mut().map(|child| child.hear()).collect();
        let there = said.iter().filter(|said| *said == "did").count() as u32;
        assert_eq!(done.load(Ordering::Relaxed) + there, 1, "{said:?}");
        assert!(!said.contains(&"did after".to_owned()));
        once.call_once(|| panic!("it is done")).unwrap();
        once.wait().unwrap();
    }
}

#[test]
fn the_next_one_does_it_after_a_death() {
    let _watchdog = watchdog("death", Duration::from_secs(50));
    let mut times = Vec::new();
    for round in 0..20 {
        let name = name("death");
        let once = Once::create(&name).unwrap();
        let mut victim = spawn_here(&format!("stay {name}"));
        victim.expect("begun");
        assert_eq!(
            once.wait_timeout(Duration::from_millis(1)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        let waits = round % 2 == 0;
        if !waits {
            victim.kill();
            victim.wait();
        }
        let start = Instant::now();
        let told = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| once.wait_timeout(LONG));
            let caller = scope.spawn(|| {
                let mut told = None;
                once.call(|state| told = Some(state.is_after_death())).unwrap();
                told
            });
            if waits {
                std::thread::yield_now();
                victim.kill();
            }
            let told = caller.join().unwrap();
            waiter.join().unwrap().unwrap();
            told
        });
        times.push(start.elapsed());
        assert_eq!(told, Some(true), "round {round}");
    }
    times.sort();
    println!("done after {:?} in the median, {:?} at worst", times[10], times[19]);
    assert!(times[19] < TOLD_WITHIN, "{times:?}");
}

/// Callers are killed at random: one that is left does it, or finds it done.
#[test]
fn a_caller_that_dies_hangs_nobody() {
    let _watchdog = watchdog("random", Duration::from_secs(55));
    let mut random = Random::new(Random::run_seed());
    for _ in 0..30 {
        let name = name("random");
        let once = Once::create(&name).unwrap();
        let mut victims: Vec<_> = (0..2).map(|_| spawn_here(&format!("call {name}"))).collect();
        for victim in &mut victims {
            std::thread::sleep(Duration::from_micros(random.below(3000)));
            victim.kill();
        }
        let start = Instant::now();
        once.call(|_| {}).unwrap();
        assert!(start.elapsed() < TOLD_WITHIN && once.is_completed().unwrap());
    }
}

#[test]
fn a_panic_leaves_it_to_the_next_one() {
    let once = Once::create(name("panic")).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| once.call_once(|| panic!("as it should"))));
    assert!(panic.is_err() && !once.is_completed().unwrap());
    let mut told = None;
    once.call(|state| told = Some(state.is_after_death())).unwrap();
    assert_eq!(told, Some(true));
    assert!(once.is_completed().unwrap());
}

#[cfg(unix)]
#[test]
fn a_stopped_caller_is_waited_for() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let name = name("stopped");
    let once = Once::create(&name).unwrap();
    let mut caller = spawn_here(&format!("stay {name}"));
    caller.expect("begun");
    let pid = Pid::from_raw(caller.pid() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // Not before all its threads have stopped.
    waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    std::thread::scope(|scope| {
        let called = scope.spawn(|| {
            let mut called = false;
            once.call_once(|| called = true).unwrap();
            called
        });
        let timeout = Duration::from_secs(1);
        assert_eq!(once.wait_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(!called.is_finished());
        kill_process(pid, Signal::CONT).unwrap();
        caller.hush();
        assert!(!called.join().unwrap(), "it was done twice");
    });
    caller.finish();
}

#[test]
fn what_is_something_else_is_refused() {
    let name = name("other");
    let once = Once::create(&name).unwrap();
    assert_eq!(Once::create(&name).unwrap_err().kind(), ErrorKind::Exists);
    drop(Once::open_or_create(&name).unwrap());
    drop(once);
    assert_eq!(Once::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let owner = anyipc::create(format!("{name}?size=4096")).unwrap();
    let block = owner.block().unwrap();
    Once::at(block, 128).unwrap().call_once(|| {}).unwrap();
    assert!(Once::at(block, 128).unwrap().is_completed().unwrap());
    assert_eq!(Once::at(block, 4096).unwrap_err().kind(), ErrorKind::OutOfBounds);
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_does_nothing() {
    let once = Once::create(name("fork")).unwrap();
    once.call_once(|| {
        // SAFETY: the child calls nothing that a thread of the parent may have left locked, and
        // ends.
        match unsafe { libc::fork() } {
            0 => {
                let refused = once.call_once(|| {}).is_err_and(|e| e.kind() == ErrorKind::Forked)
                    && once.wait().is_err_and(|e| e.kind() == ErrorKind::Forked)
                    && once.is_completed().is_err_and(|e| e.kind() == ErrorKind::Forked);
                // SAFETY: ends the child.
                unsafe { libc::_exit(i32::from(!refused)) };
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for a child of ours.
                unsafe { libc::waitpid(child, &mut status, 0) };
                assert_eq!(status, 0);
            }
        }
    })
    .unwrap();
    assert!(once.is_completed().unwrap());
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn tasks_call_and_are_cancelled() {
    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let name = name("tasks");
    let once = std::sync::Arc::new(Once::create(&name).unwrap());
    let cancelled = tokio::spawn({
        let once = std::sync::Arc::clone(&once);
        async move { once.call_async(async |_| std::future::pending().await).await }
    });
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let once = std::sync::Arc::clone(&once);
            tokio::spawn(async move { once.wait_async().await.unwrap() })
        })
        .collect();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());
    let mut told = None;
    once.call_async(async |state| {
        tokio::task::yield_now().await;
        told = Some(state.is_after_death());
    })
    .await
    .unwrap();
    assert_eq!(told, Some(true));
    for waiter in waiters {
        tokio::time::timeout(LONG, waiter).await.unwrap().unwrap();
    }
}
