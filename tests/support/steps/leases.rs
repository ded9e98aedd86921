//! Operations of jobs: lease, acknowledge, give back, send later, bury.

use std::time::{Duration, Instant};

use anyipc::{Endpoint, Queue};

use super::{Round, Victim, begin, end, explore, left};
use crate::support::random::Random;

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("lease", |words| {
        let (_owner, mut queue) = open(words);
        begin();
        let _job = queue.lease(LONG).unwrap();
        end();
    }),
    ("ack", |words| {
        let (_owner, mut queue) = open(words);
        let job = queue.lease(LONG).unwrap();
        begin();
        job.ack().unwrap();
        end();
    }),
    ("drop-job", |words| {
        let (_owner, mut queue) = open(words);
        let job = queue.lease(LONG).unwrap();
        begin();
        drop(job);
        end();
    }),
    ("retry", |words| {
        let (_owner, mut queue) = open(words);
        let job = queue.lease(LONG).unwrap();
        begin();
        job.retry_after(SHORT).unwrap();
        end();
    }),
    ("extend", |words| {
        let (_owner, mut queue) = open(words);
        let mut job = queue.lease(SHORT).unwrap();
        begin();
        job.extend(LONG).unwrap();
        end();
    }),
    ("give-away", |words| {
        let (_owner, mut queue) = open(words);
        let job = queue.lease(SHORT).unwrap();
        begin();
        job.detach().unwrap();
        end();
    }),
    ("send-after", |words| {
        let (_owner, mut queue) = open(words);
        begin();
        queue.send_after(SHORT, 0, &later(words[1].as_bytes()[0])).unwrap();
        end();
    }),
    ("bury", |words| {
        let (_owner, mut queue) = open(words);
        begin();
        assert!(queue.try_recv().is_err());
        end();
    }),
];

/// For what must come; how soon, `Round::in_time` judges.
const PATIENCE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

fn open(words: &[&str]) -> (Endpoint, Queue) {
    let owner = anyipc::open(words[0]).unwrap();
    let queue = owner.queue().unwrap();
    (owner, queue)
}

/// The message of several chunks that a victim sends with a delay.
fn later(byte: u8) -> Vec<u8> {
    vec![byte; 300]
}

/// Every operation, on a queue that holds messages back already, and on one that begins to.
pub(crate) fn survive(random: &mut Random) {
    let url = "mq://steps?capacity=8KiB&priorities=2";
    for operation in ["lease", "ack", "drop-job", "retry", "extend", "give-away"] {
        explore(&format!("jobs, {operation}"), random, |round| job(round, url, operation, true));
    }
    for operation in ["lease", "ack"] {
        explore(&format!("jobs, {operation} that stands still"), random, |round| {
            stopped(round, url, operation);
        });
    }
    explore("jobs, first lease", random, |round| job(round, url, "lease", false));
    explore("jobs, first delay", random, |round| send_after(round, url));
    explore("jobs, bury", random, bury);
    assert_eq!(left(), [""; 0]);
}

/// A message, and the times that it was leased.
type Done = (Vec<u8>, u32);

/// Does all jobs, until the queue has none: neither now, nor later.
#[track_caller]
fn work(queue: &mut Queue) -> Vec<Done> {
    let start = Instant::now();
    let mut done = Vec::new();
    loop {
        while let Ok(job) = queue.try_lease(LONG) {
            done.push((job.message().to_vec(), job.attempts()));
            job.ack().unwrap();
        }
        let status = queue.status().unwrap();
        if status.messages + status.leased + status.delayed == 0 {
            assert_eq!(status.bytes, 0);
            return done;
        }
        assert!(start.elapsed() < PATIENCE, "{status:?}");
        std::thread::yield_now();
    }
}

/// The queue has all its room.
fn has_room(queue: &mut Queue) {
    for _ in 0..64 {
        queue.try_send(0, b"room").unwrap();
    }
    assert_eq!(queue.purge().unwrap(), 64);
}

