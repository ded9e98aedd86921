//! `anyipc::sync::Barrier` between processes: rounds, deaths, stops, withdrawals, tasks.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::{Barrier, Mutex};
use support::process::{Process, end_with_parent, hear, say, serve, spawn_here};
use support::random::Random;
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost those that wait.
const TOLD_WITHIN: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(30);

#[test]
fn child() {
    serve(&[("rounds", rounds), ("wait", wait), ("impatient", impatient)]);
}

fn name(tag: &str) -> String {
    format!("shm://{}", unique(tag))
}

fn spawn(role: &str, name: &str) -> Process {
    spawn_here(&format!("{role} {name}"))
}

/// Passes so often. Counts rounds that this process led, and how far the others are.
fn rounds(arguments: &[&str]) {
    end_with_parent();
    let barrier = Barrier::open(arguments[0]).unwrap();
    let steps = Mutex::<[u64; 2]>::open(format!("{}.steps", arguments[0])).unwrap();
    let parties = u64::from(barrier.parties());
    for round in 0..arguments[1].parse().unwrap() {
        steps.lock().unwrap().recover(|_| panic!("no owner died"))[0] += 1;
        let led = barrier.wait().unwrap().is_leader();
        let mut steps = steps.lock().unwrap().recover(|_| panic!("no owner died"));
        steps[1] += u64::from(led);
        let all = (round + 1) * parties..=(round + 2) * parties;
        assert!(all.contains(&steps[0]), "round {round}: {} steps", steps[0]);
    }
}

/// Passes for each line of the parent.
fn wait(arguments: &[&str]) {
    let barrier = Barrier::open(arguments[0]).unwrap();
    say("ready");
    while hear().is_some() {
        let result = barrier.wait().unwrap();
        say(if result.is_leader() { "leads" } else { "passed" });
    }
}

/// Comes and goes.
fn impatient(arguments: &[&str]) {
    end_with_parent();
    let barrier = Barrier::open(arguments[0]).unwrap();
    say("ready");
    loop {
        let _ = barrier.wait_timeout(Duration::from_micros(50));
    }
}

#[test]
fn all_pass_together_and_one_leads() {
    let _watchdog = watchdog("rounds", Duration::from_secs(50));
    const ROUNDS: u64 = 1000;
    let name = name("rounds");
    let barrier = Barrier::create(&name, 4).unwrap();
    let steps = Mutex::create(format!("{name}.steps"), [0u64; 2]).unwrap();
    let mut children: Vec<_> =
        (0..2).map(|_| spawn_here(&format!("rounds {name} {ROUNDS}"))).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            // Threads of one handle are parties of their own.
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    steps.lock().unwrap().into_inner()[0] += 1;
                    let led = barrier.wait_timeout(LONG).unwrap().is_leader();
                    steps.lock().unwrap().into_inner()[1] += u64::from(led);
                }
            });
        }
    });
    children.iter_mut().for_each(|child| child.finish());
    assert_eq!(*steps.lock().unwrap().into_inner(), [4 * ROUNDS, ROUNDS]);
}

/// One dies asleep at the barrier, or about when the round ends.
#[test]
fn the_place_of_the_dead_is_free() {
    let _watchdog = watchdog("dead", Duration::from_secs(55));
    let name = name("dead");
    let barrier = Barrier::create(&name, 3).unwrap();
    let mut random = Random::new(Random::run_seed());
    let mut other = spawn("wait", &name);
    other.expect("ready");
    let mut times = Vec::new();
    for round in 0..30 {
        let asleep = round % 2 == 0;
        let mut victim = spawn("wait", &name);
        victim.expect("ready");
        victim.say("");
        other.say("");
        let passed = std::thread::scope(|scope| {
            let here = scope.spawn(|| barrier.wait_timeout(if asleep { LONG } else { SHORT }));
            if asleep {
                // Whether it has arrived yet does not matter.
                std::thread::sleep(Duration::from_micros(random.below(300)));
                victim.kill();
            } else {
                let start = Instant::now();
                let delay = Duration::from_nanos(random.below(400_000));
                while start.elapsed() < delay {
                    std::hint::spin_loop();
                }
                victim.kill();
            }
            victim.wait();
            // A process in its place. If the round is over, it is in the next one.
            let start = Instant::now();
            let mut instead = None;
            if asleep && !here.is_finished() {
                let instead = instead.insert(spawn("wait", &name));
                instead.expect("ready");
                instead.say("");
            }
            let passed = here.join().unwrap();
            times.push(start.elapsed());
            passed
        });
        match passed {
            Ok(_) => drop(other.hear()),
            Err(error) => {
                assert!(!asleep && error.kind() == ErrorKind::TimedOut, "round {round}: {error}");
                // The other one waits still: with two more it passes.
                std::thread::scope(|scope| {
                    let here = [(); 2].map(|()| scope.spawn(|| barrier.wait_timeout(LONG)));
                    let _ = here.map(|here| here.join().unwrap().unwrap());
                });
                drop(other.hear());
            }
        }
    }
    times.sort();
    println!("passed after {:?} in the median, {:?} at worst", times[15], times[29]);
}

/// One that dies has arrived or not. Two others pass without it.
#[test]
fn the_last_to_come_takes_the_place_of_the_dead() {
    let _watchdog = watchdog("last", Duration::from_secs(50));
    let name = name("last");
    let barrier = Barrier::create(&name, 2).unwrap();
    let mut random = Random::new(Random::run_seed());
    let mut times = Vec::new();
    for _ in 0..15 {
        let mut victim = spawn("wait", &name);
        victim.expect("ready");
        victim.say("");
        std::thread::sleep(Duration::from_micros(random.below(2000)));
        victim.kill();
        victim.wait();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let here = [(); 2].map(|()| scope.spawn(|| barrier.wait_timeout(LONG)));
            let led = here.map(|here| here.join().unwrap().unwrap().is_leader());
            assert!(led[0] != led[1]);
        });
        times.push(start.elapsed());
    }
    times.sort();
    println!("passed after {:?} in the median, {:?} at worst", times[7], times[14]);
    assert!(times[14] < TOLD_WITHIN, "{times:?}");
}

