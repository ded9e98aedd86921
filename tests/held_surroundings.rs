//! Locks and leases in unfriendly surroundings: processes of two PID namespaces, programs that
//! replace themselves, a full file system, clocks that differ.
#![cfg(all(target_os = "linux", feature = "sync", feature = "message-queue"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyipc::sync::{Barrier, Mutex, Once, RwLock, Semaphore};
use anyipc::{ErrorKind, Queue};
use support::place::Scratch;
use support::process::{hear, linger, say, serve, spawn, spawn_under};
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);
/// A lease or a delay that no test waits for.
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn child() {
    serve(&[
        ("hold", |_| hold(linger)),
        ("replace", |_| hold(replace)),
        ("follow", |_| follow()),
        ("full", |_| full()),
        ("ahead", ahead),
    ]);
}

/// True if this user and this system have such namespaces.
fn may(wrapper: &[&str], place: &Path) -> bool {
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).arg("true").env("ANYIPC_DIR", place);
    let may = command.output().is_ok_and(|done| done.status.success());
    if !may {
        println!("this user or system has no {wrapper:?}: not tested");
    }
    may
}

fn queue(url: &str) -> Queue {
    anyipc::open(url).unwrap().queue().unwrap()
}

/// No message can be received or leased.
#[track_caller]
fn is_empty(queue: &mut Queue) {
    assert_eq!(queue.try_lease(HOUR).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(queue.len().unwrap(), 0);
}

/// Goes on as another program when it is told to.
fn replace() {
    hear();
    panic!("{}", Command::new("cat").exec());
}

/// Holds one of everything.
fn hold(then: fn()) {
    let mutex = Mutex::create("shm://mutex", 7u64).unwrap();
    let lock = RwLock::create("shm://lock", 7u64).unwrap();
    let semaphore = Semaphore::create("shm://permits", 1).unwrap();
    let (once, barrier) = (Once::create("shm://once"), Barrier::create("shm://barrier", 2));
    let (once, barrier) = (once.unwrap(), barrier.unwrap());
    let jobs = anyipc::create("mq://jobs").unwrap();
    let mut queue = jobs.queue().unwrap();
    queue.send(0, b"job").unwrap();
    let _job = queue.lease(HOUR).unwrap();
    let _held = (mutex.lock().unwrap(), lock.write().unwrap(), semaphore.acquire().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| barrier.wait().unwrap());
        once.call_once(|| {
            say("holds");
            then();
        })
        .unwrap();
    });
}

/// Finds all of that held, then that its holder is dead.
fn follow() {
    let mutex = Mutex::<u64>::open("shm://mutex").unwrap();
    let lock = RwLock::<u64>::open("shm://lock").unwrap();
    let semaphore = Semaphore::open("shm://permits").unwrap();
    let (once, barrier) = (Once::open("shm://once").unwrap(), Barrier::open("shm://barrier"));
    let (barrier, mut queue) = (barrier.unwrap(), queue("mq://jobs"));
    let later = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
    for error in [
        mutex.lock_timeout(SHORT).map(drop).unwrap_err(),
        lock.write_timeout(SHORT).map(drop).unwrap_err(),
        lock.try_read().map(drop).unwrap_err(),
        semaphore.acquire_timeout(SHORT).map(drop).unwrap_err(),
        once.wait_timeout(SHORT).unwrap_err(),
    ] {
        assert!(later.contains(&error.kind()), "{error}");
    }
    // Its leases are looked at 20 ms after the last look.
    std::thread::sleep(2 * SHORT);
    is_empty(&mut queue);
    assert_eq!(queue.status().unwrap().leased, 1);
    say("held");
    assert!(mutex.lock_timeout(LONG).unwrap().owner_died());
    assert!(lock.write_timeout(LONG).unwrap().owner_died());
    drop(semaphore.acquire_timeout(LONG).unwrap());
    let mut news = None;
    once.call(|state| news = Some(state.is_after_death())).unwrap();
    assert_eq!(news, Some(true));
    assert_eq!(queue.lease_timeout(HOUR, LONG).unwrap().attempts(), 2);
    // Its arrival counts no longer.
    assert_eq!(barrier.wait_timeout(SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| barrier.wait_timeout(LONG).unwrap());
        assert!(
            barrier.wait_timeout(LONG).unwrap().is_leader() != other.join().unwrap().is_leader()
        );
    });
    say("followed");
}

/// Both are process number 1 of their namespaces, so no number tells them apart.
#[test]
fn locks_and_leases_reach_from_one_pid_namespace_to_another() {
    let _watchdog = watchdog("namespaces", Duration::from_secs(60));
    let place = Scratch::new("held.pids");
    let processes = ["unshare", "--pid", "--fork", "--kill-child"];
    if !may(&processes, place.path()) {
        return;
    }
    let mut holder = spawn_under(&processes, place.path(), "hold");
    holder.expect("holds");
    let mut follower = spawn_under(&processes, place.path(), "follow");
    follower.expect("held");
    holder.kill();
    follower.expect("followed");
    follower.finish();
}

