//! Orderly ends over real connections: what was sent arrives, then `Closed`, whatever is unread in
//! the other direction.
#![cfg(any(target_os = "linux", target_os = "macos", windows))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::thread;
use std::time::Duration;

use anyipc_core::{Endpoint as _, ErrorKind, Transport};
use anyipc_socket::{Local, StreamEndpoint, Tcp};
use common::{Channel, any_port, failed, hello, meet, name, options, recv, send};

fn endpoints(scheme: &str) -> (StreamEndpoint, StreamEndpoint) {
    if scheme == "tcp" {
        let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
        let opener = Tcp.open(&owner.local_name().unwrap(), &options(&Tcp, &[])).unwrap();
        return (owner, opener);
    }
    let name = name("close");
    let owner = Local.create(&name, &options(&Local, &[])).unwrap();
    (owner, Local.open(&name, &options(&Local, &[])).unwrap())
}

fn channel(scheme: &str, owner: &StreamEndpoint, opener: &StreamEndpoint) -> (Channel, Channel) {
    thread::scope(|scope| {
        let there = scope.spawn(|| meet(opener, hello(scheme)).unwrap());
        (meet(owner, hello(scheme)).unwrap(), there.join().unwrap())
    })
}

fn message(i: usize) -> Vec<u8> {
    vec![i as u8; if i.is_multiple_of(5) { 50_000 } else { i * 31 % 2000 }]
}

/// One side sends, and leaves with a hundred unread messages in its queues. The other one reads at
/// once, or later.
fn leave_with_unread_messages(scheme: &str, rounds: usize) {
    let (owner, opener) = endpoints(scheme);
    for round in 0..rounds {
        let (ours, theirs) = channel(scheme, &owner, &opener);
        let (leaving, staying) = if round % 2 == 0 { (ours, theirs) } else { (theirs, ours) };
        let (mut sender, receiver, _) = leaving;
        let (mut answers, mut reader, _) = staying;
        for i in 0..100 {
            send(&mut answers, &vec![7; i]).unwrap();
        }
        let count = 1 + round % 60;
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                if round % 3 == 0 {
                    thread::sleep(Duration::from_millis(5));
                }
                for i in 0..count {
                    assert!(
                        recv(&mut reader).unwrap() == message(i),
                        "message {i} of {count}, round {round}"
                    );
                }
                assert_eq!(failed(recv(&mut reader)).kind(), ErrorKind::Closed, "round {round}");
            });
            (0..count).for_each(|i| send(&mut sender, &message(i)).unwrap());
            match round % 4 / 2 {
                0 => drop((sender, receiver)),
                _ => drop((receiver, sender)),
            }
            // The direction back ends with `Closed`, too.
            let end = loop {
                match send(&mut answers, b"are you there?") {
                    Ok(()) => thread::yield_now(),
                    Err(error) => break error,
                }
            };
            assert_eq!(end.kind(), ErrorKind::Closed, "{end} in round {round}");
            reader.join().unwrap();
        });
    }
}

#[test]
fn tcp_channels_end_whole() {
    leave_with_unread_messages("tcp", 400);
}

#[test]
fn local_channels_end_whole() {
    leave_with_unread_messages("local", 400);
}

#[test]
fn what_both_sides_sent_before_they_left_is_not_lost_by_the_first() {
    for scheme in ["tcp", "local"] {
        let (owner, opener) = endpoints(scheme);
        for round in 0..50 {
            let ((mut out, mut back, _), (mut sender, receiver, _)) =
                channel(scheme, &owner, &opener);
            (0..20).for_each(|i| send(&mut out, &vec![1; i * 31]).unwrap());
            send(&mut sender, b"bye").unwrap();
            drop(sender);
            assert_eq!(recv(&mut back).unwrap(), b"bye");
            assert_eq!(failed(recv(&mut back)).kind(), ErrorKind::Closed);
            // The other direction goes on.
            send(&mut out, b"last").unwrap();
            drop((out, back));
            let mut receiver = receiver;
            for i in 0..20 {
                assert!(recv(&mut receiver).unwrap() == vec![1; i * 31], "{scheme} {i} {round}");
            }
            assert_eq!(recv(&mut receiver).unwrap(), b"last");
            assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::Closed);
        }
    }
}
