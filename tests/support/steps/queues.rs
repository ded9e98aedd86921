//! Operations of queues: a handle, push, pop.

use std::thread;
use std::time::Duration;

use anyipc::{Endpoint, ErrorKind, Queue};

#[cfg(feature = "tokio")]
use super::as_task;
use super::{Round, TASK, Victim, WAITS, asleep, begin, end, explore, left, number};
use crate::support::random::Random;

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("handle", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        begin();
        let _queue = opened.queue().unwrap();
        end();
    }),
    ("drop-handle", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let queue = opened.queue().unwrap();
        begin();
        drop(queue);
        end();
    }),
    ("push", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let mut queue = opened.queue().unwrap();
        let (priority, message) = pushed(number(words[1]) as u32, number(words[2]) as u8);
        begin();
        queue.send(priority, &message).unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("pop-as-task", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        as_task(async {
            let mut queue = opened.queue().unwrap().into_async().unwrap();
            begin();
            queue.recv().await.unwrap();
            end();
        });
    }),
    #[cfg(feature = "tokio")]
    ("push-as-task", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let (priority, message) = pushed(number(words[1]) as u32, number(words[2]) as u8);
        as_task(async {
            let mut queue = opened.queue().unwrap().into_async().unwrap();
            begin();
            queue.send(priority, &message).await.unwrap();
            end();
        });
    }),
    ("pop", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let mut queue = opened.queue().unwrap();
        begin();
        queue.recv().unwrap();
        end();
    }),
];

type Message = (u32, Vec<u8>);

/// For what must come; how soon, `Round::in_time` judges.
const LONG: Duration = Duration::from_secs(20);
/// Handles of one queue at a time.
const HANDLES: usize = 256;
/// Short messages for which the queues here have room.
const ROOM: u64 = 32;
/// The same of the kernel's queues.
const KERNELS_ROOM: u64 = 10;

/// The message of several chunks that a victim pushes.
fn pushed(priority: u32, round: u8) -> Message {
    (priority, vec![round; 300])
}

/// Survivors that share the queues.
pub(crate) const SHARES: usize = 3;

/// Every operation on the queues of this share.
pub(crate) fn survive(share: usize, random: &mut Random) {
    let kinds = [
        ("plain queue", "capacity=4KiB&wait=block"),
        ("queue of priorities", "capacity=4KiB&wait=block&priorities=3"),
    ];
    if let Some((kind, query)) = kinds.get(share) {
        let url = format!("mq://steps?{query}");
        let owner = anyipc::create(&url).unwrap();
        let mut run = |operation: &str, round: &mut dyn FnMut(&mut Round<'_>)| {
            explore(&format!("{kind}, {operation}"), random, round);
        };
        let top = if kind.starts_with("plain") { 0 } else { 2 };
        run("handle", &mut |round| handle(round, &owner, &format!("handle {url}")));
        run("drop of a handle", &mut |round| handle(round, &owner, &format!("drop-handle {url}")));
        for priority in (0..=top).step_by(2) {
            run("push", &mut |round| push(round, &owner, &url, priority, top));
        }
        run("push to a sleeper", &mut |round| push_to_sleeper(round, &owner, &url));
        run("pop", &mut |round| pop(round, &owner, &format!("pop {url}"), top));
        run("pop from a sleeper", &mut |round| pop_from_sleeper(round, &owner, &url));
        run("push that stands still", &mut |round| push_stopped(round, &owner, &url));
        run("pop that stands still", &mut |round| pop_stopped(round, &owner, &url));
        for how in WAITS {
            run(&format!("push{how} that waits"), &mut |round| {
                push_that_waits(round, &owner, &url, how);
            });
            run(&format!("pop{how} that waits"), &mut |round| {
                pop_that_waits(round, &owner, &url, how);
            });
        }
        owner.close().unwrap();
        assert_eq!(left(), [""; 0]);
        return;
    }
    let url = "mq://steps?capacity=4KiB&full=drop-old&priorities=2";
    let owner = anyipc::create(url).unwrap();
    explore("dropping queue, push", random, |round| push_to_full(round, &owner, url));
    owner.close().unwrap();
    assert_eq!(left(), [""; 0]);
    let url = "mq://steps?capacity=4KiB&persist=true&priorities=3";
    anyipc::create(url).unwrap().close().unwrap();
    for operation in ["open", "handle", "push", "pop"] {
        explore(&format!("persistent queue, {operation}"), random, |round| {
            persistent(round, url, operation);
        });
    }
    anyipc::Registry::global().remove(url, false).unwrap();
    assert_eq!(left(), [""; 0]);
    if cfg!(feature = "posix-queue") {
        of_the_kernel(random);
    }
}

