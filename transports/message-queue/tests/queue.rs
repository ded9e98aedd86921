//! Queues in one process: order, limits, policies, waiting, lifetime.
#![cfg(any(target_os = "linux", windows))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Endpoint as _, ErrorKind, Name, ObjectState, Operation, Role, Transport, Waiter,
};
use anyipc_message_queue::MessageQueue;
use anyipc_os::{Dir, Scope};
use common::{Way, create, drain, failed, name, open, options, queue, recv, send, try_recv};

#[test]
fn the_highest_priority_comes_first_and_in_order() {
    let (_owner, mut queue) = queue("order", "priorities=32");
    for i in 0..200u32 {
        queue.try_send(i * 7 % 32, &i.to_le_bytes()).unwrap();
    }
    let mut got = drain(&mut queue);
    assert_eq!(got.len(), 200);
    let sorted: Vec<_> = {
        let mut all: Vec<_> = (0..200u32).map(|i| (i * 7 % 32, i.to_le_bytes().to_vec())).collect();
        all.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
        all
    };
    assert_eq!(got, sorted);
    got.clear();
    let error = failed(queue.try_send(32, b"x"));
    assert_eq!(error.kind(), ErrorKind::InvalidOption);
    assert!(error.to_string().contains("0 to 31"), "{error}");
}

#[test]
fn every_length_up_to_the_longest() {
    let (_owner, mut queue) = queue("lengths", "capacity=64KiB");
    let longest = usize::try_from(queue.status().unwrap().max_message).unwrap();
    assert!(longest > 60_000);
    for len in (0..600).chain([4096, 10_000, longest - 1, longest]) {
        let message: Vec<u8> = (0..len).map(|i| (i * 31 + len) as u8).collect();
        queue.try_send(0, &message).unwrap();
        assert_eq!(queue.status().unwrap().bytes, len as u64);
        assert!(try_recv(&mut *queue).unwrap() == (0, message), "{len}");
    }
    let error = failed(queue.try_send(0, &vec![0; longest + 1]));
    assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
    assert!(error.to_string().contains("capacity="), "{error}");
}

#[test]
fn a_full_queue_does_what_its_address_says() {
    let fill = |query: &str| {
        let (owner, mut queue) = queue("full", query);
        let mut sent = 0u32;
        while queue.status().unwrap().messages == u64::from(sent) && sent < 1000 {
            if queue.try_send(sent % 2, &sent.to_le_bytes()).is_err() {
                break;
            }
            sent += 1;
        }
        (owner, queue, sent)
    };
    let base = "capacity=1KiB&priorities=2";
    let (_owner, mut queue, sent) = fill(&format!("{base}&full=block"));
    assert_eq!(sent, 8);
    assert_eq!(failed(queue.try_send(0, b"x")).kind(), ErrorKind::WouldBlock);
    let (_owner, mut queue, sent) = fill(&format!("{base}&full=error"));
    assert_eq!(sent, 8);
    assert_eq!(failed(queue.try_send(0, b"x")).kind(), ErrorKind::Full);
    // The ninth was dropped.
    let (_owner, mut queue, sent) = fill(&format!("{base}&full=drop-new"));
    assert_eq!((sent, queue.status().unwrap().dropped), (9, 1));
    let numbers = |got: Vec<(u32, Vec<u8>)>| -> Vec<u8> { got.iter().map(|(_, m)| m[0]).collect() };
    assert_eq!(numbers(drain(&mut queue)), [1, 3, 5, 7, 0, 2, 4, 6]);
    // The oldest of the lowest priority was dropped: the first.
    let (_owner, mut queue, sent) = fill(&format!("{base}&full=drop-old"));
    assert_eq!((sent, queue.status().unwrap().dropped), (9, 1));
    queue.try_send(1, &[9; 200]).unwrap();
    assert_eq!(queue.status().unwrap().dropped, 3);
    assert_eq!(numbers(drain(&mut queue)), [1, 3, 5, 7, 9, 6, 8]);
    // No message is dropped for one of a lower priority.
    for i in 0..8 {
        queue.try_send(1, &[i]).unwrap();
    }
    queue.try_send(0, b"late").unwrap();
    assert_eq!((queue.status().unwrap().dropped, queue.status().unwrap().messages), (4, 8));
}

#[test]
fn purging_leaves_an_empty_queue() {
    let (owner, mut queue) = queue("purge", "capacity=1KiB");
    let mut other = owner.queue().unwrap();
    for round in 0..3 {
        while other.try_send(0, b"x").is_ok() {}
        assert_eq!(queue.purge().unwrap(), 8, "{round}");
        let status = queue.status().unwrap();
        assert_eq!((status.messages, status.bytes), (0, 0));
    }
    assert_eq!(queue.purge().unwrap(), 0);
}

