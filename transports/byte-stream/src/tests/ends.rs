//! Goodbyes, deaths, and receivers that close.

use anyipc_core::{ErrorKind, Flags, SendHalf};

use super::*;
use crate::wire::MAX_FRAME;

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
