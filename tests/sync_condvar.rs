//! `anyipc::sync::Condvar` between processes: notifications, deaths, stops, tasks.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use anyipc::sync::{Condvar, LockResult, Mutex, MutexGuard};
use support::process::{Process, end_with_parent, linger, say, serve, spawn_here};
use support::random::Random;
use support::schemes::unique;
use support::watchdog::{eventually, watchdog};

const LONG: Duration = Duration::from_secs(20);
/// What a death may cost those that wait.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// Jobs that were given, and jobs that were done.
type Jobs = [u64; 2];

#[test]
fn child() {
    serve(&[("work", work), ("hold", hold)]);
}

/// A mutex with a condition of its own.
struct Shared {
    name: String,
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

impl Shared {
    fn create(tag: &str) -> Self {
        let name = format!("shm://{}", unique(tag));
        let jobs = Mutex::create(&name, [0; 2]).unwrap();
        let changed = Condvar::create(format!("{name}.changed")).unwrap();
        Self { name, jobs, changed }
    }

    fn open(name: &str) -> Self {
        let jobs = Mutex::open(name).unwrap();
        let changed = Condvar::open(format!("{name}.changed")).unwrap();
        Self { name: name.to_owned(), jobs, changed }
    }

    fn spawn(&self, role: &str) -> Process {
        let mut process = spawn_here(&format!("{role} {}", self.name));
        process.expect("ready");
        process
    }

    /// The lock; a death with it left the jobs as they were.
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap().recover(|_| {})
    }

    fn give(&self) {
        self.lock()[0] += 1;
        self.changed.notify_one().unwrap();
    }

    /// Waits until the jobs are done.
    fn finish(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        let mut guard = self.lock();
        while guard[1] < guard[0] {
            let Some(left) = timeout.checked_sub(start.elapsed()) else { return false };
            guard = self.changed.wait_timeout(guard, left).unwrap().0.recover(|_| {});
        }
        true
    }

    /// Takes jobs for ever.
    fn work(&self) {
        let mut guard = self.lock();
        loop {
            guard = match self.changed.wait_while(guard, |jobs| jobs[1] == jobs[0]).unwrap() {
                LockResult::Locked(mut guard) => {
                    guard[1] += 1;
                    // For others that wait for the end.
                    self.changed.notify_all().unwrap();
                    guard
                }
                told => told.recover(|_| {}),
            };
        }
    }
}

fn work(arguments: &[&str]) {
    end_with_parent();
    let shared = Shared::open(arguments[0]);
    say("ready");
    shared.work();
}

/// Locks, and stays.
fn hold(arguments: &[&str]) {
    let shared = Shared::open(arguments[0]);
    let guard = shared.lock();
    say("ready");
    linger();
    drop(guard);
}

#[test]
fn each_job_is_done() {
    let _watchdog = watchdog("jobs", Duration::from_secs(50));
    let shared = Shared::create("jobs");
    let _workers = [(); 3].map(|()| shared.spawn("work"));
    for round in 0..1000 {
        (0..round % 4).for_each(|_| shared.give());
        assert!(shared.finish(LONG), "round {round}");
    }
}

#[test]
fn a_wait_ends_in_time_and_has_the_lock() {
    let shared = Shared::create("time");
    let timeout = Duration::from_millis(30);
    let start = Instant::now();
    let mut guard = shared.lock();
    guard[0] = 5;
    let (locked, result) = shared.changed.wait_timeout(guard, timeout).unwrap();
    assert!(result.timed_out() && start.elapsed() >= timeout);
    assert_eq!(*locked.recover(|_| panic!("no owner died")), [5, 0], "the value was not stored");
    assert_eq!(shared.jobs.lock().unwrap().into_inner()[0], 5);
    // What it waits for holds: it does not wait.
    let guard = shared.lock();
    drop(shared.changed.wait_while(guard, |jobs| jobs[0] == 0).unwrap());
}

/// A worker dies asleep, or about when it is notified, or with the lock.
#[test]
fn a_dead_waiter_hangs_nobody() {
    let _watchdog = watchdog("dead", Duration::from_secs(55));
    let shared = Shared::create("dead");
    let mut random = Random::new(Random::run_seed());
    let mut workers = [(); 3].map(|()| shared.spawn("work"));
    let mut times = Vec::new();
    for round in 0..40 {
        let victim = &mut workers[round % 3];
        let asleep = round % 2 == 0;
        if asleep {
            victim.kill();
        }
        let start = Instant::now();
        (0..2).for_each(|_| shared.give());
        if !asleep {
            let delay = Duration::from_nanos(random.below(60_000));
            while start.elapsed() < delay {
                std::hint::spin_loop();
            }
            victim.kill();
        }
        assert!(shared.finish(LONG), "round {round}: the others hang");
        times.push(start.elapsed());
        workers[round % 3].wait();
        workers[round % 3] = shared.spawn("work");
    }
    times.sort();
    println!("done after {:?} in the median, {:?} at worst", times[20], times[39]);
    assert!(times[39] < TOLD_WITHIN, "{times:?}");
}