#[test]
fn a_waiter_is_woken() {
    for (sends, receives) in [(Way::Thread, Way::Task), (Way::Task, Way::Thread)] {
        let (owner, mut queue) = queue("wakes", "capacity=1KiB");
        let mut other = owner.queue().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || {
                for i in 0..5000u32 {
                    if i % 1000 == 0 {
                        thread::sleep(Duration::from_millis(2));
                    }
                    send(&mut other, sends, 0, &i.to_le_bytes()).unwrap();
                }
            });
            for i in 0..5000u32 {
                if i % 1000 == 500 {
                    thread::sleep(Duration::from_millis(2));
                }
                assert_eq!(recv(&mut queue, receives).unwrap().1, i.to_le_bytes());
            }
        });
    }
}

/// One sleep each, which a wake-up must end: the sleep's limit is longer than the test allows.
#[test]
fn one_message_ends_one_sleep_of_each_kind() {
    let (owner, mut queue) = queue("ends", "");
    let mut other = owner.queue().unwrap();
    for way in [Way::Thread, Way::Task] {
        assert!(failed(try_recv(&mut *other)).is_would_block());
        let waker = std::task::Waker::noop();
        let half = other.messages();
        let armed = match way {
            Way::Thread => half.arm(Waiter::Thread).unwrap(),
            Way::Task => half.arm(Waiter::Task(waker)).unwrap(),
        };
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(20));
                queue.try_send(0, b"wake up").unwrap();
            });
            match armed {
                Armed::Park => half.park(Duration::from_secs(20)),
                Armed::Source(interest) => {
                    let source = half.source().unwrap();
                    assert!(anyipc_os::sleep(&source, interest, Duration::from_secs(20)));
                }
                other => panic!("{other:?}"),
            }
        });
        assert!(start.elapsed() < Duration::from_secs(10), "no wake-up came");
        assert_eq!(try_recv(&mut *other).unwrap().1, b"wake up");
    }
}

#[test]
fn crowds_lose_nothing_and_duplicate_nothing() {
    crowd(4);
}

#[test]
fn crowds_lose_nothing_and_duplicate_nothing_in_a_plain_ring() {
    crowd(1);
}

fn crowd(priorities: u64) {
    const EACH: u64 = 20_000;
    let (owner, queue) = queue("crowd", &format!("capacity=8KiB&priorities={priorities}"));
    drop(queue);
    let total: u64 = thread::scope(|scope| {
        for sender in 0..4u64 {
            let mut queue = owner.queue().unwrap();
            scope.spawn(move || {
                for i in 0..EACH {
                    let mut message = (sender << 32 | i).to_le_bytes().to_vec();
                    message.resize(8 + (i % 300) as usize, sender as u8);
                    send(&mut queue, Way::Thread, (i % priorities) as u32, &message).unwrap();
                }
            });
        }
        let receivers: Vec<_> = (0..4)
            .map(|receiver| {
                let mut queue = owner.queue().unwrap();
                let way = if receiver % 2 == 0 { Way::Thread } else { Way::Task };
                scope.spawn(move || {
                    // In order per sender and priority.
                    let mut last = [[None; 4]; 4];
                    for _ in 0..EACH {
                        let (priority, message) = recv(&mut queue, way).unwrap();
                        let number = u64::from_le_bytes(message[..8].try_into().unwrap());
                        let (sender, i) = ((number >> 32) as usize, number & 0xffff_ffff);
                        assert_eq!(message.len(), 8 + (i % 300) as usize);
                        assert!(message[8..].iter().all(|byte| *byte == sender as u8));
                        assert_eq!(u64::from(priority), i % priorities);
                        let before = last[sender][priority as usize].replace(i);
                        assert!(before.is_none_or(|before| before < i), "out of order");
                    }
                    EACH
                })
            })
            .collect();
        receivers.into_iter().map(|receiver| receiver.join().unwrap()).sum()
    });
    assert_eq!(total, 4 * EACH);
    let status = owner.queue().unwrap().status().unwrap();
    assert_eq!((status.messages, status.bytes, status.dropped), (0, 0, 0));
}

