use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use anyipc_core::Interest;

use super::*;

/// A stream that notes what it takes.
#[derive(Debug, Default, Clone)]
struct Wire(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    taken: Vec<u8>,
    sends: usize,
    /// How much each of the next sends takes; 0 is `WouldBlock`. Then everything is taken.
    portions: VecDeque<usize>,
    full: bool,
    raised: bool,
    ended: Option<bool>,
}

impl Outgoing for Wire {
    fn has_room(&mut self, _len: usize) -> io::Result<bool> {
        Ok(!self.0.lock().unwrap().full)
    }
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        state.sends += 1;
        let most = state.portions.pop_front().unwrap_or(bytes.len()).min(bytes.len());
        if most == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.taken.extend_from_slice(&bytes[..most]);
        Ok(most)
    }
    fn send_two(&mut self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        self.send(&[first, second].concat())
    }
    fn raise_send_buffer(&mut self) {
        self.0.lock().unwrap().raised = true;
    }
    fn stopped(&mut self) -> bool {
        true
    }
    fn end(&mut self, orderly: bool) {
        self.0.lock().unwrap().ended = Some(orderly);
    }
    fn source(&self) -> Source {
        unreachable!("no test sleeps")
    }
    fn interest(&self) -> Interest {
        Interest::Writable
    }
}

fn sender(framing: Framing) -> (PlainSender<Wire>, Wire) {
    let wire = Wire::default();
    (PlainSender::new(wire.clone(), framing), wire)
}

fn taken(wire: &Wire) -> Vec<u8> {
    std::mem::take(&mut wire.0.lock().unwrap().taken)
}

#[test]
fn each_framing_is_as_it_is_documented() {
    for (framing, expected) in [
        (Framing::Lines, &b"hi\n"[..]),
        (Framing::Length32Le, b"\x02\0\0\0hi"),
        (Framing::Length32Be, b"\0\0\0\x02hi"),
        (Framing::ContentLength, b"Content-Length: 2\r\n\r\nhi"),
    ] {
        let (mut sender, wire) = sender(framing);
        sender.try_send(Flags::NONE, b"hi").unwrap();
        assert_eq!(taken(&wire), expected, "{framing:?}");
        // A closure may write less than it was given room for.
        let filled = &mut |room: &mut [u8]| {
            room[..2].copy_from_slice(b"hi");
            Some(2)
        };
        sender.try_send_with(9, Flags::NONE, filled).unwrap();
        assert_eq!(taken(&wire), expected, "{framing:?}");
        let long = vec![7; SHORT + 1];
        sender.try_send(Flags::NONE, &long).unwrap();
        let got = taken(&wire);
        assert!(got.windows(long.len()).any(|part| part == long), "{framing:?}");
    }
}

#[test]
fn a_long_message_has_its_whole_length_ahead_and_comes_in_fragments() {
    let (mut sender, wire) = sender(Framing::Length32Le);
    for _ in 0..2 {
        sender.reserve(10);
        sender.try_send(Flags::MORE, b"0123").unwrap();
        // A fragment that does not fit the length that went ahead is not sent.
        for wrong in [&b"45678"[..], b"4567890"] {
            assert_eq!(
                sender.try_send(Flags::NONE, wrong).unwrap_err().kind(),
                ErrorKind::Unsupported
            );
        }
        sender.try_send(Flags::MORE, b"45").unwrap();
        sender.try_send(Flags::NONE, b"6789").unwrap();
        assert_eq!(taken(&wire), b"\x0a\0\0\x000123456789");
        sender.try_send(Flags::NONE, b"x").unwrap();
        assert_eq!(taken(&wire), b"\x01\0\0\0x");
    }
    let (mut sender, wire) = super::tests::sender(Framing::Lines);
    sender.reserve(4);
    sender.try_send(Flags::MORE, b"ab").unwrap();
    sender.try_send(Flags::NONE, b"cd").unwrap();
    assert_eq!(taken(&wire), b"abcd\n");
}

