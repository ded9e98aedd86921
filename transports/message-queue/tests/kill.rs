//! Users of a queue are killed at random instants: what was sent with `Ok` is received exactly
//! once, and no call waits for the dead. `ANYIPC_KILLS` is the number of kills per scene, 50
//! without it.
#![cfg(any(target_os = "linux", windows))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyipc_conformance::victim::kills;
use anyipc_core::{Endpoint as _, Name, ObjectState, Transport};
use anyipc_message_queue::MessageQueue;
use common::{
    Handle, Process, Way, alone, create, drain, failed, name, open, options, recv, role, say, send,
    spawn, try_recv,
};

/// Runs in the child; in the parent it returns at once.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let name = Name::new(&role[1]).unwrap();
    let number = |i: usize| role[i].parse::<u64>().unwrap();
    let endpoint = open(&name);
    let mut queue = endpoint.queue().unwrap();
    match role[0].as_str() {
        // Reports each message before it is sent and after.
        "send" => {
            for i in 0.. {
                say(&format!("{i}"));
                send(&mut queue, way(i), (i % 2) as u32, &message(number(2), i)).unwrap();
                say(&format!("{i} ok"));
            }
        }
        // Sends without reports, so that most kills come during a write.
        "flood" => loop {
            send(&mut queue, Way::Thread, 0, &message(number(2), 3)).unwrap();
        },
        "recv" => loop {
            let (priority, bytes) = recv(&mut queue, way(number(2))).unwrap();
            let (sender, i) = read(&bytes);
            assert_eq!(u64::from(priority), i % 2);
            say(&format!("{sender} {i}"));
        },
        // Receives a message and sends it back.
        "turn" => {
            say("ready");
            loop {
                if let Ok((priority, bytes)) = try_recv(&mut *queue) {
                    send(&mut queue, Way::Thread, priority, &bytes).unwrap();
                }
            }
        }
        other => panic!("no role {other}"),
    }
}

fn way(i: u64) -> Way {
    if i.is_multiple_of(3) { Way::Task } else { Way::Thread }
}

/// Some messages are long, so that a death comes during a copy.
fn message(sender: u64, i: u64) -> Vec<u8> {
    let len = if i.is_multiple_of(3) { 20_000 } else { i as usize % 400 };
    let mut bytes = [sender.to_le_bytes(), i.to_le_bytes()].concat();
    bytes.resize(16 + len, (sender + i) as u8);
    bytes
}

/// The sender's number and the message's own; panics unless the message is whole.
fn read(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (sender, i) = (word(0), word(8));
    assert!(bytes == message(sender, i), "a torn message");
    (sender, i)
}

/// A different instant each time.
fn moment(round: u64) -> Duration {
    Duration::from_micros(round.wrapping_mul(7919) % 6000)
}

/// How many messages of a killed sender must arrive, and how many may.
fn promised(said: &[String]) -> (u64, u64) {
    let begun = said.iter().filter(|line| !line.ends_with("ok")).count() as u64;
    let done = said.iter().filter(|line| line.ends_with("ok")).count() as u64;
    (done, begun)
}

fn start(role: &str, name: &Name, number: u64) -> Process {
    spawn(&format!("{role} {name} {number}"))
}

#[test]
fn what_killed_senders_sent_is_received_exactly_once() {
    let _alone = alone();
    let name = name("senders");
    let owner = create(&name, "priorities=2&capacity=64KiB");
    let mut queue = owner.queue().unwrap();
    for round in 0..kills() {
        let mut child = start("send", &name, round);
        let mut said = vec![child.hear().unwrap()];
        let mut got = BTreeMap::new();
        let mut note = |bytes: &[u8]| {
            let (sender, i) = read(bytes);
            assert_eq!(sender, round);
            assert!(got.insert(i, ()).is_none(), "message {i} came twice");
        };
        // In some rounds the queue is full, and the sender dies in its sleep.
        let end = Instant::now() + moment(round);
        while Instant::now() < end {
            if round % 4 != 0
                && let Ok((_, bytes)) = try_recv(&mut *queue)
            {
                note(&bytes);
            }
        }
        said.extend(child.kill());
        let died = Instant::now();
        while let Ok((_, bytes)) = try_recv(&mut *queue) {
            note(&bytes);
        }
        assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());
        let (done, begun) = promised(&said);
        let received = got.len() as u64;
        assert!((done..=begun).contains(&received), "round {round}: {done}, {received}, {begun}");
        assert!((0..received).all(|i| got.contains_key(&i)), "round {round}: a hole");
        let status = queue.status().unwrap();
        assert_eq!((status.messages, status.bytes, status.dropped), (0, 0, 0));
    }
    fills_up(&mut queue);
}

