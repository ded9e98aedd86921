//! What a real stream does for the halves: room for a goodbye, and a word from the receiver that leaves.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use anyipc_core::{Armed, ErrorKind, Flags, Interest, Operation, RecvHalf, Result, SendHalf, Wait, Waiter};
use anyipc_os::{Dir, Scope, sleep};

use super::{Receiver, Sender, halves};
use crate::sys::{Listener, Stream};

/// Both ends of a stream.
type Ends = fn() -> (Stream, Stream);

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

/// A sender, and the receiver of what it sends. No capacity is the usual one.
fn pair(ends: Ends, capacity: u64) -> (Sender, Receiver) {
    let ((out, into), (unused, other)) = (ends(), ends());
    let (sender, _) = halves(out, unused, capacity).unwrap();
    let (_, receiver) = halves(other, into, capacity).unwrap();
    (sender, receiver)
}

fn recv(half: &mut Receiver) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    loop {
        match half.try_recv_into(&mut frame) {
            Err(error) if error.is_would_block() => {
                assert!(sleep(&half.source()?, Interest::Readable, Duration::from_secs(20)), "nothing came");
            }
            done => return done.map(|_| frame),
        }
    }
}

fn fill(sender: &mut Sender, payload: &[u8]) -> usize {
    let mut sent = 0;
    while let Ok(()) = sender.try_send(Flags::NONE, payload) {
        sent += 1;
    }
    sent
}

#[test]
fn the_goodbye_always_has_room() {
    for (len, capacity) in [(0, 0), (1, 0), (100, 1), (5000, 0), (65536, 1), (65536, 0), (65536, 1 << 20)] {
        for (kind, ends) in KINDS {
            let what = format!("{kind}, frames of {len}, capacity {capacity}");
            let (mut sender, mut receiver) = pair(ends, capacity);
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

#[test]
fn a_receiver_that_leaves_is_closed_and_one_that_dies_is_gone() {
    for (kind, ends) in KINDS {
        for (dies, expected) in [(false, ErrorKind::Closed), (true, ErrorKind::PeerGone)] {
            let ((out, raw), (unused, other)) = (ends(), ends());
            let (mut sender, _) = halves(out, unused, 0).unwrap();
            sender.try_send(Flags::NONE, b"unread").unwrap();
            if dies {
                drop(raw);
            } else {
                drop(halves(other, raw, 0).unwrap());
            }
            let error = loop {
                if let Err(error) = sender.try_send(Flags::NONE, b"x") {
                    break error;
                }
            };
            assert_eq!(error.kind(), expected, "{kind}");
            assert_eq!(sender.try_flush().unwrap_err().kind(), expected, "{kind}");
        }
    }
}

/// Sleeps as a thread does that waits for a message.
fn nap(receiver: &mut Receiver, longest: Duration) {
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
        let (mut sender, mut receiver) = pair(ends, 0);
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
    let ((giver, taker), (mine, given)) = (local(), Stream::pair().unwrap());
    giver.send_with(b"x", &given).unwrap();
    let mut taken = None;
    assert_eq!(taker.recv_with(&mut [0], &mut taken).unwrap(), 1);
    let (_, mut giving) = halves(giver, mine, 0).unwrap();
    let (_, mut taking) = halves(taker, taken.unwrap(), 0).unwrap();
    assert_eq!(giving.arm(Waiter::Thread).unwrap(), Armed::Park);
    assert_eq!(taking.arm(Waiter::Thread).unwrap(), Armed::Source(Interest::Readable));
}
