//! Frames whole and in pieces, and bytes that are none.

use anyipc_core::{ErrorKind, Flags, RecvHalf, SendHalf};
use proptest::prelude::*;

use super::*;
use crate::wire::{BYE, MARK, MAX_FRAME};

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

/// The stream said that it has room, then runs out of memory inside a frame.
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
        let mut fill = |_: &mut [u8]| -> Option<usize> { panic!("fill was called without room") };
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
    for i in 0..500 {
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
        let ends = [ErrorKind::PeerGone, ErrorKind::Corrupt, ErrorKind::Closed];
        prop_assert!(ends.contains(&end), "{end:?}");
    }
}
