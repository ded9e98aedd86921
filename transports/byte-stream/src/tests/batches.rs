//! Frames under a cork.

use anyipc_core::{ErrorKind, Flags, SendHalf};

use super::*;
use crate::wire::{BYE, MAX_FRAME};

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

/// A batch that was not flushed and does not fit must not take the goodbye's room.
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
