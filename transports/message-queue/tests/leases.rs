//! Workers die, stop, or are slow: each job is done at least once, and twice only if its
//! first worker did not acknowledge it. `ANYIPC_JOBS` is the number of jobs, 10,000 without it.
#![cfg(any(target_os = "linux", windows))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyipc_core::{Endpoint as _, ErrorKind, Name, Queue, Settle, Transport as _};
use anyipc_message_queue::MessageQueue;
use common::{
    Handle, Process, Way, alone, create, drain, failed, lease, name, open, options, queue, recv,
    role, say, send, settle, spawn, try_lease, try_recv,
};

/// A lease that no test waits for.
const LONG: Duration = Duration::from_secs(3600);
/// A lease that ends within a test.
const SHORT: Duration = Duration::from_millis(30);
/// Within this time after a death its leases have ended.
#[cfg(target_os = "linux")]
const NOTICED: Duration = Duration::from_secs(1);

fn jobs() -> u64 {
    std::env::var("ANYIPC_JOBS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000)
}

/// Runs in the child; in the parent it returns at once.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let endpoint = open(&Name::new(&role[1]).unwrap());
    let mut queue = endpoint.queue().unwrap();
    let way = if std::process::id().is_multiple_of(2) { Way::Thread } else { Way::Task };
    match role[0].as_str() {
        // Does each job, which takes it a millisecond or so.
        "work" => loop {
            let (job, leased) = lease(&mut queue, way, LONG).unwrap();
            say(&format!("got {} {}", number(&job), leased.attempts));
            std::thread::sleep(Duration::from_micros(500 * (number(&job) % 5)));
            settle(&mut queue, leased, Settle::Ack).unwrap();
            say(&format!("done {}", number(&job)));
        },
        // Gives each job back until none is left.
        "spoil" => {
            say("ready");
            loop {
                let (_, leased) = lease(&mut queue, way, LONG).unwrap();
                settle(&mut queue, leased, Settle::Retry(Duration::ZERO)).unwrap();
            }
        }
        // Leases a job for so many milliseconds, and acknowledges it when it is told to.
        "slow" => {
            let time = Duration::from_millis(role[2].parse().unwrap());
            let (_, leased) = lease(&mut queue, way, time).unwrap();
            say("got");
            let go_on = open(&Name::new(&role[3]).unwrap());
            recv(&mut go_on.queue().unwrap(), Way::Thread).unwrap();
            let settled = settle(&mut queue, leased, Settle::Ack);
            say(if settled.is_ok() { "done" } else { "late" });
        }
        "delay" => {
            let time = Duration::from_millis(role[2].parse().unwrap());
            queue.try_send_after(time, 0, b"later").unwrap();
            let (_, leased) = try_lease(&mut *queue, LONG).unwrap();
            say(&format!("{}", leased.id));
        }
        other => panic!("{other}"),
    }
}

fn start(what: &str, name: &Name) -> Process {
    spawn(&format!("{what} {name}"))
}

fn message(i: u64) -> Vec<u8> {
    let mut bytes = i.to_le_bytes().to_vec();
    bytes.resize(8 + i as usize % 300, i as u8);
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    let i = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == message(i), "a torn message");
    i
}

/// Messages in any state.
fn left(queue: &Handle) -> u64 {
    let status = queue.status().unwrap();
    status.messages + status.leased + status.delayed
}

/// What all workers said of one job.
#[derive(Default)]
struct Job {
    /// Leases, and those of them that were acknowledged.
    got: u32,
    done: u32,
    /// The last count of attempts.
    attempts: u32,
}

#[test]
fn no_job_is_lost_while_its_workers_are_killed() {
    let _alone = alone();
    for (priorities, all) in [(1, jobs()), (3, jobs() / 4)] {
        let name = name("workers");
        let owner = create(&name, &format!("priorities={priorities}&capacity=8MiB"));
        let mut queue = owner.queue().unwrap();
        for i in 0..all {
            send(&mut queue, Way::Thread, (i % priorities) as u32, &message(i)).unwrap();
        }
        let mut said: Vec<String> = Vec::new();
        let mut workers: Vec<Process> = (0..4).map(|_| start("work", &name)).collect();
        let (begin, mut kills) = (Instant::now(), 0u32);
        while left(&queue) > 0 {
            assert!(begin.elapsed() < Duration::from_secs(120), "jobs stay: {}", left(&queue));
            std::thread::sleep(Duration::from_millis(50));
            let dead = std::mem::replace(&mut workers[kills as usize % 4], start("work", &name));
            said.extend(dead.kill());
            kills += 1;
        }
        workers.into_iter().for_each(|worker| said.extend(worker.kill()));
        let mut done = BTreeMap::<u64, Job>::new();
        for line in &said {
            let mut words = line.split(' ');
            let what = words.next().unwrap();
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            let job = done.entry(number()).or_default();
            match what {
                "got" => {
                    job.got += 1;
                    job.attempts = job.attempts.max(number() as u32);
                }
                _ => job.done += 1,
            }
        }
        assert_eq!(done.len() as u64, all, "jobs were lost");
        let again = done.values().filter(|job| job.got > 1).count();
        println!("{priorities} priorities: {kills} kills, {again} jobs of {all} came again");
        for (i, job) in &done {
            // Each lease but the last was one that its worker did not acknowledge.
            assert!(job.done <= 1, "job {i} was acknowledged {} times", job.done);
            assert!(job.got <= job.attempts && job.attempts - job.got <= kills, "job {i}");
        }
        assert!(again <= kills as usize + 4, "{again} came again after {kills} deaths");
        fills_up(&mut queue);
    }
}