/// Panics if room was lost.
fn fills_up(queue: &mut Handle) {
    let capacity = queue.status().unwrap().capacity;
    let mut count = 0;
    while queue.try_send(0, &count_bytes(count)).is_ok() {
        count += 1;
    }
    assert_eq!(count, capacity / 128, "room was lost");
    assert_eq!(drain(queue).len() as u64, count);
}

fn count_bytes(count: u64) -> [u8; 8] {
    count.to_le_bytes()
}

#[test]
fn what_killed_receivers_had_not_taken_is_received_by_others() {
    let _alone = alone();
    let name = name("receivers");
    let owner = create(&name, "priorities=2&capacity=64KiB");
    let mut queue = owner.queue().unwrap();
    let (mut next, mut got) = (0, BTreeMap::<u64, u32>::new());
    let mut note = |line: &str| {
        let (_, i) = line.split_once(' ').unwrap();
        *got.entry(i.parse().unwrap()).or_default() += 1;
    };
    for round in 0..kills() {
        let mut child = start("recv", &name, round);
        send(&mut queue, Way::Thread, (next % 2) as u32, &message(7, next)).unwrap();
        next += 1;
        note(&child.hear().unwrap());
        let end = Instant::now() + moment(round);
        while Instant::now() < end {
            if queue.try_send((next % 2) as u32, &message(7, next)).is_ok() {
                next += 1;
            }
        }
        child.kill().iter().for_each(|line| note(line));
        // Room and messages of the dead are available at once.
        let died = Instant::now();
        let left = drain(&mut queue);
        left.iter().for_each(|(_, bytes)| note(&format!("7 {}", read(bytes).1)));
        assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());
    }
    assert!(got.values().all(|times| *times == 1), "a message came twice");
    // Each dead receiver may have taken one message that it did not report.
    let lost = next - got.len() as u64;
    assert!(lost <= kills(), "{lost} messages are lost after {} kills", kills());
    fills_up(&mut queue);
}

#[test]
fn the_others_go_on() {
    others(2);
}

#[test]
fn the_others_of_a_plain_ring_go_on() {
    others(1);
}

