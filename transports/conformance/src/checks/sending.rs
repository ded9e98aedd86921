//! The meaning of `Ok` of a send, and of an error.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Capabilities, Flags, Waiter};

use super::connect::expect;
use super::failed;
use super::frames::fill_up;
use crate::Fixture;
use crate::fixture::Pair;
use crate::noise::bytes;
use crate::wait_loop::WaitLoop;

/// Lengths around the units of systems, up to the longest frame of the channel.
fn lengths(max: usize) -> Vec<usize> {
    let mut lengths = vec![100, 1000, 3333, 4088, 5000, 20_000, 30_000, 60_000, 64 << 10, max];
    lengths.retain(|len| *len <= max.min(64 << 10));
    if lengths.is_empty() {
        lengths.push(max);
    }
    lengths
}

/// The sender may be about to die, or to receive for the rest of its life.
pub fn ok_needs_no_further_call(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let wait_loop = WaitLoop::thread(fixture);
    for len in lengths(here.sender.max_frame()) {
        for _ in 0..2 {
            for i in 0..fill_up(&mut here, len) {
                expect(wait_loop, &mut there, &bytes(i, len));
            }
        }
    }
}

pub fn what_was_refused_does_not_arrive(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let wait_loop = WaitLoop::thread(fixture);
    let lengths = lengths(here.sender.max_frame());
    let (mut sent, mut serial, mut refused) = (VecDeque::new(), 0, 0);
    while refused < 400 {
        let len = lengths[serial as usize * 7 % lengths.len()];
        let payload = bytes(serial, len);
        serial += 1;
        let tried = if serial % 2 == 0 {
            here.sender.try_send(Flags::NONE, &payload)
        } else {
            here.sender.try_send_with(len, Flags::NONE, &mut |frame| {
                frame.copy_from_slice(&payload);
                Some(len)
            })
        };
        match tried {
            Ok(()) => sent.push_back(payload),
            Err(error) => {
                assert!(error.is_would_block(), "{error}");
                refused += 1;
                // A few at a time, so that the next sends find different room.
                for _ in 0..1 + serial % 3 {
                    let Some(oldest) = sent.pop_front() else { break };
                    expect(wait_loop, &mut there, &oldest);
                }
            }
        }
    }
    for payload in sent {
        expect(wait_loop, &mut there, &payload);
    }
    assert!(failed(there.receiver.try_recv_with(&mut |_, _| {})).is_would_block());
}

/// If a sender were told of room that it does not have, it would try again and again.
pub fn without_room_a_wait_sleeps(fixture: &Fixture<'_>) {
    const SLEEP: Duration = Duration::from_millis(10);
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let wait_loop = WaitLoop::thread(fixture);
    for len in [1, 4088, 30_000, 64 << 10] {
        let Pair { mut here, mut there, .. } = fixture.pair();
        let max = here.sender.max_frame().min(64 << 10);
        let mut sent: VecDeque<_> =
            (0..fill_up(&mut here, len.min(max))).map(|i| bytes(i, len.min(max))).collect();
        // From full to empty: at each level a wait for the longest frame either ends in a send or
        // lasts.
        while !sent.is_empty() {
            let (mut tries, start) = (0, Instant::now());
            while start.elapsed() < SLEEP {
                tries += 1;
                let longest = bytes(7, max);
                match here.sender.try_send(Flags::NONE, &longest) {
                    Ok(()) => {
                        sent.push_back(longest);
                        break;
                    }
                    Err(error) => assert!(error.is_would_block(), "{error}"),
                }
                match here.sender.arm(Waiter::Thread).expect("arm") {
                    Armed::Ready => {}
                    Armed::Source(interest) => {
                        let source = here
                            .sender
                            .source()
                            .expect("arm answered Armed::Source, but source() failed");
                        (fixture.sleeper)(&source, interest, SLEEP);
                    }
                    Armed::Park => here.sender.park(SLEEP),
                    Armed::After(time) => std::thread::sleep(time.min(SLEEP)),
                    armed @ Armed::Waker => {
                        assert_ne!(armed, Armed::Waker, "a thread has no waker")
                    }
                }
            }
            here.sender.disarm();
            assert!(
                tries < 100,
                "{tries} tries within {SLEEP:?} beside {} frames of {len}",
                sent.len()
            );
            // More frames than were sent.
            for _ in 0..2 + sent.len() / 4 {
                let Some(oldest) = sent.pop_front() else { break };
                expect(wait_loop, &mut there, &oldest);
            }
        }
    }
}