/// Panics if room was lost.
fn fills_up(queue: &mut Handle) {
    let capacity = queue.status().unwrap().capacity;
    let mut count = 0;
    while queue.try_send(0, b"fill").is_ok() {
        count += 1;
    }
    assert_eq!(count, capacity / 128, "room was lost");
    assert_eq!(drain(queue).len() as u64, count);
}

/// What no worker can do moves to another queue, also while the movers are killed: it is in one of
/// both, or, after a death between, in both.
#[test]
fn no_dead_message_is_lost_while_its_movers_are_killed() {
    let _alone = alone();
    let (name, dead) = (name("spoiled"), name("spoiled-dead"));
    let owner = create(&name, &format!("capacity=1MiB&attempts=2&dead=mq://{dead}"));
    let mut queue = owner.queue().unwrap();
    let all = 2000;
    for i in 0..all {
        send(&mut queue, Way::Thread, 0, &message(i)).unwrap();
    }
    let (begin, mut kills) = (Instant::now(), 0u64);
    while left(&queue) > 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "messages stay: {}", left(&queue));
        let mut spoilers: Vec<_> = (0..2).map(|_| start("spoil", &name)).collect();
        spoilers.iter_mut().for_each(|spoiler| assert!(spoiler.hear().is_some()));
        std::thread::sleep(Duration::from_millis(20 + kills % 17));
        spoilers.into_iter().for_each(|spoiler| drop(spoiler.kill()));
        kills += 2;
    }
    let grave = open(&dead);
    let found = drain(&mut grave.queue().unwrap());
    let mut count = BTreeMap::<u64, u64>::new();
    found.iter().for_each(|(_, bytes)| *count.entry(number(bytes)).or_default() += 1);
    assert_eq!(count.len() as u64, all, "dead messages were lost");
    let more = found.len() as u64 - all;
    assert!(more <= 64 * kills, "{more} messages are there twice after {kills} deaths");
    assert!(queue.status().unwrap().dead >= all);
    drop(grave);
    MessageQueue.remove(&dead, &options(""), false).unwrap();
}