/// Many concurrent users, some of which are killed all the time; the others never wait for them.
fn others(priorities: u64) {
    let _alone = alone();
    let name = name("others");
    let owner = create(&name, &format!("priorities={priorities}&capacity=64KiB"));
    let mut queue = owner.queue().unwrap();
    const KEPT: u64 = 50;
    for i in 0..KEPT {
        queue.try_send((i % priorities) as u32, &message(1, i % 2 + 1)).unwrap();
    }
    let mut turning: Vec<Process> = (0..3).map(|_| ready(&name)).collect();
    for round in 0..kills() {
        std::thread::sleep(moment(round));
        let index = (round % 3) as usize;
        let dead = std::mem::replace(&mut turning[index], ready(&name));
        dead.kill();
        // The queue answers at once after each death.
        let start = Instant::now();
        queue.status().unwrap();
        if let Ok((priority, bytes)) = try_recv(&mut *queue) {
            read(&bytes);
            send(&mut queue, Way::Thread, priority, &bytes).unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    let dead = turning.len() as u64 + kills();
    turning.into_iter().for_each(|process| drop(process.kill()));
    let left = drain(&mut queue);
    for (_, bytes) in &left {
        read(bytes);
    }
    // A dead user may have taken a message without sending it back; none made one.
    assert!((KEPT.saturating_sub(dead)..=KEPT).contains(&(left.len() as u64)), "{}", left.len());
    fills_up(&mut queue);
}

fn ready(name: &Name) -> Process {
    let mut process = start("turn", name, 0);
    assert_eq!(process.hear().unwrap(), "ready");
    process
}

#[test]
fn a_persistent_queue_survives_all_its_users() {
    let _alone = alone();
    let name = name("survivor");
    let query = "persist=true&priorities=2&capacity=1MiB";
    drop(create(&name, query));
    let none = options("");
    let mut expected = 0;
    for round in 0..kills() {
        let mut senders: Vec<Process> =
            (0..2).map(|i| start("send", &name, round * 2 + i)).collect();
        let mut said: Vec<Vec<String>> =
            senders.iter_mut().map(|sender| vec![sender.hear().unwrap()]).collect();
        std::thread::sleep(moment(round));
        for (sender, said) in senders.into_iter().zip(&mut said) {
            said.extend(sender.kill());
        }
        let there = MessageQueue.inspect(&name, &none).unwrap();
        assert_eq!(there[0].state, ObjectState::Persistent, "{there:?}");
        let left = open(&name);
        let got = drain(&mut left.queue().unwrap());
        for (i, said) in said.iter().enumerate() {
            let (done, begun) = promised(said);
            let numbers: BTreeMap<u64, ()> = got
                .iter()
                .map(|(_, bytes)| read(bytes))
                .filter(|(sender, _)| *sender == round * 2 + i as u64)
                .map(|(_, i)| (i, ()))
                .collect();
            let received = numbers.len() as u64;
            assert!(
                (done..=begun).contains(&received),
                "round {round}: {done}, {received}, {begun}"
            );
            expected += received;
        }
        assert_eq!(got.len() as u64, expected, "a message came twice");
        expected = 0;
    }
    fills_up(&mut open(&name).queue().unwrap());
    MessageQueue.remove(&name, &none, false).unwrap();
    assert!(MessageQueue.inspect(&name, &none).unwrap().is_empty());
}

#[test]
fn what_does_not_persist_is_reclaimed() {
    let _alone = alone();
    let name = name("reclaimed");
    let none = options("");
    for round in 0..kills().min(20) {
        let owner = create(&name, "capacity=64KiB");
        let flood = start("flood", &name, 0);
        let mut queue = owner.queue().unwrap();
        recv(&mut queue, Way::Task).unwrap();
        drop((queue, owner));
        std::thread::sleep(moment(round));
        flood.kill();
        assert_eq!(MessageQueue.inspect(&name, &none).unwrap()[0].state, ObjectState::Stale);
        match round % 3 {
            0 => drop(failed(MessageQueue.open(&name, &none))),
            1 => MessageQueue.remove(&name, &none, false).unwrap(),
            _ => drop(create(&name, "")),
        }
        assert!(MessageQueue.inspect(&name, &none).unwrap().is_empty());
    }
}

/// The FIFO that a killed task slept on goes with the last holder, or with the next one if that was
/// killed, too. Meanwhile it stays: a FIFO for each participant slot at most.
#[cfg(unix)]
#[test]
fn what_a_killed_task_slept_on_goes_with_the_last_holder() {
    let _alone = alone();
    for persist in ["", "persist=true"] {
        let name = name("fifo");
        let owner = create(&name, persist);
        let path = MessageQueue.inspect(&name, &options("")).unwrap().remove(0).path;
        let (directory, stem) = path.rsplit_once('/').unwrap();
        let stem = stem.split_once('.').unwrap().0;
        let files = || {
            let all = std::fs::read_dir(directory).unwrap().flatten();
            let ours = all.filter(|file| file.file_name().to_string_lossy().starts_with(stem));
            ours.count()
        };
        let sleeper = || {
            // It waits as a task.
            let (before, begin, task) = (files(), Instant::now(), start("recv", &name, 0));
            while files() == before {
                assert!(begin.elapsed() < Duration::from_secs(20), "no FIFO appears");
                std::thread::sleep(Duration::from_millis(1));
            }
            task
        };
        let before = files();
        sleeper().kill();
        assert_eq!(files(), before + 1, "{persist}");
        drop(owner);
        assert_eq!(files(), usize::from(!persist.is_empty()), "{persist}");
        if persist.is_empty() {
            continue;
        }
        sleeper().kill();
        assert_eq!(files(), 2);
        let next = open(&name);
        assert_eq!(files(), 1);
        drop(next);
        MessageQueue.remove(&name, &options(""), false).unwrap();
        assert_eq!(files(), 0);
    }
}