fn job(round: &mut Round<'_>, url: &str, operation: &str, begun: bool) {
    let owner = anyipc::create(url).unwrap();
    let mut queue = owner.queue().unwrap();
    if begun {
        queue.send(0, b"before").unwrap();
        queue.lease(LONG).unwrap().ack().unwrap();
    }
    let number = round.number;
    let [first, second, third] = [[number; 200], [!number; 200], [number ^ 1; 200]];
    queue.send(1, &first).unwrap();
    queue.send(0, &second).unwrap();
    queue.send(0, &third).unwrap();
    let ended = round.kill(&format!("{operation} {url}"));
    let mut done = work(&mut queue);
    round.in_time();
    let came_back = done.iter().position(|(message, _)| *message == first);
    let attempts = came_back.map(|at| done.remove(at).1);
    assert_eq!(done, [(second.to_vec(), 1), (third.to_vec(), 1)]);
    match (operation, attempts) {
        ("ack", None) => {}
        ("ack", Some(attempts)) => assert!(attempts == 2 && !ended, "it was acknowledged"),
        ("lease", Some(1)) => assert!(!ended, "it was leased"),
        (_, attempts) => assert_eq!(attempts, Some(2), "a job is lost, or its attempt"),
    }
    has_room(&mut queue);
    owner.close().unwrap();
    drop(queue);
    assert_eq!(left(), [""; 0]);
}

/// Another worker goes on beside one that stands still.
fn stopped(round: &mut Round<'_>, url: &str, operation: &str) {
    let owner = anyipc::create(url).unwrap();
    let mut queue = owner.queue().unwrap();
    let jobs = [[round.number; 200], [!round.number; 200]];
    jobs.iter().for_each(|job| queue.send(0, job).unwrap());
    round.start(&format!("{operation} {url}"));
    round.ready();
    let beside = round.stand(|| {
        let moment = Duration::from_millis(2);
        queue.lease_timeout(LONG, moment).ok().map(|job| job.message().to_vec())
    });
    let mut done = work(&mut queue);
    // What we had was given back: but for the attempt it is as before.
    done.sort_unstable();
    let expected = |first: Option<u32>, other: u32| {
        let first = first.map(|attempts| (jobs[0].to_vec(), attempts));
        let mut all: Vec<Done> = first.into_iter().chain([(jobs[1].to_vec(), other)]).collect();
        all.sort_unstable();
        all
    };
    let all = match (operation, beside) {
        ("ack", Some(_)) => expected(None, 2),
        ("ack", None) => expected(None, 1),
        // The victim got what we had given back.
        (_, Some(message)) if message == jobs[0] => expected(Some(3), 1),
        (_, Some(_)) => expected(Some(2), 2),
        (_, None) => expected(Some(2), 1),
    };
    assert_eq!(done, all);
}

fn send_after(round: &mut Round<'_>, url: &str) {
    let owner = anyipc::create(url).unwrap();
    let mut queue = owner.queue().unwrap();
    queue.send(0, b"before").unwrap();
    let ended = round.kill(&format!("send-after {url} {}", round.number));
    let done = work(&mut queue);
    round.in_time();
    let new = later(round.number.to_string().as_bytes()[0]);
    let all = [(b"before".to_vec(), 1), (new, 1)];
    assert!(done == all || done == all[..1] && !ended, "{done:?}");
    has_room(&mut queue);
}

/// A message without an attempt left moves to the queue for dead ones: never to none.
fn bury(round: &mut Round<'_>) {
    let (url, to) = ("mq://steps?capacity=8KiB&attempts=1&dead=mq://dead", "mq://dead");
    let owner = anyipc::create(url).unwrap();
    let dead = anyipc::create(format!("{to}?capacity=8KiB")).unwrap();
    let (mut queue, mut buried) = (owner.queue().unwrap(), dead.queue().unwrap());
    let message = [round.number; 200];
    queue.send(0, &message).unwrap();
    queue.lease(LONG).unwrap().retry_after(Duration::ZERO).unwrap();
    round.kill(&format!("bury {url}"));
    assert_eq!(work(&mut queue), []);
    let mut found = 0;
    while let Ok((_, got)) = buried.try_recv() {
        assert_eq!(got, message);
        found += 1;
    }
    round.in_time();
    assert!((1..=2).contains(&found), "{found} of a dead message");
    has_room(&mut queue);
    has_room(&mut buried);
}