#[test]
fn handles_are_limited_and_are_given_back() {
    let (owner, first) = queue("handles", "capacity=1KiB");
    let mut handles = vec![first];
    let error = loop {
        match owner.queue() {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
    };
    assert_eq!((handles.len(), error.kind()), (256, ErrorKind::OutOfMemory));
    assert!(error.to_string().contains("256 handles"), "{error}");
    handles.pop();
    drop(owner.queue().unwrap());
    // A handle keeps the queue alive without its endpoint.
    handles[0].try_send(0, b"still here").unwrap();
    MessageQueue.close(owner).unwrap();
    assert_eq!(try_recv(&mut *handles[7]).unwrap().1, b"still here");
}

#[test]
fn what_differs_is_told() {
    let name = name("differs");
    let owner = create(&name, "priorities=4&capacity=64KiB&full=error&max_message=1KiB");
    for (query, words) in [
        ("priorities=5", "priorities=5 was asked for, but the queue has priorities=4"),
        ("capacity=128KiB", "capacity=131072"),
        ("full=block", "full=error"),
        ("persist=true", "persist=false"),
    ] {
        let error = failed(MessageQueue.open(&name, &options(query)));
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        let adopting = options(&format!("{query}&create=open_or_create"));
        assert_eq!(failed(MessageQueue.create(&name, &adopting)).kind(), ErrorKind::Mismatch);
        assert_eq!(failed(MessageQueue.create(&name, &options(query))).kind(), ErrorKind::Exists);
    }
    let same = "priorities=4&capacity=65500&full=error&persist=false&max_message=1KiB";
    MessageQueue.open(&name, &options(same)).unwrap().queue().unwrap();
    // Each side of a channel has its own longest message; a queue has one.
    let other = MessageQueue.open(&name, &options("max_message=2KiB")).unwrap();
    assert_eq!(failed(other.queue()).kind(), ErrorKind::Mismatch);
    assert_eq!(owner.queue().unwrap().status().unwrap().max_message, 1024);
}

#[test]
fn the_last_close_frees() {
    let name = name("last");
    let owner = create(&name, "");
    owner.queue().unwrap().try_send(0, b"gone with the queue").unwrap();
    let opener = open(&name);
    MessageQueue.close(owner).unwrap();
    let queue = opener.queue().unwrap();
    assert_eq!(queue.status().unwrap().messages, 1);
    // A new owner takes over a queue that openers still hold.
    let next = create(&name, "");
    assert_eq!(next.role(), Role::Owner);
    drop((queue, next));
    MessageQueue.close(opener).unwrap();
    assert!(MessageQueue.inspect(&name, &options("")).unwrap().is_empty());
    assert_eq!(failed(MessageQueue.open(&name, &options(""))).kind(), ErrorKind::NotFound);
}

#[test]
fn what_persists_stays_until_it_is_removed() {
    let name = name("persists");
    let query = "persist=true&priorities=2";
    let owner = create(&name, query);
    let mut queue = owner.queue().unwrap();
    queue.try_send(1, b"urgent").unwrap();
    queue.try_send(0, &[7; 5000]).unwrap();
    drop(queue);
    MessageQueue.close(owner).unwrap();
    let state = |name: &Name| {
        MessageQueue.inspect(name, &options("")).unwrap().first().map(|object| object.state)
    };
    assert_eq!(state(&name), Some(ObjectState::Persistent));
    MessageQueue.sweep(&options(""), true).unwrap();
    assert_eq!(failed(MessageQueue.create(&name, &options(query))).kind(), ErrorKind::Exists);
    let opener = open(&name);
    assert_eq!(opener.role(), Role::Opener);
    let adopted = create(&name, &format!("{query}&create=open_or_create"));
    assert_eq!(adopted.role(), Role::Owner);
    let mut queue = adopted.queue().unwrap();
    assert_eq!(queue.status().unwrap().messages, 2);
    assert_eq!(drain(&mut queue), [(1, b"urgent".to_vec()), (0, vec![7; 5000])]);
    assert_eq!(failed(MessageQueue.remove(&name, &options(""), false)).kind(), ErrorKind::Busy);
    drop((queue, adopted, opener));
    MessageQueue.remove(&name, &options(""), false).unwrap();
    assert_eq!(state(&name), None);
}

#[test]
fn a_creation_that_fails_leaves_no_queue_that_persists() {
    let directory = Dir::open(Scope::User, Operation::Open).unwrap().path().to_owned();
    let name = name("fails");
    // No listener can be made there.
    let in_the_way = directory.join(format!("mq+{}.sock", name.os_name()));
    std::fs::create_dir(&in_the_way).unwrap();
    for how in ["new", "open_or_create"] {
        let options = options(&format!("persist=true&create={how}"));
        assert_eq!(failed(MessageQueue.create(&name, &options)).kind(), ErrorKind::Io);
        assert_eq!(failed(MessageQueue.open(&name, &options)).kind(), ErrorKind::NotFound, "{how}");
    }
    std::fs::remove_dir(&in_the_way).unwrap();
    drop(create(&name, "persist=true"));
    MessageQueue.remove(&name, &options(""), false).unwrap();
}
