//! The halves over a carrier that moves bytes one by one, is interrupted, ends too early, or means nothing.

use std::io;

use anyipc_core::{Armed, ErrorKind, Flags, FrameHeader, RecvHalf, Result, SendHalf, Wait, Waiter};
use proptest::prelude::*;

use crate::memory_stream::{In, Out, way};
use crate::stream::{Incoming, Outgoing};
use crate::wire::{BYE, MARK, MAX_ENCODED, MAX_FRAME};

type Sender = crate::FrameSender<Out>;
type Receiver = crate::FrameReceiver<In>;

fn halves(most: usize) -> (Sender, Receiver) {
    let (out, into) = way(most);
    (Sender::new(out), Receiver::new(into))
}

/// A receiver, and the raw end that it hears.
fn receiver() -> (Out, Receiver) {
    let (out, into) = way(usize::MAX);
    (out, Receiver::new(into))
}

/// A sender, and the raw end where it is heard.
fn sender() -> (Sender, In) {
    let (out, into) = way(usize::MAX);
    (Sender::new(out), into)
}

/// What a call does when nothing interrupts it.
fn calmly<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// Sends raw bytes, which have room.
fn say(raw: &mut Out, bytes: &[u8]) {
    assert_eq!(calmly(|| raw.send(bytes)).unwrap(), bytes.len());
}

fn recv(half: &mut Receiver) -> Result<(Flags, Vec<u8>)> {
    let mut got = None;
    half.try_recv_with(&mut |flags, frame| got = Some((flags, frame.to_vec())))?;
    Ok(got.unwrap())
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = FrameHeader { len: payload.len() as u32, flags: Flags::MORE }.encode().to_vec();
    bytes.extend(payload);
    bytes
}

fn noise(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(31) ^ (i >> 8) ^ seed) as u8).collect()
}

#[test]
fn frames_arrive_byte_by_byte() {
    let (mut raw, mut half) = receiver();
    for payload in [&b""[..], b"x", b"a frame in pieces", &noise(300, 1)] {
        let bytes = frame(payload);
        for (at, byte) in bytes.iter().enumerate() {
            assert_eq!(kind(recv(&mut half)), ErrorKind::WouldBlock, "after {at} bytes");
            say(&mut raw, &[*byte]);
        }
        assert_eq!(recv(&mut half).unwrap(), (Flags::MORE, payload.to_vec()));
    }
    for byte in BYE {
        assert_eq!(kind(recv(&mut half)), ErrorKind::WouldBlock);
        say(&mut raw, &[byte]);
    }
    for _ in 0..3 {
        assert_eq!(kind(recv(&mut half)), ErrorKind::Closed);
    }
}

#[test]
fn frames_leave_byte_by_byte() {
    let (mut half, mut raw) = sender();
    let mut expected = Vec::new();
    let mut got = Vec::new();
    let mut blocked = 0;
    for i in 0..40 {
        let payload = noise(MAX_FRAME - i, i);
        while let Err(error) = half.try_send(Flags::MORE, &payload) {
            assert!(error.is_would_block(), "{error}");
            blocked += 1;
            // One byte at a time until there is room again.
            for _ in 0..50_000 {
                let mut byte = [0];
                calmly(|| raw.recv(&mut byte)).unwrap();
                got.extend(byte);
            }
        }
        expected.extend(frame(&payload));
    }
    assert!(blocked > 0);
    drop(half);
    expected.extend(BYE);
    let mut byte = [0];
    while calmly(|| raw.recv(&mut byte)).unwrap() == 1 {
        got.extend(byte);
    }
    assert!(got == expected);
}