#[test]
fn a_death_with_the_lock_is_told_to_the_waiter() {
    let _watchdog = watchdog("owner", Duration::from_secs(50));
    let shared = Shared::create("owner");
    for round in 1..=5 {
        let told = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut guard = shared.lock();
                guard[0] = round;
                shared.changed.wait_while(guard, |_| true).unwrap()
            });
            eventually("it waits", || shared.lock()[0] == round);
            // It is notified while the holder has the lock, and gets it from the dead.
            let mut holder = shared.spawn("hold");
            shared.changed.notify_all().unwrap();
            holder.kill();
            waiter.join().unwrap()
        });
        assert!(told.owner_died());
        drop(told.recover(|_| {}));
    }
}

/// A guard that follows the dead and says nothing poisons the mutex as it waits.
#[test]
fn a_wait_poisons_what_was_not_made_consistent() {
    let shared = Shared::create("poison");
    let mut holder = shared.spawn("hold");
    holder.kill();
    holder.wait();
    let LockResult::OwnerDied(guard) = shared.jobs.lock().unwrap() else { panic!("no news") };
    let timeout = Duration::from_millis(1);
    let error = shared.changed.wait_timeout(guard, timeout).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Poisoned);
    shared.jobs.clear_poison().unwrap();
    drop(shared.lock());
}

#[cfg(unix)]
#[test]
fn a_stopped_waiter_hangs_nobody() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    let _watchdog = watchdog("stopped", Duration::from_secs(50));
    let shared = Shared::create("stopped");
    let workers = [(); 2].map(|()| shared.spawn("work"));
    // Both wait: no other has the lock when it is stopped.
    shared.give();
    assert!(shared.finish(LONG));
    let stopped = Pid::from_raw(workers[0].pid() as i32).unwrap();
    let guard = shared.lock();
    kill_process(stopped, Signal::STOP).unwrap();
    // Not before all its threads have stopped.
    waitpid(Some(stopped), WaitOptions::UNTRACED).unwrap();
    drop(guard);
    for _ in 0..10 {
        let start = Instant::now();
        shared.give();
        assert!(shared.finish(LONG));
        assert!(start.elapsed() < TOLD_WITHIN);
    }
    kill_process(stopped, Signal::CONT).unwrap();
    for _ in 0..100 {
        shared.give();
        assert!(shared.finish(LONG));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_neither_notifies_nor_waits() {
    let shared = Shared::create("fork");
    let mut guard = shared.lock();
    guard[0] = 1;
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let refused = shared.changed.notify_one().is_err_and(|e| e.kind() == ErrorKind::Forked)
                && shared.changed.notify_all().is_err_and(|e| e.kind() == ErrorKind::Forked)
                && shared.changed.wait(guard).is_err_and(|e| e.kind() == ErrorKind::Forked);
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
    assert_eq!(shared.jobs.try_lock().unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(guard);
    assert_eq!(*shared.lock(), [1, 0]);
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_wait_too() {
    let _watchdog = watchdog("tasks", Duration::from_secs(50));
    let shared = std::sync::Arc::new(Shared::create("tasks"));
    let mut worker = shared.spawn("work");
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let shared = std::sync::Arc::clone(&shared);
            tokio::spawn(async move {
                for _ in 0..100 {
                    let mut guard = shared.jobs.lock_async().await.unwrap().recover(|_| {});
                    guard[0] += 1;
                    let own = guard[0];
                    shared.changed.notify_all().unwrap();
                    while guard[1] < own {
                        guard = shared.changed.wait_async(guard).await.unwrap().recover(|_| {});
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(LONG, task).await.unwrap().unwrap();
    }
    worker.kill();
}

/// A task that was notified is cancelled, before or after it gets the lock: another one is woken.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_cancelled_task_passes_the_notification_on() {
    let _watchdog = watchdog("cancelled", Duration::from_secs(50));
    let shared = std::sync::Arc::new(Shared::create("cancelled"));
    for round in 0..60 {
        let mut waiters = tokio::task::JoinSet::new();
        let aborted: Vec<_> = (0..3)
            .map(|_| {
                let shared = std::sync::Arc::clone(&shared);
                waiters.spawn(async move {
                    let mut guard = shared.jobs.lock_async().await.unwrap().recover(|_| {});
                    while guard[0] == guard[1] {
                        guard = shared.changed.wait_async(guard).await.unwrap().recover(|_| {});
                    }
                    guard[1] += 1;
                })
            })
            .collect();
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        {
            // Those that are notified wait for the lock.
            let mut guard = shared.lock();
            guard[0] += 1;
            shared.changed.notify_one().unwrap();
            for _ in 0..round % 20 {
                tokio::task::yield_now().await;
            }
            aborted[round % 3].abort();
            tokio::task::yield_now().await;
        }
        let mut woken = 0;
        while let Some(ended) = tokio::time::timeout(LONG, waiters.join_next()).await.unwrap() {
            if ended.is_ok() {
                woken += 1;
                shared.give();
            }
        }
        assert_eq!(woken, 2);
        let mut guard = shared.lock();
        guard[1] = guard[0];
    }
}
