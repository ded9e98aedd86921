//! The halves over real streams: room for a goodbye, and what a closing receiver tells.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyipc_core::{
    Armed, ErrorKind, Flags, FrameHeader, Interest, Operation, RecvHalf, Result, SendHalf, Wait,
    Waiter,
};
use anyipc_os::{Dir, Scope, sleep};

use super::{StreamReceiver, StreamSender, duplex, halves};
use crate::sys::{Listener, Stream};

/// Both ends of a stream.
type Ends = fn() -> (Stream, Stream);
type Halves = (StreamSender, StreamReceiver);

const KINDS: [(&str, Ends); 2] = [("local", local), ("tcp", tcp)];

fn local() -> (Stream, Stream) {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    let name = format!("halves-{}-{}", std::process::id(), SERIAL.fetch_add(1, Relaxed));
    let dir = Dir::open(Scope::User, Operation::Create).unwrap();
    let listener = Listener::local(&dir, &name, false).unwrap();
    let here = Stream::local(&dir, &name).unwrap();
    dir.unlink(&name).unwrap();
    (here, listener.accept().unwrap().unwrap())
}

fn tcp() -> (Stream, Stream) {
    let listener = Listener::tcp(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let here = Stream::tcp(&listener.address().unwrap()).unwrap();
    (here, listener.accept().unwrap().unwrap())
}

/// True if its channels have both directions in one stream.
fn is_duplex(kind: &str) -> bool {
    if kind == "tcp" { Stream::TCP_BOTH_WAYS } else { Stream::PASSES_STREAMS }
}

/// Both sides' halves of a channel. 0 is the default capacity.
fn channel(kind: &str, ends: Ends, capacity: u64) -> (Halves, Halves) {
    let ((here, there), (other, yonder)) = (ends(), ends());
    if is_duplex(kind) {
        return (duplex(here, other, capacity).unwrap(), duplex(there, yonder, capacity).unwrap());
    }
    (halves(here, other, capacity).unwrap(), halves(yonder, there, capacity).unwrap())
}

fn recv(half: &mut StreamReceiver) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    loop {
        match half.try_recv_into(&mut frame) {
            Err(error) if error.is_would_block() => {
                assert!(
                    sleep(&half.source()?, Interest::Readable, Duration::from_secs(20)),
                    "nothing came"
                );
            }
            done => return done.map(|_| frame),
        }
    }
}

fn fill(sender: &mut StreamSender, payload: &[u8]) -> usize {
    let mut sent = 0;
    while let Ok(()) = sender.try_send(Flags::NONE, payload) {
        sent += 1;
    }
    sent
}

#[test]
fn the_goodbye_always_has_room() {
    for (len, capacity) in
        [(0, 0), (1, 0), (100, 1), (5000, 0), (65536, 1), (65536, 0), (65536, 1 << 20)]
    {
        for (kind, ends) in KINDS {
            let what = format!("{kind}, frames of {len}, capacity {capacity}");
            let ((mut sender, _back), (_answers, mut receiver)) = channel(kind, ends, capacity);
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let sent = fill(&mut sender, &payload);
            assert!(sent > 0);
            drop(sender);
            for i in 0..sent {
                let got = recv(&mut receiver);
                assert!(
                    got.as_ref().is_ok_and(|got| *got == payload),
                    "{what}: {i} of {sent}: {:?}",
                    got.err()
                );
            }
            assert_eq!(recv(&mut receiver).unwrap_err().kind(), ErrorKind::Closed, "{what}");
        }
    }
}

/// The halves of one side, and the streams of another one that dies when they are dropped.
fn dying(kind: &str, ends: Ends) -> (Halves, [Stream; 2]) {
    let ((here, there), (other, yonder)) = (ends(), ends());
    let make = if is_duplex(kind) { duplex } else { halves };
    (make(here, other, 0).unwrap(), [there, yonder])
}

/// Sends until that fails. Returns the kind of the error.
fn end_of_sending(sender: &mut StreamSender) -> ErrorKind {
    loop {
        match sender.try_send(Flags::NONE, b"x") {
            Err(error) if error.is_would_block() => {
                let Armed::Source(interest) = sender.arm(Waiter::Thread).unwrap() else { continue };
                let longest = Duration::from_secs(20);
                assert!(sleep(&sender.source().unwrap(), interest, longest), "no end, no room");
            }
            Err(error) => return error.kind(),
            Ok(()) => {}
        }
    }
}

