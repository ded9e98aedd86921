//! What a real stream does for the halves: room for a goodbye, and a word from the receiver that leaves.
#![expect(clippy::unwrap_used, reason = "these are tests")]

use anyipc_core::{ErrorKind, Flags, RecvHalf, Result, SendHalf};

use crate::halves::{Receiver, Sender, halves};
use crate::sys::Stream;

/// A sender, and the receiver of what it sends. No capacity is the usual one.
fn pair(capacity: u64) -> (Sender, Receiver) {
    let ((out, into), (unused, other)) = (Stream::pair().unwrap(), Stream::pair().unwrap());
    let (sender, _) = halves(out, unused, capacity).unwrap();
    let (_, receiver) = halves(other, into, capacity).unwrap();
    (sender, receiver)
}

fn recv(half: &mut Receiver) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    half.try_recv_into(&mut frame)?;
    Ok(frame)
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
        let (mut sender, mut receiver) = pair(capacity);
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let sent = fill(&mut sender, &payload);
        assert!(sent > 0);
        drop(sender);
        for i in 0..sent {
            assert!(recv(&mut receiver).unwrap() == payload, "{len} {capacity}: {i} of {sent}");
        }
        assert_eq!(recv(&mut receiver).unwrap_err().kind(), ErrorKind::Closed, "{len} {capacity}");
    }
}

#[test]
fn a_receiver_that_leaves_is_closed_also_with_frames_unread() {
    let (mut sender, receiver) = pair(0);
    fill(&mut sender, b"unread");
    drop(receiver);
    for _ in 0..3 {
        assert_eq!(sender.try_send(Flags::NONE, b"x").unwrap_err().kind(), ErrorKind::Closed);
        assert_eq!(sender.try_flush().unwrap_err().kind(), ErrorKind::Closed);
    }
}

#[test]
fn a_stream_that_ends_without_a_word_is_a_death() {
    let (stream, raw) = Stream::pair().unwrap();
    let (mut sender, _) = halves(stream, Stream::pair().unwrap().0, 0).unwrap();
    sender.try_send(Flags::NONE, b"unread").unwrap();
    drop(raw);
    for _ in 0..3 {
        assert_eq!(sender.try_send(Flags::NONE, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
    }
}