/// The process lives on, and has given up everything.
#[test]
fn a_program_that_replaces_itself_has_given_back_locks_and_leases() {
    let _watchdog = watchdog("exec", Duration::from_secs(60));
    let place = Scratch::new("held.exec");
    let mut holder = spawn(place.path(), "replace");
    holder.expect("holds");
    let mut follower = spawn(place.path(), "follow");
    follower.expect("held");
    holder.say("go on");
    follower.expect("followed");
    follower.finish();
    let pid = rustix::process::Pid::from_raw(holder.pid() as i32).unwrap();
    assert!(rustix::process::test_kill_process(pid).is_ok());
    holder.hush();
    holder.finish();
}

/// In a directory of its own that has no room left.
fn full() {
    let endpoint = anyipc::create("mq://jobs?attempts=2&dead=mq://failed&capacity=64KiB").unwrap();
    let mut queue = endpoint.queue().unwrap();
    let fill = |size: usize| {
        let mut all = Vec::new();
        let error = loop {
            match anyipc::create(format!("shm://fill{size}.{}?size={size}", all.len())) {
                Ok(block) => all.push(block),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        all
    };
    let filling = [fill(64 << 10), fill(1)];
    // The first lease needs what was made with the queue.
    while queue.try_send(0, &[1; 1000]).is_ok() {}
    let all = queue.len().unwrap();
    assert!(all > 40, "{all}");
    let mut jobs: Vec<_> = (0..all).map(|_| queue.try_lease(HOUR).unwrap()).collect();
    is_empty(&mut queue);
    jobs.pop().unwrap().ack().unwrap();
    jobs.pop().unwrap().retry_after(SHORT).unwrap();
    drop(jobs.pop());
    queue.try_send_after(SHORT, 0, &[2; 1000]).unwrap();
    let again: Vec<_> = (0..3).map(|_| queue.lease_timeout(HOUR, LONG).unwrap()).collect();
    let mut attempts: Vec<_> = again.iter().map(|job| job.attempts()).collect();
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2, 2]);
    // Two are dead. There is no room for their queue: they stay.
    drop((again, jobs));
    while let Ok(job) = queue.try_lease(HOUR) {
        assert!(job.attempts() <= 2);
        job.ack().unwrap();
    }
    let status = queue.status().unwrap();
    assert_eq!((status.messages, status.delayed, status.dead), (0, 2, 0), "{status:?}");
    drop(filling);
    let start = Instant::now();
    while queue.status().unwrap().dead < 2 {
        assert!(start.elapsed() < LONG, "{:?}", queue.status());
        let _ = queue.lease_timeout(HOUR, SHORT).unwrap_err();
    }
    assert_eq!(self::queue("mq://failed").len().unwrap(), 2);
    say("good");
}

#[test]
fn a_full_file_system_harms_no_lease() {
    let _watchdog = watchdog("full", Duration::from_secs(60));
    let place = Scratch::new("held.full");
    let script = "mount -t tmpfs -o size=1m,mode=0700 none \"$ANYIPC_DIR\" && exec \"$@\"";
    let wrapper = ["unshare", "-m", "sh", "-c", script, "sh"];
    if !may(&wrapper, place.path()) {
        return;
    }
    let mut child = spawn_under(&wrapper, place.path(), "full");
    child.expect("good");
    child.finish();
}

/// A process with clocks that are a day ahead: leases and delays are in the machine's time.
fn ahead(arguments: &[&str]) {
    let mut queue = queue(arguments[0]);
    is_empty(&mut queue);
    queue.send(0, b"mine").unwrap();
    let job = queue.try_lease(HOUR).unwrap();
    queue.send_after(HOUR, 0, b"in an hour").unwrap();
    queue.send_after(SHORT, 0, b"soon").unwrap();
    say("sent");
    hear();
    is_empty(&mut queue);
    job.ack().unwrap();
    say("done");
}

#[test]
fn clocks_that_differ_by_a_day_share_leases() {
    let _watchdog = watchdog("clocks", Duration::from_secs(60));
    let base = std::env::var_os("ANYIPC_DIR").unwrap_or("/dev/shm".into());
    let ahead = ["unshare", "--time", "--fork", "--kill-child", "--monotonic", "86400"];
    let ahead = [&ahead[..], &["--boottime", "86400"]].concat();
    if !may(&ahead, base.as_ref()) {
        return;
    }
    let url = format!("mq://{}", unique("held.day"));
    let endpoint = anyipc::create(&url[..]).unwrap();
    let mut queue = endpoint.queue().unwrap();
    queue.send(0, b"theirs").unwrap();
    let job = queue.try_lease(HOUR).unwrap();
    queue.send_after(HOUR, 0, b"in an hour").unwrap();
    let mut child = spawn_under(&ahead, base.as_ref(), &format!("ahead {url}"));
    child.expect("sent");
    assert_eq!(queue.recv_timeout(LONG).unwrap().1, b"soon");
    is_empty(&mut queue);
    let status = queue.status().unwrap();
    assert_eq!((status.leased, status.delayed), (2, 2));
    job.ack().unwrap();
    child.say("go on");
    child.expect("done");
    child.finish();
}