/// A process that was stopped loses its lease by time alone; killed, at once.
#[cfg(target_os = "linux")]
#[test]
fn a_stopped_worker_keeps_its_job_until_its_time_is_over() {
    let _alone = alone();
    let name = (name("stopped-worker"), name("go-on"));
    let (owner, go_on) = (create(&name.0, ""), create(&name.1, ""));
    let mut queue = owner.queue().unwrap();
    for (time, outcome) in [(300, "late"), (3_600_000, "done")] {
        queue.try_send(0, &message(1)).unwrap();
        let mut worker = spawn(&format!("slow {} {time} {}", name.0, name.1));
        assert_eq!(worker.hear().unwrap(), "got");
        let pid = rustix::process::Pid::from_raw(worker.pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
        if outcome == "late" {
            let (_, leased) = lease(&mut queue, Way::Thread, LONG).unwrap();
            assert_eq!(leased.attempts, 2);
            settle(&mut queue, leased, Settle::Ack).unwrap();
        } else {
            let end = Instant::now() + Duration::from_millis(500);
            while Instant::now() < end {
                assert!(failed(try_lease(&mut *queue, LONG)).is_would_block());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        go_on.queue().unwrap().try_send(0, b"go").unwrap();
        assert_eq!(worker.hear().unwrap(), outcome);
        worker.finish();
        assert_eq!(left(&queue), 0);
    }
    // A stopped one that is killed: the kernel says so at once.
    queue.try_send(0, &message(1)).unwrap();
    let mut worker = spawn(&format!("slow {} 3600000 {}", name.0, name.1));
    assert_eq!(worker.hear().unwrap(), "got");
    let pid = rustix::process::Pid::from_raw(worker.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    worker.kill();
    let died = Instant::now();
    let (_, leased) = lease(&mut queue, Way::Task, LONG).unwrap();
    assert!(died.elapsed() < NOTICED, "{:?}", died.elapsed());
    assert_eq!(leased.attempts, 2);
}

/// Queues wake a receiver for what is due, although nobody sends.
#[test]
fn a_waiting_receiver_wakes_when_a_message_is_due() {
    let (owner, mut queue) = queue("due", "");
    let mut other = owner.queue().unwrap();
    for way in [Way::Thread, Way::Task] {
        std::thread::scope(|scope| {
            // The receiver sleeps before there is anything to wait for.
            let waits = scope.spawn(|| recv(&mut queue, way).unwrap().1);
            let begin = Instant::now();
            other.try_send_after(SHORT, 0, b"due").unwrap();
            assert_eq!(waits.join().unwrap(), b"due");
            assert!(begin.elapsed() >= SHORT / 2, "{:?}", begin.elapsed());
        });
        other.try_send(0, b"job").unwrap();
        let (_, leased) = try_lease(&mut *other, LONG).unwrap();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| recv(&mut queue, way).unwrap().1);
            settle(&mut other, leased, Settle::Retry(SHORT)).unwrap();
            assert_eq!(waits.join().unwrap(), b"job");
        });
    }
}

#[test]
fn leased_messages_take_room_until_they_are_acknowledged() {
    let (owner, mut queue) = queue("full", "capacity=1KiB");
    let mut other = owner.queue().unwrap();
    for i in 0..8 {
        queue.try_send(0, &message(i)[..8]).unwrap();
    }
    let leased: Vec<_> = (0..8).map(|_| try_lease(&mut *queue, LONG).unwrap().1).collect();
    let full = |queue: &mut dyn Queue| failed(queue.try_send(0, b"no room")).is_would_block();
    assert!(full(&mut *queue) && failed(queue.try_send_after(LONG, 0, b"")).is_would_block());
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| send(&mut other, Way::Thread, 0, b"room").unwrap());
        settle(&mut queue, leased[3], Settle::Ack).unwrap();
        sends.join().unwrap();
    });
    assert!(full(&mut *queue));
    // With drop-old only what can be received is dropped.
    let (_owner, mut queue) = common::queue("full-drop", "capacity=1KiB&full=drop-old");
    for i in 0..8 {
        queue.try_send(0, &message(i)[..8]).unwrap();
    }
    let leased = try_lease(&mut *queue, LONG).unwrap().1;
    (0..20).for_each(|_| queue.try_send(0, b"new").unwrap());
    let status = queue.status().unwrap();
    assert_eq!((status.messages, status.leased, status.dropped), (7, 1, 20));
    settle(&mut queue, leased, Settle::Ack).unwrap();
}