/// The kernel's queues: their names are the kernel's, too, and outlive all processes.
fn of_the_kernel(random: &mut Random) {
    crate::support::schemes::room_for_kernel_queues();
    let url = format!(
        "posix-mq://steps.{}?capacity={}&create=open_or_create",
        std::process::id(),
        300 * KERNELS_ROOM
    );
    for (operation, victim) in [("create", "create"), ("last close", "detach")] {
        explore(&format!("kernel's queue, {operation}"), random, |round| {
            round.kill(&format!("{victim} {url}"));
            let owner = anyipc::create(&url).unwrap();
            assert_eq!(drain(&mut owner.queue().unwrap()), []);
            owner.close().unwrap();
            round.in_time();
            assert_eq!(left(), [""; 0]);
        });
    }
    let owner = anyipc::create(&url).unwrap();
    for operation in ["open", "detach", "handle"] {
        explore(&format!("kernel's queue, {operation}"), random, |round| {
            let before = left();
            round.kill(&format!("{operation} {url}"));
            assert_eq!(drain(&mut owner.queue().unwrap()), []);
            round.in_time();
            assert_eq!(left(), before);
        });
    }
    explore("kernel's queue, push", random, |round| push(round, &owner, &url, 0, 0));
    explore("kernel's queue, pop", random, |round| pop(round, &owner, &format!("pop {url}"), 0));
    owner.close().unwrap();
    assert_eq!(left(), [""; 0]);
}

/// The messages before the victim's operation, in the order in which they are received.
fn fill(queue: &mut Queue, top: u32) -> Vec<Message> {
    let mut messages: Vec<Message> =
        (0..4u8).map(|i| (u32::from(i) * top / 3, vec![i; 9])).collect();
    messages.iter().for_each(|(priority, message)| queue.try_send(*priority, message).unwrap());
    messages.sort_by_key(|message| std::cmp::Reverse(message.0));
    messages
}

/// Everything that is in the queue. It must be empty then, and have all its room.
fn drain(queue: &mut Queue) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Ok(message) = queue.recv_timeout(Duration::ZERO) {
        messages.push(message);
    }
    let status = queue.status().unwrap();
    assert_eq!((status.messages, status.bytes), (0, 0));
    let room = if queue.address().scheme() == "mq" { ROOM } else { KERNELS_ROOM };
    for _ in 0..room {
        queue.send_timeout(0, b"room", LONG).unwrap();
    }
    assert_eq!(queue.len().unwrap(), room);
    for _ in 0..room {
        assert_eq!(queue.try_recv().unwrap(), (0, b"room".to_vec()));
    }
    messages
}

/// What a queue has after a push that may have returned.
fn is_pushed(got: &[Message], mut before: Vec<Message>, new: Message, ended: bool) {
    if got == before {
        assert!(!ended, "the push had returned");
        return;
    }
    let place = before.iter().position(|message| message.0 < new.0).unwrap_or(before.len());
    before.insert(place, new);
    assert_eq!(got, before);
}

fn is_popped(got: &[Message], before: &[Message], ended: bool) {
    assert!(got == &before[1..] || got == before && !ended, "{got:?}");
}

fn handle(round: &mut Round<'_>, owner: &Endpoint, victim: &str) {
    let before = left();
    round.kill(victim);
    let handles: Vec<Queue> = (0..HANDLES).map(|_| owner.queue().unwrap()).collect();
    round.in_time();
    drop(handles);
    drain(&mut owner.queue().unwrap());
    assert_eq!(left(), before);
}

