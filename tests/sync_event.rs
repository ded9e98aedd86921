//! `anyipc::sync::Event` between processes: signals, deaths, stops, tasks, selects.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::{Event, Reset};
use support::process::{Process, end_with_parent, hear, say, serve, spawn_here};
use support::random::Random;
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost the next waiter.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn child() {
    serve(&[("wait", wait), ("answer", answer), ("hammer", hammer)]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

/// Waits once.
fn wait(arguments: &[&str]) {
    end_with_parent();
    let event = Event::open(arguments[0]).unwrap();
    say("waits");
    event.wait().unwrap();
    say("woken");
}

/// Takes a signal of the first event and gives one of the second, again and again.
fn answer(arguments: &[&str]) {
    end_with_parent();
    let [work, done] = [0, 1].map(|i| Event::open(arguments[i]).unwrap());
    say("waits");
    loop {
        work.wait().unwrap();
        done.set().unwrap();
    }
}

/// Sets the event for each line of the parent.
fn hammer(arguments: &[&str]) {
    let event = Event::open(arguments[0]).unwrap();
    say("ready");
    while hear().is_some() {
        event.set().unwrap();
    }
}

/// Two events with automatic reset, and processes that answer.
struct Workers {
    /// First: they are killed before the events are closed, which then leaves nothing.
    processes: Vec<Process>,
    addresses: [String; 2],
    work: Event,
    done: Event,
}

impl Workers {
    fn new(tag: &str, count: usize) -> Self {
        let addresses = ["work", "done"].map(|which| name(&format!("{tag}.{which}")));
        let [work, done] = addresses.each_ref().map(|at| Event::create(at, Reset::Auto).unwrap());
        let mut this = Self { processes: Vec::new(), addresses, work, done };
        for _ in 0..count {
            let process = this.spawn();
            this.processes.push(process);
        }
        this
    }

    fn spawn(&self) -> Process {
        let mut process =
            spawn_here(&format!("answer {} {}", self.addresses[0], self.addresses[1]));
        process.expect("waits");
        process
    }
}

#[test]
fn all_see_what_stays_set() {
    let _watchdog = watchdog("manual", Duration::from_secs(50));
    let name = name("manual");
    let event = Event::create(&name, Reset::Manual).unwrap();
    let mut children: Vec<_> = (0..3).map(|_| spawn_here(&format!("wait {name}"))).collect();
    children.iter_mut().for_each(|child| child.expect("waits"));
    assert_eq!(event.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
    let timeout = Duration::from_millis(30);
    assert_eq!(event.wait_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
    std::thread::scope(|scope| {
        let here: Vec<_> = (0..3).map(|_| scope.spawn(|| event.wait_timeout(LONG))).collect();
        event.set().unwrap();
        here.into_iter().for_each(|waiter| waiter.join().unwrap().unwrap());
    });
    for child in &mut children {
        child.expect("woken");
        child.finish();
    }
    event.wait().unwrap();
    event.try_wait().unwrap();
    assert!(event.is_set().unwrap() && event.reset().unwrap());
    assert!(!event.is_set().unwrap() && !event.reset().unwrap());
    assert_eq!(event.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn one_takes_each_signal() {
    let _watchdog = watchdog("auto", Duration::from_secs(50));
    let workers = Workers::new("auto", 3);
    for round in 0..3000 {
        workers.work.set().unwrap();
        workers.done.wait_timeout(LONG).unwrap_or_else(|e| panic!("round {round}: {e}"));
        assert!(!workers.work.is_set().unwrap(), "round {round}: the signal was not taken");
    }
    assert_eq!(workers.done.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A worker dies asleep, or about when it is woken.
#[test]
fn a_dead_waiter_costs_nobody_the_signal() {
    let _watchdog = watchdog("dead", Duration::from_secs(55));
    let mut workers = Workers::new("dead", 2);
    let mut random = Random::new(Random::run_seed());
    let mut times = Vec::new();
    for round in 0..40 {
        let victim = &mut workers.processes[0];
        let asleep = round % 2 == 0;
        if asleep {
            victim.kill();
        }
        let start = Instant::now();
        workers.work.set().unwrap();
        if !asleep {
            let delay = Duration::from_nanos(random.below(60_000));
            while start.elapsed() < delay {
                std::hint::spin_loop();
            }
            victim.kill();
        }
        // It may have taken the signal, and died before it answered.
        while let Err(error) = workers.done.wait_timeout(TOLD_WITHIN) {
            assert!(!asleep && !workers.work.is_set().unwrap(), "round {round}: lost, {error}");
            workers.work.set().unwrap();
        }
        times.push(start.elapsed());
        workers.processes[0].wait();
        workers.processes[0] = workers.spawn();
        // A second answer, if the first one was given before the second signal.
        let _ = workers.done.try_wait();
    }
    times.sort();
    println!("answered after {:?} in the median, {:?} at worst", times[20], times[39]);
}

/// The process that sets the event dies: the wait ends, or nothing was set.
#[test]
fn a_setter_that_dies_has_set_it_or_not() {
    let _watchdog = watchdog("setter", Duration::from_secs(55));
    let name = name("setter");
    let event = Event::create(&name, Reset::Auto).unwrap();
    let mut random = Random::new(Random::run_seed());
    for round in 0..30 {
        let mut setter = spawn_here(&format!("hammer {name}"));
        setter.expect("ready");
        let set = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| event.wait_timeout(Duration::from_millis(200)).is_ok());
            setter.say("");
            let start = Instant::now();
            let delay = Duration::from_nanos(random.below(100_000));
            while start.elapsed() < delay {
                std::hint::spin_loop();
            }
            setter.kill();
            waiter.join().unwrap()
        });
        setter.wait();
        assert!(set || !event.is_set().unwrap(), "round {round}: the wait missed the signal");
        let _ = event.try_wait();
    }
}

#[cfg(unix)]
#[test]
fn a_stopped_waiter_keeps_the_signal_from_nobody() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let workers = Workers::new("stopped", 2);
    let stopped = Pid::from_raw(workers.processes[0].pid() as i32).unwrap();
    kill_process(stopped, Signal::STOP).unwrap();
    // Not before all its threads have stopped.
    waitpid(Some(stopped), WaitOptions::UNTRACED).unwrap();
    for _ in 0..10 {
        let start = Instant::now();
        workers.work.set().unwrap();
        workers.done.wait_timeout(LONG).unwrap();
        assert!(start.elapsed() < TOLD_WITHIN);
    }
    kill_process(stopped, Signal::CONT).unwrap();
    for _ in 0..100 {
        workers.work.set().unwrap();
        workers.done.wait_timeout(LONG).unwrap();
    }
}

#[test]
fn a_select_waits_for_it_beside_others() {
    let _watchdog = watchdog("select", Duration::from_secs(50));
    let name = name("select");
    let stop = Event::create(&name, Reset::Auto).unwrap();
    let owner = anyipc::create(format!("{name}.jobs")).unwrap();
    let mut setter = spawn_here(&format!("hammer {name}"));
    setter.expect("ready");
    let (mut jobs, mut stops) = (owner.acceptor().unwrap(), stop.waiter());
    let mut select = anyipc::Select::new().unwrap();
    for _ in 0..50 {
        setter.say("");
        assert_eq!(select.wait_timeout(&mut [&mut jobs, &mut stops], LONG).unwrap(), 1);
        stop.try_wait().unwrap();
        let timeout = Duration::from_millis(1);
        let nothing = select.wait_timeout(&mut [&mut jobs, &mut stops], timeout).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::TimedOut);
    }
    // A select that was told of the signal and leaves it does not keep it from a thread.
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| stop.wait_timeout(LONG));
        setter.say("");
        let _ = select.wait_timeout(&mut [&mut jobs, &mut stops], Duration::from_millis(100));
        waiter.join().unwrap().unwrap();
    });
    setter.hush();
    setter.finish();
}

