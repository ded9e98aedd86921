use std::thread;

use anyipc_core::{Capabilities, ErrorKind, Flags};

use super::connect::{expect, talk};
use super::failed;
use super::frames::fill_up;
use crate::Fixture;
use crate::fixture::{End, Pair};
use crate::noise::{Noise, bytes};
use crate::wait_loop::{WaitLoop, Watchdog};

/// Every further receive must be `Closed`.
#[track_caller]
fn assert_closed(fixture: &Fixture<'_>, end: &mut End) {
    for _ in 0..3 {
        let error = failed(WaitLoop::thread(fixture).recv(&mut *end.receiver, &mut Vec::new()));
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
}

pub fn the_rest_arrives_then_closed(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    for count in [0, 1, 50, 1000] {
        let Pair { here, mut there, .. } = fixture.pair();
        let wait_loop = WaitLoop::thread(fixture);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut sender = here.sender;
                for i in 0..count {
                    wait_loop
                        .send(&mut *sender, Flags::NONE, &bytes(i, i as usize % 100))
                        .expect("send");
                }
            });
            for i in 0..count {
                expect(wait_loop, &mut there, &bytes(i, i as usize % 100));
            }
            assert_closed(fixture, &mut there);
        });
    }
}

pub fn a_full_queue_arrives_then_closed(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    let len = here.sender.max_frame().min(1000);
    let sent = fill_up(&mut here, len);
    drop(here);
    for i in 0..sent {
        expect(WaitLoop::thread(fixture), &mut there, &bytes(i, len));
    }
    assert_closed(fixture, &mut there);
}

pub fn a_sender_learns_that_its_receiver_closed(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    for unread in [0, 3] {
        let Pair { mut here, there, .. } = fixture.pair();
        for _ in 0..unread {
            let _ = here.sender.try_send(Flags::NONE, b"never read");
        }
        drop(there);
        let watchdog = Watchdog::new("Closed");
        let error = loop {
            match here.sender.try_send(Flags::NONE, b"to a closed receiver") {
                Err(error) if !error.is_would_block() => break error,
                _ => watchdog.look(),
            }
        };
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        let again = failed(here.sender.try_send_with(1, Flags::NONE, &mut |_| Some(1)));
        assert_eq!(again.kind(), ErrorKind::Closed, "{again}");
    }
}

pub fn one_direction_closes_alone(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let Pair { mut here, mut there, .. } = fixture.pair();
    talk(fixture, &mut here, &mut there);
    let End { sender, mut receiver, .. } = here;
    drop(sender);
    assert_closed(fixture, &mut there);
    let wait_loop = WaitLoop::thread(fixture);
    let mut buffer = Vec::new();
    for i in 0..100u64 {
        wait_loop
            .send(&mut *there.sender, Flags::NONE, &bytes(i, 30))
            .expect("the other direction is open");
        wait_loop.recv(&mut *receiver, &mut buffer).expect("the other direction is open");
        assert_eq!(buffer, bytes(i, 30));
    }
    drop(there);
    let error = failed(wait_loop.recv(&mut *receiver, &mut buffer));
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

pub fn a_waiting_receiver_wakes(fixture: &Fixture<'_>) {
    wakes_with_closed(fixture, |wait_loop, mut end| {
        loop {
            if let Err(error) = wait_loop.recv(&mut *end.receiver, &mut Vec::new()) {
                return error.kind();
            }
        }
    });
}

pub fn a_waiting_sender_wakes(fixture: &Fixture<'_>) {
    wakes_with_closed(fixture, |wait_loop, mut end| {
        let frame = vec![1; end.sender.max_frame().min(64 << 10)];
        loop {
            if let Err(error) = wait_loop.send(&mut *end.sender, Flags::NONE, &frame) {
                return error.kind();
            }
        }
    });
}

/// Waits at one end, as a thread and as a task, while the other one is dropped.
fn wakes_with_closed(fixture: &Fixture<'_>, wait: fn(WaitLoop, End) -> ErrorKind) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let mut noise = Noise::new(1);
    for round in 0..100 {
        let wait_loop =
            if round % 2 == 0 { WaitLoop::thread(fixture) } else { WaitLoop::task(fixture) };
        let Pair { here, there, .. } = fixture.pair();
        thread::scope(|scope| {
            let waiter = scope.spawn(move || wait(wait_loop, there));
            noise.pause();
            drop(here);
            assert_eq!(waiter.join().expect("waiter"), ErrorKind::Closed);
        });
    }
}

/// A peer that has dropped its sending half still gets answers. One that has dropped both is
/// noticed.
pub fn an_end_of_sending_is_no_end_of_receiving(fixture: &Fixture<'_>) {
    if fixture.skips_without(Capabilities::CHANNEL) {
        return;
    }
    let wait_loop = WaitLoop::thread(fixture);
    let Pair { mut here, there, .. } = fixture.pair();
    let End { mut sender, receiver, peer } = there;
    wait_loop.send(&mut *sender, Flags::NONE, b"question").expect("send");
    wait_loop.flush(&mut *sender).expect("flush");
    drop(sender);
    expect(wait_loop, &mut here, b"question");
    assert_closed(fixture, &mut here);
    // The half that has nothing more to receive is dropped. The other one stays.
    let End { sender: mut answers, receiver: heard_out, .. } = here;
    drop(heard_out);
    for _ in 0..3 {
        assert!(answers.is_heard(), "is_heard() is false although the peer still receives");
    }
    wait_loop.send(&mut *answers, Flags::NONE, b"answer").expect("send an answer");
    wait_loop.flush(&mut *answers).expect("flush");
    let mut answer = Vec::new();
    let mut receiver = receiver;
    wait_loop.recv(&mut *receiver, &mut answer).expect("receive the answer");
    assert_eq!(answer, b"answer");
    assert!(answers.is_heard(), "is_heard() is false although the peer still receives");
    drop((receiver, peer));
    let watchdog = Watchdog::new("is_heard() == false");
    while answers.is_heard() {
        watchdog.look();
    }
}