fn push(round: &mut Round<'_>, owner: &Endpoint, url: &str, priority: u32, top: u32) {
    let mut queue = owner.queue().unwrap();
    let before = fill(&mut queue, top);
    let ended = round.kill(&format!("push {url} {priority} {}", round.number));
    let got = drain(&mut queue);
    round.in_time();
    is_pushed(&got, before, pushed(priority, round.number), ended);
}

fn pop(round: &mut Round<'_>, owner: &Endpoint, victim: &str, top: u32) {
    let mut queue = owner.queue().unwrap();
    let before = fill(&mut queue, top);
    let ended = round.kill(victim);
    let got = drain(&mut queue);
    round.in_time();
    is_popped(&got, &before, ended);
}

/// The survivor sleeps in a receive while the victim sends to it.
fn push_to_sleeper(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let (mut queue, mut other) = (owner.queue().unwrap(), owner.queue().unwrap());
    let before = left();
    let last = (0, b"last".to_vec());
    thread::scope(|scope| {
        round.start(&format!("push {url} 0 {}", round.number));
        round.ready();
        let sleeper = asleep(scope, || queue.recv_timeout(LONG).unwrap());
        round.go();
        let ended = round.dead();
        other.send(last.0, &last.1).unwrap();
        let first = sleeper.join().unwrap();
        let rest = drain(&mut other);
        round.in_time();
        let got = [vec![first], rest].concat();
        is_pushed(&got[..got.len() - 1], Vec::new(), pushed(0, round.number), ended);
        assert_eq!(got.last(), Some(&last));
    });
    assert_eq!(left(), before);
}

/// What others do beside a process that stands still: what they received, and whether they sent.
fn beside(queue: &mut Queue) -> (Option<Message>, bool) {
    let moment = Duration::from_millis(5);
    let none_yet = |error: anyipc::Error| assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let sent = queue.send_timeout(0, b"beside", moment).map_err(none_yet).is_ok();
    let got = queue.recv_timeout(moment).map_err(none_yet).ok();
    assert!(queue.len().unwrap() <= 6);
    (got, sent)
}

/// Each message was received once: those before, the victim's, and the one from beside.
fn all_once(mut got: Vec<Message>, mut all: Vec<Message>, beside: (Option<Message>, bool)) {
    got.extend(beside.0);
    all.extend(beside.1.then(|| (0, b"beside".to_vec())));
    got.sort_unstable();
    all.sort_unstable();
    assert_eq!(got, all);
}

fn push_stopped(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let mut queue = owner.queue().unwrap();
    let mut all = fill(&mut queue, 0);
    round.start(&format!("push {url} 0 {}", round.number));
    round.ready();
    let beside = round.stand(|| beside(&mut queue));
    all.push(pushed(0, round.number));
    all_once(drain(&mut queue), all, beside);
}

fn pop_stopped(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let mut queue = owner.queue().unwrap();
    let mut all = fill(&mut queue, 0);
    round.start(&format!("pop {url}"));
    round.ready();
    let beside = round.stand(|| beside(&mut queue));
    // The victim got one of the first two, we may have got the other one.
    let mut got = drain(&mut queue);
    got.extend(beside.0.clone());
    let taken = all.iter().position(|message| !got.contains(message)).unwrap();
    assert!(taken < 2, "the victim received number {taken}");
    all.remove(taken);
    got.truncate(got.len() - usize::from(beside.0.is_some()));
    all_once(got, all, beside);
}

/// Fills the queue with numbers.
fn full(queue: &mut Queue) -> Vec<Message> {
    let all: Vec<Message> = (0..ROOM).map(|i| (0, i.to_le_bytes().to_vec())).collect();
    all.iter().for_each(|message| queue.try_send(0, &message.1).unwrap());
    assert_eq!(queue.len().unwrap(), ROOM);
    all
}