#[test]
fn a_message_that_is_given_up_halfway_ends_the_direction_by_name() {
    let (mut sender, wire) = sender(Framing::ContentLength);
    sender.reserve(10);
    sender.try_send(Flags::MORE, b"0123").unwrap();
    let error = sender.try_send(Flags::ABORT, b"").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.to_string().contains("given up"), "{error}");
    assert_eq!(wire.0.lock().unwrap().ended, Some(false));
    assert_eq!(sender.try_send(Flags::NONE, b"x").unwrap_err().kind(), ErrorKind::Closed);
    drop(sender);
    assert_eq!(taken(&wire), b"Content-Length: 10\r\n\r\n0123");
    // Dropped instead, it ends as well.
    let (mut sender, wire) = super::tests::sender(Framing::Length32Be);
    sender.reserve(10);
    sender.try_send(Flags::MORE, b"0123").unwrap();
    drop(sender);
    assert_eq!(wire.0.lock().unwrap().ended, Some(false));
}

#[test]
fn a_line_feed_is_refused_before_anything_is_sent() {
    let (mut sender, wire) = sender(Framing::Lines);
    let error = sender.try_send(Flags::NONE, b"two\nlines").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("frames="), "{error}");
    sender.try_send(Flags::NONE, b"one line").unwrap();
    assert_eq!(taken(&wire), b"one line\n");
    // In a later fragment it is too late for that.
    sender.reserve(8);
    sender.try_send(Flags::MORE, b"0123").unwrap();
    assert!(sender.try_send(Flags::NONE, b"4\n67").is_err());
    assert_eq!(wire.0.lock().unwrap().ended, Some(false));
    assert_eq!(sender.try_send(Flags::NONE, b"x").unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn without_room_nothing_is_sent_and_no_closure_is_called() {
    let (mut sender, wire) = sender(Framing::Lines);
    wire.0.lock().unwrap().full = true;
    let called = sender.try_send_with(1, Flags::NONE, &mut |_| unreachable!());
    assert!(called.unwrap_err().is_would_block());
    assert!(sender.try_send(Flags::NONE, b"x").unwrap_err().is_would_block());
    assert_eq!(wire.0.lock().unwrap().sends, 0);
    drop(sender);
    assert_eq!(wire.0.lock().unwrap().ended, Some(true));
}

#[test]
fn a_part_that_was_taken_is_completed_or_ends_the_direction() {
    let (mut sender, wire) = sender(Framing::Lines);
    wire.0.lock().unwrap().portions = [3, 0].into();
    sender.try_send(Flags::NONE, b"a message").unwrap();
    assert_eq!(taken(&wire), b"a message\n");
    assert!(wire.0.lock().unwrap().raised);
    wire.0.lock().unwrap().portions = [3, 0, 0].into();
    let error = sender.try_send(Flags::NONE, b"a message").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    assert_eq!(wire.0.lock().unwrap().ended, Some(false));
}

#[test]
fn a_batch_goes_out_in_one_piece() {
    let (mut sender, wire) = sender(Framing::Length32Le);
    sender.cork();
    for _ in 0..3 {
        sender.try_send(Flags::NONE, b"x").unwrap();
    }
    assert_eq!(wire.0.lock().unwrap().sends, 0);
    // What does not fit into the batch goes out behind it.
    let long = vec![1; sender.max_frame()];
    sender.try_send(Flags::NONE, &long).unwrap();
    assert_eq!(wire.0.lock().unwrap().sends, 2);
    sender.try_send(Flags::NONE, b"y").unwrap();
    sender.try_flush().unwrap();
    sender.try_send(Flags::NONE, b"z").unwrap();
    assert_eq!(wire.0.lock().unwrap().sends, 4);
    let got = taken(&wire);
    assert!(got.starts_with(b"\x01\0\0\0x\x01\0\0\0x\x01\0\0\0x"));
    assert!(got.ends_with(b"\x01\0\0\0y\x01\0\0\0z"));
    // A batch that its owner drops still goes out.
    sender.cork();
    sender.try_send(Flags::NONE, b"last").unwrap();
    drop(sender);
    assert_eq!(taken(&wire), b"\x04\0\0\0last");
}