/// What a status says is so at the time of the call, and no receiver has to look before.
#[test]
fn a_status_counts_what_is_due_and_what_the_dead_had() {
    let _alone = alone();
    let (name, go_on) = (name("status"), name("status-go"));
    let _go_on = create(&go_on, "");
    let owner = create(&name, "priorities=2&attempts=2");
    let mut queue = owner.queue().unwrap();
    let status = |queue: &Handle| {
        let status = queue.status().unwrap();
        (status.messages, status.leased, status.delayed)
    };
    let until = |what: &str, queue: &Handle, is: (u64, u64, u64)| {
        let begin = Instant::now();
        while status(queue) != is {
            assert!(begin.elapsed() < Duration::from_secs(20), "{what}: {:?}", status(queue));
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    for (priority, time) in [(0, SHORT), (1, LONG), (1, SHORT), (0, Duration::ZERO)] {
        queue.try_send_after(time, priority, b"later").unwrap();
    }
    until("delays", &queue, (3, 0, 1));
    let leased = try_lease(&mut *queue, LONG).unwrap().1;
    assert_eq!(status(&queue), (2, 1, 1));
    settle(&mut queue, leased, Settle::Extend(SHORT)).unwrap();
    until("the end of a lease", &queue, (3, 0, 1));
    assert_eq!(queue.purge().unwrap(), 4);
    queue.try_send(0, &message(1)).unwrap();
    // At the last attempt it is dead: a receiver drops it, until then it is no message.
    for is in [(1, 0, 0), (0, 1, 0)] {
        let mut worker = spawn(&format!("slow {name} 3600000 {go_on}"));
        assert_eq!(worker.hear().unwrap(), "got");
        assert_eq!(status(&queue), (0, 1, 0));
        worker.kill();
        assert_eq!(status(&queue), is);
    }
    assert!(failed(try_recv(&mut *queue)).is_would_block());
    assert_eq!((status(&queue), queue.status().unwrap().dead), ((0, 0, 0), 1));
}

#[test]
fn without_a_queue_for_them_dead_messages_are_dropped_and_counted() {
    let (_owner, mut queue) = queue("spent", "attempts=2");
    queue.try_send(0, b"hard").unwrap();
    for attempt in 1..=2 {
        let (_, leased) = try_lease(&mut *queue, LONG).unwrap();
        assert_eq!(leased.attempts, attempt);
        // A spent message need not wait.
        let delay = if attempt == 1 { Duration::ZERO } else { LONG };
        settle(&mut queue, leased, Settle::Retry(delay)).unwrap();
    }
    assert!(failed(try_recv(&mut *queue)).is_would_block());
    let status = queue.status().unwrap();
    assert_eq!((status.messages + status.leased + status.delayed, status.dead), (0, 1));
    fills_up(&mut queue);
}

#[test]
fn a_dead_message_stays_until_its_queue_takes_it() {
    let dead = name("grave");
    let grave = create(&dead, "capacity=1KiB&full=error");
    let mut grave = grave.queue().unwrap();
    (0..8).for_each(|_| grave.try_send(0, b"full").unwrap());
    let (_owner, mut queue) = queue("dying", &format!("attempts=1&priorities=2&dead=mq://{dead}"));
    queue.try_send(1, b"hard").unwrap();
    let (_, leased) = try_lease(&mut *queue, LONG).unwrap();
    settle(&mut queue, leased, Settle::Retry(LONG)).unwrap();
    assert!(failed(try_lease(&mut *queue, LONG)).is_would_block());
    let status = queue.status().unwrap();
    assert_eq!((status.delayed, status.dead), (1, 0), "it waits for room");
    assert_eq!(drain(&mut grave).len(), 8);
    let begin = Instant::now();
    while left(&queue) > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "it did not move");
        assert!(failed(try_lease(&mut *queue, LONG)).is_would_block());
        std::thread::sleep(Duration::from_millis(20));
    }
    // Its priority is one that the other queue has.
    assert_eq!(try_recv(&mut *grave).unwrap(), (0, b"hard".to_vec()));
    assert_eq!(queue.status().unwrap().dead, 1);
}

/// Delays and leases that no process has stay with the messages, and run on meanwhile.
#[test]
fn a_persistent_queue_keeps_delays_and_leases() {
    let _alone = alone();
    let name = name("kept");
    let owner = create(&name, "persist=true");
    owner.queue().unwrap().try_send(0, b"held").unwrap();
    let begin = Instant::now();
    drop(owner);
    let said = spawn(&format!("delay {name} 300")).finish();
    // Nobody has the queue now; its next user repairs it.
    let owner = open(&name);
    let mut queue = owner.queue().unwrap();
    // The holder is gone.
    let (message, leased) = lease(&mut queue, Way::Thread, LONG).unwrap();
    assert_eq!((&message[..], leased.attempts), (&b"held"[..], 2));
    settle(&mut queue, leased, Settle::Detach).unwrap();
    assert_eq!(recv(&mut queue, Way::Task).unwrap().1, b"later");
    assert!(begin.elapsed() >= Duration::from_millis(290), "{:?}", begin.elapsed());
    drop((queue, owner));
    let owner = open(&name);
    let mut queue = owner.queue().unwrap();
    assert!(failed(try_lease(&mut *queue, LONG)).is_would_block());
    let over = queue.leases().unwrap().settle(said[0].parse().unwrap(), Settle::Ack);
    assert_eq!(failed(over).kind(), ErrorKind::NotFound);
    settle(&mut queue, leased, Settle::Ack).unwrap();
    assert_eq!(left(&queue), 0);
    drop((queue, owner));
    MessageQueue.remove(&name, &options(""), false).unwrap();
}

#[test]
fn options_of_dead_messages_are_checked() {
    let name = name("options");
    let create = |query: &str| MessageQueue.create(&name, &options(query));
    let bad = [
        "dead=mq://x",
        "attempts=0",
        "attempts=32768",
        "attempts=1&dead=x",
        "attempts=1&dead=mq://x?a=b",
        "attempts=1&dead=shm://x",
        "attempts=1&dead=mq://",
    ];
    for query in bad {
        assert_eq!(failed(create(query)).kind(), ErrorKind::InvalidOption, "{query}");
    }
    let itself = format!("attempts=1&dead=mq://{name}");
    assert_eq!(failed(create(&itself)).kind(), ErrorKind::InvalidOption);
    let _owner = create("attempts=3&dead=mq://x").unwrap();
    let open = |query: &str| MessageQueue.open(&name, &options(query));
    for query in ["attempts=2", "dead=mq://y"] {
        assert_eq!(failed(open(query)).kind(), ErrorKind::Mismatch, "{query}");
    }
    open("attempts=3&dead=mq://x").unwrap();
}