#[test]
fn each_form_is_found_and_no_other() {
    let name = name("form");
    let event = Event::create(&name, Reset::Auto).unwrap();
    let opened = Event::open(&name).unwrap();
    event.set().unwrap();
    opened.try_wait().unwrap();
    assert!(!event.is_set().unwrap(), "the opener does not reset it");
    let other = Event::open_or_create(&name, Reset::Manual).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Mismatch, "{other}");
    assert!(other.to_string().contains("automatic reset, not manual reset"), "{other}");
    drop(Event::open_or_create(&name, Reset::Auto).unwrap());
    drop((event, opened));
    assert_eq!(Event::open(&name).unwrap_err().kind(), ErrorKind::NotFound);
    let owner = anyipc::create(format!("{name}?size=4096")).unwrap();
    assert_eq!(Event::open(&name).unwrap_err().kind(), ErrorKind::Mismatch);
    let block = owner.block().unwrap();
    let event = Event::at(block, 64, Reset::Manual).unwrap();
    let same = Event::at(block, 64, Reset::Manual).unwrap();
    event.set().unwrap();
    same.wait().unwrap();
    assert_eq!(Event::at(block, 64, Reset::Auto).unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(Event::at(block, 65, Reset::Auto).unwrap_err().kind(), ErrorKind::OutOfBounds);
    assert_eq!(Event::at(block, 4096, Reset::Auto).unwrap_err().kind(), ErrorKind::OutOfBounds);
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_neither_sets_nor_waits() {
    let event = Event::create(name("fork"), Reset::Auto).unwrap();
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let refused = [
                event.set().is_err_and(|e| e.kind() == ErrorKind::Forked),
                event.try_wait().is_err_and(|e| e.kind() == ErrorKind::Forked),
                event.wait().is_err_and(|e| e.kind() == ErrorKind::Forked),
                event.reset().is_err_and(|e| e.kind() == ErrorKind::Forked),
            ];
            // SAFETY: ends the child.
            unsafe { libc::_exit(i32::from(refused.contains(&false))) };
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for a child of ours.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0);
        }
    }
    assert!(!event.is_set().unwrap());
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_too() {
    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let workers = Workers::new("tasks", 1);
    for _ in 0..500 {
        workers.work.set().unwrap();
        workers.done.wait_async().await.unwrap();
    }
    let event = std::sync::Arc::new(Event::create(name("many"), Reset::Manual).unwrap());
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let event = std::sync::Arc::clone(&event);
            tokio::spawn(async move { event.wait_async().await.unwrap() })
        })
        .collect();
    event.set().unwrap();
    for task in tasks {
        tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    }
}