#[test]
fn an_arrival_is_counted_or_taken_back() {
    let _watchdog = watchdog("withdrawn", Duration::from_secs(50));
    let name = name("withdrawn");
    let barrier = Barrier::create(&name, 2).unwrap();
    let start = Instant::now();
    assert_eq!(barrier.wait_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SHORT);
    let mut other = spawn("wait", &name);
    other.expect("ready");
    let mut passed = 0;
    for _ in 0..300 {
        other.say("");
        // As often as this one passes, the other one does.
        while barrier.wait_timeout(Duration::from_micros(20)).is_err() {}
        passed += 1;
        other.hear();
    }
    assert_eq!(passed, 300);
    // Nothing of all that is left: alone, nobody passes.
    assert_eq!(barrier.wait_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    // Two that come and go meet at times, and each counts what the other one does.
    let met = std::thread::scope(|scope| {
        let count = || (0..20_000).filter(|_| barrier.wait_timeout(Duration::ZERO).is_ok()).count();
        let there = scope.spawn(count);
        [count(), there.join().unwrap()]
    });
    assert_eq!(met[0], met[1]);
    other.kill();
}

/// One more than parties: it takes part in the next round.
#[test]
fn more_than_parties_take_turns() {
    let _watchdog = watchdog("turns", Duration::from_secs(50));
    let name = name("turns");
    let barrier = Barrier::create(&name, 2).unwrap();
    let mut impatient = spawn("impatient", &name);
    impatient.expect("ready");
    let passed = std::thread::scope(|scope| {
        let here = [(); 3].map(|()| {
            scope.spawn(|| (0..200).filter(|_| barrier.wait_timeout(LONG).is_ok()).count())
        });
        here.map(|here| here.join().unwrap())
    });
    assert_eq!(passed, [200; 3]);
    impatient.kill();
}

#[cfg(unix)]
#[test]
fn a_stopped_participant_counts() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let name = name("stopped");
    let barrier = Barrier::create(&name, 2).unwrap();
    let mut stopped = spawn("wait", &name);
    stopped.expect("ready");
    let pid = Pid::from_raw(stopped.pid() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    // Not before all its threads have stopped.
    waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    stopped.say("");
    // It has not arrived, and nobody passes for it.
    let timeout = Duration::from_millis(300);
    assert_eq!(barrier.wait_timeout(timeout).unwrap_err().kind(), ErrorKind::TimedOut);
    kill_process(pid, Signal::CONT).unwrap();
    barrier.wait_timeout(LONG).unwrap();
    stopped.hear();
    // Once it has arrived, one that comes finds it there, stopped or not.
    stopped.say("");
    std::thread::sleep(SHORT);
    kill_process(pid, Signal::STOP).unwrap();
    // Not before all its threads have stopped.
    waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
    let early = barrier.wait_timeout(Duration::from_millis(300));
    kill_process(pid, Signal::CONT).unwrap();
    // On a busy machine it had not arrived when it was stopped.
    early.or_else(|_| barrier.wait_timeout(LONG)).unwrap();
    stopped.hear();
}

#[test]
fn each_number_of_parties_is_found_and_no_other() {
    let name = name("form");
    assert_eq!(Barrier::create(&name, 0).unwrap_err().kind(), ErrorKind::InvalidOption);
    assert_eq!(
        Barrier::create(&name, Barrier::MAX_PARTIES + 1).unwrap_err().kind(),
        ErrorKind::InvalidOption
    );
    let barrier = Barrier::create(&name, 1).unwrap();
    assert!(barrier.wait().unwrap().is_leader() && barrier.wait().unwrap().is_leader());
    assert_eq!(Barrier::open(&name).unwrap().parties(), 1);
    let other = Barrier::open_or_create(&name, 3).unwrap_err();
    assert_eq!(other.kind(), ErrorKind::Mismatch, "{other}");
    assert!(other.to_string().contains("1 parties, not 3 parties"), "{other}");
    drop(barrier);
    let owner = anyipc::create(format!("{name}?size=8192")).unwrap();
    let block = owner.block().unwrap();
    let barrier = Barrier::at(block, 64, 512).unwrap();
    assert_eq!(barrier.wait_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(Barrier::at(block, 4160, 512).unwrap_err().kind(), ErrorKind::OutOfBounds);
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_does_not_arrive() {
    let barrier = Barrier::create(name("fork"), 2).unwrap();
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let refused = barrier.wait().is_err_and(|e| e.kind() == ErrorKind::Forked);
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
    assert_eq!(barrier.wait_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn tasks_wait_and_are_cancelled() {
    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let barrier = std::sync::Arc::new(Barrier::create(name("tasks"), 3).unwrap());
    for _ in 0..50 {
        let spawn = || {
            let barrier = std::sync::Arc::clone(&barrier);
            tokio::spawn(async move { barrier.wait_async().await.unwrap().is_leader() })
        };
        let cancelled = spawn();
        let one = spawn();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        cancelled.abort();
        assert!(cancelled.await.unwrap_err().is_cancelled());
        let (two, three) = (spawn(), spawn());
        let mut leaders = 0;
        for task in [one, two, three] {
            leaders += usize::from(tokio::time::timeout(LONG, task).await.unwrap().unwrap());
        }
        assert_eq!(leaders, 1);
    }
}