#[test]
fn a_receiver_that_leaves_is_closed_and_one_that_dies_is_gone() {
    for (kind, ends) in KINDS {
        let ((mut sender, _back), (answers, receiver)) = channel(kind, ends, 0);
        sender.try_send(Flags::NONE, b"unread").unwrap();
        drop(receiver);
        assert_eq!(end_of_sending(&mut sender), ErrorKind::Closed, "{kind}");
        assert_eq!(sender.try_flush().unwrap_err().kind(), ErrorKind::Closed, "{kind}");
        drop(answers);

        let ((mut sender, _back), streams) = dying(kind, ends);
        sender.try_send(Flags::NONE, b"unread").unwrap();
        drop(streams);
        assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone, "{kind}");
        assert_eq!(sender.try_flush().unwrap_err().kind(), ErrorKind::PeerGone, "{kind}");
    }
}

/// The receiver closes while the queue is full: the sender may sleep, and nothing else wakes it.
#[test]
fn a_receiver_that_leaves_wakes_a_sender_without_room() {
    for (kind, ends) in KINDS {
        let ((mut sender, back), (mut answers, receiver)) = channel(kind, ends, 0);
        assert!(fill(&mut sender, &[7; 5000]) > 0);
        let Armed::Source(interest) = sender.arm(Waiter::Thread).unwrap() else {
            panic!("it has a source")
        };
        let source = sender.source().unwrap();
        let sleeper = std::thread::spawn(move || sleep(&source, interest, Duration::from_secs(20)));
        drop(receiver);
        assert!(sleeper.join().unwrap(), "{kind}: nothing woke it");
        assert_eq!(end_of_sending(&mut sender), ErrorKind::Closed, "{kind}");
        // The other direction goes on.
        answers.try_send(Flags::NONE, b"still here").unwrap();
        let mut back = back;
        assert_eq!(recv(&mut back).unwrap(), b"still here", "{kind}");
        drop(answers);
        assert_eq!(recv(&mut back).unwrap_err().kind(), ErrorKind::Closed, "{kind}");
    }
}

#[test]
fn a_sender_that_leaves_ends_one_direction_only() {
    for (kind, ends) in KINDS {
        let ((mut sender, mut back), (answers, mut receiver)) = channel(kind, ends, 0);
        drop(answers);
        assert_eq!(recv(&mut back).unwrap_err().kind(), ErrorKind::Closed, "{kind}");
        for _ in 0..1000 {
            sender.try_send(Flags::NONE, b"one way").unwrap();
            assert_eq!(recv(&mut receiver).unwrap(), b"one way", "{kind}");
        }
        drop(sender);
        assert_eq!(recv(&mut receiver).unwrap_err().kind(), ErrorKind::Closed, "{kind}");
    }
}

/// Where the kernel takes a part of a frame, the rest follows in the same call.
#[test]
fn what_was_sent_until_there_was_no_room_needs_no_further_call() {
    for (kind, ends) in KINDS {
        for len in [0, 1000, 1001, 3333, 5000, 30_000, 65_536] {
            let ((mut sender, _back), (_answers, mut receiver)) = channel(kind, ends, 0);
            for _ in 0..3 {
                let payload = vec![5; len];
                for i in 0..fill(&mut sender, &payload) {
                    assert!(
                        recv(&mut receiver).unwrap() == payload,
                        "{kind}: {i}, frames of {len}"
                    );
                }
            }
        }
    }
}

/// It does not matter what the closing side has not read, and what comes to it afterwards.
#[test]
fn what_a_leaving_side_sent_arrives_though_the_kernel_has_not_delivered_it_yet() {
    for (kind, ends) in KINDS {
        for round in 0..8 {
            let ((mut sender, receiver), (mut answers, mut reader)) = channel(kind, ends, 0);
            if round & 1 == 0 {
                (0..10).for_each(|_| answers.try_send(Flags::NONE, b"unread").unwrap());
            }
            let sent = fill(&mut sender, &[7; 5000]);
            if round & 2 == 0 {
                drop((sender, receiver));
            } else {
                drop((receiver, sender));
            }
            (0..10).for_each(|_| drop(answers.try_send(Flags::NONE, b"more")));
            let _answers = (round & 4 == 0).then_some(answers);
            for i in 0..sent {
                assert!(
                    recv(&mut reader).is_ok_and(|got| got == [7; 5000]),
                    "{kind}: {i} of {sent}, {round}"
                );
            }
            assert_eq!(recv(&mut reader).unwrap_err().kind(), ErrorKind::Closed, "{kind}, {round}");
        }
    }
}