/// One that was woken is dropped or forgotten: another one gets the signal.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_cancelled_task_passes_the_signal_on() {
    use std::future::Future;
    let _watchdog = watchdog("cancelled", Duration::from_secs(50));
    let name = name("cancelled");
    let event = std::sync::Arc::new(Event::create(&name, Reset::Auto).unwrap());
    for round in 0..50 {
        let mut waiters = tokio::task::JoinSet::new();
        let aborted: Vec<_> = (0..3)
            .map(|_| {
                let event = std::sync::Arc::clone(&event);
                waiters.spawn(async move { event.wait_async().await.unwrap() })
            })
            .collect();
        let mut forgotten = Box::pin(event.wait_async());
        std::future::poll_fn(|cx| {
            assert!(forgotten.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        if round % 10 == 0 {
            std::mem::forget(forgotten);
        } else {
            drop(forgotten);
        }
        event.set().unwrap();
        aborted[round % 3].abort();
        let mut woken = 0;
        while let Some(ended) = tokio::time::timeout(LONG, waiters.join_next()).await.unwrap() {
            if ended.is_ok() {
                woken += 1;
                event.set().unwrap();
            }
        }
        assert_eq!(woken, 2);
        event.reset().unwrap();
    }
    // What was forgotten holds the memory.
    anyipc::Registry::global().remove(&name, true).unwrap();
}