/// What is there to be received.
fn received(raw: &mut In) -> Vec<u8> {
    let mut bytes = vec![0; 4 * MAX_ENCODED];
    let mut len = 0;
    while let Ok(got @ 1..) = calmly(|| raw.recv(&mut bytes[len..])) {
        len += got;
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn corked_frames_leave_together_and_others_at_once() {
    let (mut half, mut raw) = sender();
    let small = |i: usize| noise(i % 300, i);
    let send = |half: &mut Sender, i: usize| match i % 2 {
        0 => half.try_send(Flags::MORE, &small(i)).unwrap(),
        _ => half
            .try_send_with(300, Flags::MORE, &mut |frame| {
                frame[..small(i).len()].copy_from_slice(&small(i));
                Some(small(i).len())
            })
            .unwrap(),
    };
    for round in 0..3 {
        half.cork();
        (0..100).for_each(|i| send(&mut half, i));
        assert!(received(&mut raw).is_empty(), "round {round}");
        half.try_flush().unwrap();
        assert!(received(&mut raw) == (0..100).flat_map(|i| frame(&small(i))).collect::<Vec<_>>());
        send(&mut half, 7);
        assert!(received(&mut raw) == frame(&small(7)), "without a cork nothing waits");
    }
    // More than the buffer takes goes out in between, in order.
    half.cork();
    let mut expected = Vec::new();
    let mut got = Vec::new();
    for i in 0..2000 {
        let payload = noise(if i % 500 == 499 { MAX_FRAME } else { i % 700 }, i);
        half.try_send(Flags::MORE, &payload).unwrap();
        expected.extend(frame(&payload));
        got.extend(received(&mut raw));
        assert!(expected.len() - got.len() <= MAX_ENCODED);
    }
    half.try_flush().unwrap();
    got.extend(received(&mut raw));
    assert!(got == expected);
    // What is held back when the half is dropped is not lost.
    half.cork();
    half.try_send(Flags::MORE, b"last").unwrap();
    drop(half);
    assert_eq!(received(&mut raw), [&frame(b"last")[..], &BYE].concat());
}

#[test]
fn a_corked_sender_without_room_loses_nothing() {
    let (mut sender, mut half) = halves(usize::MAX);
    sender.cork();
    let (mut sent, mut got) = (0, 0);
    for _ in 0..20 {
        while sender.try_send(Flags::NONE, &noise(1000, sent)).is_ok() {
            sent += 1;
        }
        for _ in 0..50 {
            assert!(recv(&mut half).unwrap().1 == noise(1000, got));
            got += 1;
        }
    }
    drop(sender);
    while let Ok((_, payload)) = recv(&mut half) {
        assert!(payload == noise(1000, got));
        got += 1;
    }
    assert_eq!(got, sent);
}

#[test]
fn the_goodbye_always_has_room() {
    for len in [0, 1, 100, 5000, MAX_FRAME] {
        let (mut sender, mut half) = halves(usize::MAX);
        let mut sent = 0;
        while sender.try_send(Flags::NONE, &noise(len, sent)).is_ok() {
            sent += 1;
        }
        assert!(sent > 0);
        drop(sender);
        for i in 0..sent {
            assert!(recv(&mut half).unwrap().1 == noise(len, i), "{len} {i} of {sent}");
        }
        assert_eq!(kind(recv(&mut half)), ErrorKind::Closed, "{len}");
    }
}

/// A batch that was not flushed and does not fit takes nothing of the goodbye's room.
#[test]
fn the_goodbye_has_room_behind_a_batch_that_has_none() {
    let (mut sender, mut half) = halves(usize::MAX);
    let mut sent = 0;
    while sender.try_send(Flags::NONE, &noise(20_000, sent)).is_ok() {
        sent += 1;
    }
    sender.cork();
    for i in 0..60 {
        sender.try_send(Flags::NONE, &noise(1000, i)).unwrap();
    }
    assert_eq!(kind(sender.try_flush()), ErrorKind::WouldBlock);
    drop(sender);
    for i in 0..sent {
        assert!(recv(&mut half).unwrap().1 == noise(20_000, i), "{i} of {sent}");
    }
    assert_eq!(kind(recv(&mut half)), ErrorKind::Closed);
}

/// Whatever it said before: it runs out of memory in the midst of a frame.
#[test]
fn a_frame_that_is_taken_in_part_is_never_ok() {
    let payload = noise(10_000, 1);
    for (left, more) in [(0, 0), (1, 0), (8, 0), (9_999, 0), (500, 500), (500, 20_000)] {
        let (mut sender, raw) = sender();
        raw.starve(left, more);
        let sent = sender.try_send(Flags::NONE, &payload);
        let mut half = Receiver::new(raw);
        if left + more >= payload.len() {
            sent.unwrap();
            assert!(recv(&mut half).unwrap().1 == payload);
        } else if left == 0 {
            assert_eq!(kind(sent), ErrorKind::WouldBlock, "nothing of it is gone");
            assert_eq!(kind(recv(&mut half)), ErrorKind::WouldBlock);
        } else {
            assert_eq!(kind(sent), ErrorKind::OutOfMemory, "{left} {more}");
            assert_eq!(kind(sender.try_send(Flags::NONE, b"next")), ErrorKind::OutOfMemory);
            assert_eq!(kind(sender.try_flush()), ErrorKind::OutOfMemory);
            assert_eq!(kind(recv(&mut half)), ErrorKind::PeerGone, "while the sender lives");
        }
    }
}

#[test]
fn without_room_nothing_is_written() {
    for len in [0, 1, 100, 5000, MAX_FRAME] {
        let (mut half, mut raw) = sender();
        let mut sent = 0;
        while half.try_send(Flags::NONE, &noise(len, sent)).is_ok() {
            sent += 1;
        }
        let mut fill = |_: &mut [u8]| -> Option<usize> { panic!("filled in vain") };
        assert_eq!(kind(half.try_send_with(len, Flags::NONE, &mut fill)), ErrorKind::WouldBlock);
        assert_eq!(received(&mut raw).len(), sent * (8 + len));
    }
}

#[test]
fn a_mark_means_nothing_where_nobody_answers() {
    let (mut raw, mut half) = receiver();
    say(&mut raw, &frame(b"before"));
    say(&mut raw, &MARK);
    assert_eq!(recv(&mut half).unwrap().1, b"before");
    for _ in 0..2 {
        assert_eq!(kind(recv(&mut half)), ErrorKind::Corrupt);
    }
}

#[test]
fn little_by_little_everything_arrives() {
    for most in [1, 7, 4096] {
        let (mut sender, mut half) = halves(most);
        for (i, len) in [0, 1, 300, 70, MAX_FRAME].into_iter().enumerate() {
            let payload = noise(len, i);
            sender.try_send(Flags::MORE, &payload).unwrap();
            sender.try_send_with(len, Flags::NONE, &mut |frame| Some(frame.len().min(5))).unwrap();
            assert!(recv_in_steps(&mut half).unwrap() == (Flags::MORE, payload));
            assert_eq!(recv_in_steps(&mut half).unwrap().1.len(), len.min(5));
        }
        drop(sender);
        assert_eq!(kind(recv_in_steps(&mut half)), ErrorKind::Closed);
    }
}

/// One call reads a bounded number of times, and says that there is more to do.
fn recv_in_steps(half: &mut Receiver) -> Result<(Flags, Vec<u8>)> {
    loop {
        match recv(half) {
            Err(error) if error.is_would_block() => {
                assert!(!half.drained());
                assert_eq!(half.arm(Waiter::Thread).unwrap(), Armed::Ready);
            }
            done => return done,
        }
    }
}

#[test]
fn an_end_without_goodbye_is_a_death() {
    for cut in [0, 3, 8, 15] {
        let (mut raw, mut half) = receiver();
        say(&mut raw, &frame(b"whole"));
        say(&mut raw, &frame(b"half of it")[..cut]);
        drop(raw);
        assert_eq!(recv(&mut half).unwrap().1, b"whole");
        for _ in 0..3 {
            assert_eq!(kind(recv(&mut half)), ErrorKind::PeerGone);
        }
    }
}

#[test]
fn a_receiver_that_says_stop_is_closed_and_one_that_does_not_is_gone() {
    for (says, expected) in [(true, ErrorKind::Closed), (false, ErrorKind::PeerGone)] {
        let (mut half, mut raw) = sender();
        half.try_send(Flags::NONE, b"unread").unwrap();
        if says {
            raw.stop();
        }
        drop(raw);
        for _ in 0..3 {
            assert_eq!(kind(half.try_send(Flags::NONE, b"x")), expected);
            assert_eq!(kind(half.try_flush()), expected);
        }
    }
}

#[test]
fn a_length_is_checked_before_it_is_believed() {
    for len in [MAX_FRAME as u32 + 1, u32::MAX, u32::MAX - 1] {
        let (mut raw, mut half) = receiver();
        let mut header = len.to_le_bytes().to_vec();
        header.extend([1, 0, 0, 0]);
        say(&mut raw, &header);
        for _ in 0..3 {
            assert_eq!(kind(recv(&mut half)), ErrorKind::Corrupt);
        }
        assert_eq!(half.capacity(), MAX_ENCODED);
    }
}

#[test]
fn buffers_are_made_once() {
    let (mut sender, mut half) = halves(usize::MAX);
    let round = |sender: &mut Sender, half: &mut Receiver, i: usize| {
        let payload = noise(i * 7919 % MAX_FRAME, i);
        sender.try_send(Flags::NONE, &payload).unwrap();
        let mut fill = |frame: &mut [u8]| {
            frame.copy_from_slice(&payload);
            Some(payload.len())
        };
        sender.try_send_with(payload.len(), Flags::NONE, &mut fill).unwrap();
        for _ in 0..2 {
            half.try_recv_with(&mut |_, frame| assert!(frame == payload)).unwrap();
        }
    };
    sender.try_send_with(MAX_FRAME, Flags::NONE, &mut |_| None).unwrap();
    round(&mut sender, &mut half, 1);
    let made = (sender.capacity(), half.capacity());
    for i in 0..5000 {
        round(&mut sender, &mut half, i);
    }
    assert_eq!((sender.capacity(), half.capacity()), made);
    assert!(made.0 <= 2 * MAX_ENCODED && made.1 == MAX_ENCODED);
}

proptest! {
    #[test]
    fn garbage_is_an_error_or_frames_never_a_panic(mut bytes: Vec<u8>, lead in 0..3u8) {
        if lead == 0 {
            bytes.splice(0..0, frame(b"first"));
        }
        let (mut raw, mut half) = receiver();
        say(&mut raw, &bytes);
        drop(raw);
        let mut frames = 0;
        let end = loop {
            match recv(&mut half) {
                Ok((_, payload)) => {
                    frames += 1;
                    prop_assert!(payload.len() <= bytes.len());
                }
                Err(error) => break error.kind(),
            }
        };
        prop_assert!(frames <= bytes.len() / 8);
        prop_assert!(matches!(end, ErrorKind::PeerGone | ErrorKind::Corrupt | ErrorKind::Closed), "{end:?}");
    }
}