/// The peer keeps the other direction, so over TCP no send fails.
#[test]
fn a_receiver_that_leaves_alone_is_noticed_by_a_sender_with_room() {
    for (kind, ends) in KINDS {
        let ((mut sender, mut back), (mut answers, receiver)) = channel(kind, ends, 0);
        drop(receiver);
        assert_eq!(end_of_sending(&mut sender), ErrorKind::Closed, "{kind}");
        answers.try_send(Flags::NONE, b"still here").unwrap();
        assert_eq!(recv(&mut back).unwrap(), b"still here", "{kind}");
        drop((sender, back));
        assert_eq!(end_of_sending(&mut answers), ErrorKind::Closed, "{kind}");
    }
}

/// A kernel may report the death by an error before the end of the data. Over TCP that error
/// destroys what was sent.
#[test]
fn what_was_sent_before_a_death_is_received_though_the_dead_read_nothing() {
    let (kind, ends) = KINDS[0];
    for unread in [0, 1, 20] {
        let ((mut sender, mut receiver), [data, other]) = dying(kind, ends);
        (0..unread).for_each(|_| sender.try_send(Flags::NONE, b"unread").unwrap());
        let mut sent = Vec::new();
        for i in 0..20 {
            sent.push(vec![i; usize::from(i) * 300]);
        }
        // The raw end of the direction that this side receives.
        let raw = if is_duplex(kind) { &data } else { &other };
        for payload in &sent {
            let header = FrameHeader { len: payload.len() as u32, flags: Flags::NONE }.encode();
            assert_eq!(raw.send_two(&header, payload).unwrap(), header.len() + payload.len());
        }
        drop((data, other));
        // The first call of either half may be the one that notices the death.
        if unread % 2 == 1 {
            assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
        }
        for payload in &sent {
            assert!(recv(&mut receiver).unwrap() == *payload);
        }
        assert_eq!(recv(&mut receiver).unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(end_of_sending(&mut sender), ErrorKind::PeerGone);
    }
}

/// Sleeps as a thread that waits for a message.
fn nap(receiver: &mut StreamReceiver, longest: Duration) {
    match receiver.arm(Waiter::Thread).unwrap() {
        Armed::Park => receiver.park(longest),
        Armed::Source(interest) => {
            sleep(&receiver.source().unwrap(), interest, longest);
        }
        armed => assert_eq!(armed, Armed::Ready),
    }
}

#[test]
fn a_receiver_sleeps_until_something_comes() {
    for (kind, ends) in KINDS {
        let ((mut sender, _back), (_answers, mut receiver)) = channel(kind, ends, 0);
        let mut frame = Vec::new();
        for longest in [Duration::from_millis(1), Duration::from_millis(100)] {
            nap(&mut receiver, longest);
            assert!(receiver.try_recv_into(&mut frame).unwrap_err().is_would_block(), "{kind}");
        }
        let speaker = std::thread::spawn(move || sender.try_send(Flags::NONE, b"word"));
        let end = loop {
            match receiver.try_recv_into(&mut frame) {
                Err(error) if error.is_would_block() => nap(&mut receiver, Duration::from_secs(20)),
                Err(error) => break error,
                Ok(_) => assert_eq!(frame, b"word", "{kind}"),
            }
        };
        speaker.join().unwrap().unwrap();
        assert_eq!(frame, b"word", "{kind}");
        assert_eq!(end.kind(), ErrorKind::Closed, "{kind}");
        assert_eq!(receiver.arm(Waiter::Thread).unwrap(), Armed::Ready, "{kind}");
    }
}

#[test]
fn nobody_sleeps_in_a_stream_that_was_given() {
    if !Stream::PASSES_STREAMS {
        return;
    }
    let ((taker, giver), (mine, given)) = (local(), Stream::pair().unwrap());
    giver.send_with(b"x", &given).unwrap();
    let mut taken = None;
    assert_eq!(taker.recv_with(&mut [0], &mut taken).unwrap(), 1);
    let own = [&giver, &taker].map(|stream| stream.as_fd().as_raw_fd());
    let made = [duplex(giver, mine, 0).unwrap(), duplex(taker, taken.unwrap(), 0).unwrap()];
    for ((sender, mut receiver), own) in made.into_iter().zip(own) {
        assert_eq!(receiver.arm(Waiter::Thread).unwrap(), Armed::Park);
        for source in [sender.source().unwrap(), receiver.source().unwrap()] {
            assert_eq!(source.as_fd().as_raw_fd(), own);
        }
    }
}
