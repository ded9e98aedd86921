//! A sender that is faster than the receiver, under each `full=`: each message is received or
//! counted, and memory does not grow.
#![cfg(any(target_os = "linux", windows))]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]

mod common;

use anyipc_core::{Endpoint as _, ErrorKind, Name};
use common::{Way, create, name, open, recv, role, say, send, spawn};

const MESSAGES: u64 = 100_000;

/// Runs in the child: sends, then reports how many. In the parent it returns at once.
#[test]
fn child() {
    let Some(role) = role() else { return };
    let endpoint = open(&Name::new(&role[1]).unwrap());
    let mut queue = endpoint.queue().unwrap();
    let mut sent = 0u64;
    for i in 0..MESSAGES {
        match send(&mut queue, Way::Thread, (i % 2) as u32, &i.to_le_bytes()) {
            Ok(()) => sent += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
        }
    }
    send_end(&mut queue);
    say(&format!("{sent}"));
}

/// A message that must not be dropped.
fn send_end(queue: &mut common::Handle) {
    loop {
        let status = queue.status().unwrap();
        if status.messages == 0 {
            return send(queue, Way::Thread, 0, b"").unwrap();
        }
        std::thread::yield_now();
    }
}

/// Bytes of private memory of this process; 0 where the system does not tell.
fn resident() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return 0 };
    let line = status.lines().find(|line| line.starts_with("RssAnon")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn slow_reader(full: &str) {
    let name = name(full);
    let owner = create(&name, &format!("full={full}&capacity=16KiB&priorities=2"));
    let mut queue = owner.queue().unwrap();
    let child = spawn(&format!("send {name}"));
    let (mut received, mut before, mut last) = (0u64, 0, [None; 2]);
    loop {
        let (priority, message) = recv(&mut queue, Way::Thread).unwrap();
        let Some(bytes) = message.first_chunk() else { break };
        let i = u64::from_le_bytes(*bytes);
        let earlier = last[priority as usize].replace(i);
        assert!(earlier.is_none_or(|earlier| earlier < i), "out of order");
        received += 1;
        if received == 1000 {
            before = resident();
        }
        // A slow receiver.
        (0..200).for_each(|_| std::hint::spin_loop());
        if received.is_multiple_of(64) {
            std::thread::yield_now();
        }
    }
    let said = child.finish();
    let sent: u64 = said.first().unwrap().parse().unwrap();
    let dropped = queue.status().unwrap().dropped;
    assert_eq!(sent, received + dropped, "{full}: {received} received, {dropped} dropped");
    match full {
        "block" => assert_eq!((sent, dropped), (MESSAGES, 0)),
        "error" => assert_eq!(dropped, 0),
        _ => assert_eq!(sent, MESSAGES),
    }
    if before > 0 {
        assert!(resident() < before + (1 << 20), "memory grows");
    }
}

#[test]
fn block_waits() {
    slow_reader("block");
}

#[test]
fn error_refuses() {
    slow_reader("error");
}

#[test]
fn drop_old_counts() {
    slow_reader("drop-old");
}

#[test]
fn drop_new_counts() {
    slow_reader("drop-new");
}