/// The survivor sleeps for room while the victim makes some.
fn pop_from_sleeper(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let (mut queue, mut other) = (owner.queue().unwrap(), owner.queue().unwrap());
    let before = full(&mut queue);
    thread::scope(|scope| {
        round.start(&format!("pop {url}"));
        round.ready();
        let sleeper = asleep(scope, || queue.send_timeout(0, b"last", LONG).unwrap());
        round.go();
        let ended = round.dead();
        let mut got = Vec::new();
        while got.last().is_none_or(|(_, message)| message != b"last") {
            got.push(other.recv_timeout(LONG).unwrap());
        }
        sleeper.join().unwrap();
        assert_eq!(drain(&mut other), []);
        round.in_time();
        got.pop();
        is_popped(&got, &before, ended);
    });
}

/// The victim waits for room, and the survivor makes some.
fn push_that_waits(round: &mut Round<'_>, owner: &Endpoint, url: &str, how: &str) {
    let mut queue = owner.queue().unwrap();
    let before = full(&mut queue);
    let mut got = Vec::new();
    let victim = format!("push{how} {url} 0 {}", round.number);
    let ended = round.kill_beside(&victim, |round| {
        round.asleep_or_dead();
        while !round.is_dead() {
            if let Ok(message) = queue.recv_timeout(Duration::from_millis(1)) {
                got.push(message);
            }
        }
    });
    got.extend(drain(&mut queue));
    round.in_time();
    is_pushed(&got, before, pushed(0, round.number), ended);
}

/// The victim and another one wait for a message.
fn pop_that_waits(round: &mut Round<'_>, owner: &Endpoint, url: &str, how: &str) {
    let (mut queue, mut other) = (owner.queue().unwrap(), owner.queue().unwrap());
    let before = left();
    thread::scope(|scope| {
        round.start(&format!("pop{how} {url}"));
        round.ready();
        round.go();
        round.asleep_or_dead();
        let sleeper = asleep(scope, || queue.recv_timeout(LONG).unwrap());
        for message in [b"one", b"two"] {
            other.send(0, message).unwrap();
        }
        let ended = round.dead();
        let first = sleeper.join().unwrap();
        let mut got = [vec![first], drain(&mut other)].concat();
        round.in_time();
        got.sort_unstable();
        let taken = 2 - got.len();
        assert!(taken <= 1 && (taken == 1 || !ended), "{got:?}");
        assert!(got.iter().all(|message| message.1 == b"one" || message.1 == b"two"), "{got:?}");
    });
    // A dead task's FIFO stays until the last close, or until its slot is taken again.
    if how != TASK {
        assert_eq!(left(), before);
    }
}

/// The victim drops old messages to make room for its own.
fn push_to_full(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let mut queue = owner.queue().unwrap();
    let before = full(&mut queue);
    let dropped = queue.status().unwrap().dropped;
    let ended = round.kill(&format!("push {url} 1 {}", round.number));
    let counted = queue.status().unwrap().dropped - dropped;
    let mut got = drain(&mut queue);
    round.in_time();
    let new = pushed(1, round.number);
    let is_in = got.first() == Some(&new);
    if is_in {
        got.remove(0);
    }
    assert!(is_in || !ended, "the push had returned");
    let lost = before.len() - got.len();
    assert_eq!(got, before[lost..], "the oldest go first");
    let chunks = new.1.len().div_ceil(128);
    assert!(lost <= chunks && (lost == chunks || !is_in), "{lost} were dropped");
    assert!((lost..=lost + 1).contains(&(counted as usize)), "{counted} drops for {lost}");
}

/// The victim is the queue's only user.
fn persistent(round: &mut Round<'_>, url: &str, operation: &str) {
    let opened = anyipc::open(url).unwrap();
    let before = fill(&mut opened.queue().unwrap(), 2);
    opened.close().unwrap();
    let files = left();
    let ended = round.kill(&format!("{operation} {url} 2 {}", round.number));
    let opened = anyipc::open(url).unwrap();
    let got = drain(&mut opened.queue().unwrap());
    match operation {
        "push" => is_pushed(&got, before, pushed(2, round.number), ended),
        "pop" => is_popped(&got, &before, ended),
        _ => assert_eq!(got, before),
    }
    opened.close().unwrap();
    round.in_time();
    assert_eq!(left(), files);
}
