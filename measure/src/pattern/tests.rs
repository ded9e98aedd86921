use std::thread;
use std::time::Duration;

use super::*;
use crate::channel::ChannelLink;
use crate::link::Handling;
use crate::payload::{self, Coverage, LAST, Received};

/// Both ends of a channel between threads.
fn ends(name: &str) -> (ChannelLink, ChannelLink) {
    handled(name, Handling::checking(Coverage::Full))
}

fn handled(name: &str, handling: Handling) -> (ChannelLink, ChannelLink) {
    let url = format!("inproc://bench.test.{name}");
    let owner = anyipc::create(&url).unwrap();
    let opener = thread::spawn(move || anyipc::connect(url).unwrap());
    let here = owner.accept_timeout(Duration::from_secs(10)).unwrap();
    (ChannelLink::new(here, handling), ChannelLink::new(opener.join().unwrap(), handling))
}

fn runs(pattern: Pattern, pace: Pace, batch: u64, in_place: bool) {
    let name = format!("runs.{}.{pace:?}.{batch}.{in_place}", pattern.name());
    let (mut here, mut there) =
        handled(&name, Handling { in_place, ..Handling::checking(Coverage::Line) });
    let peer = thread::spawn(move || {
        let mut phases = 0;
        while pattern.serve(&mut there, 1000).unwrap() {
            phases += 1;
        }
        phases
    });
    let time = Duration::from_millis(20);
    let traffic = Traffic { pattern, size: 1000, senders: 1, pace, batch, asleep: false };
    let rate = traffic.warm_up(&mut here, time, CpuClock::Thread).unwrap();
    let timed = traffic.drive(&mut here, time, rate, Duration::ZERO, CpuClock::Thread).unwrap();
    here.finish(1000).unwrap();
    assert!(peer.join().unwrap() >= 2);
    assert!(rate > 0.0 && timed.elapsed > Duration::ZERO && timed.timed_messages <= timed.messages);
    match pattern {
        Pattern::RoundTrip => {
            assert_eq!(timed.latencies.unwrap().count() * 2, timed.timed_messages)
        }
        Pattern::Stream => assert!(timed.latencies.is_none()),
    }
}

#[test]
fn round_trips_run() {
    for in_place in [false, true] {
        runs(Pattern::RoundTrip, Pace::AtOnce, 1, in_place);
    }
    runs(Pattern::RoundTrip, Pace::Gap(Duration::from_micros(20)), 1, false);
    runs(Pattern::RoundTrip, Pace::Rate(5000.0), 1, false);
}

#[test]
fn streams_run() {
    for in_place in [false, true] {
        runs(Pattern::Stream, Pace::AtOnce, 1, in_place);
    }
    runs(Pattern::Stream, Pace::AtOnce, 7, false);
}

#[test]
fn a_lost_message_fails_the_peer() {
    for pattern in [Pattern::RoundTrip, Pattern::Stream] {
        let (mut here, mut there) = ends(&format!("lost.{}", pattern.name()));
        let peer = thread::spawn(move || pattern.serve(&mut there, 64));
        here.send(64, 0).unwrap();
        here.send(64, 2 | LAST).unwrap();
        let error = peer.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("message 2") && error.contains("message 1"), "{error}");
    }
}

#[test]
fn a_damaged_message_fails_the_peer() {
    for pattern in [Pattern::RoundTrip, Pattern::Stream] {
        let url = format!("inproc://bench.test.damaged.{}", pattern.name());
        let owner = anyipc::create(&url).unwrap();
        let peer = thread::spawn(move || {
            let handling = Handling::checking(Coverage::Full);
            pattern.serve(&mut ChannelLink::new(anyipc::connect(&url).unwrap(), handling), 256)
        });
        let mut here = owner.accept_timeout(Duration::from_secs(10)).unwrap();
        let mut message = [0; 256];
        payload::write(&mut message, LAST, Coverage::Full);
        message[130] ^= 1;
        here.send(&message).unwrap();
        let error = peer.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("content"), "{error}");
    }
}

#[test]
fn a_wrong_answer_fails_the_driver() {
    let (mut here, mut there) = ends("wrong");
    let peer = thread::spawn(move || {
        assert_eq!(there.receive(64, 0).unwrap(), Received::Message);
        there.send(64, 7).unwrap();
    });
    let traffic = Traffic {
        pattern: Pattern::RoundTrip,
        size: 64,
        senders: 1,
        pace: Pace::AtOnce,
        batch: 1,
        asleep: false,
    };
    let driven = traffic.warm_up(&mut here, Duration::from_secs(1), CpuClock::Thread);
    assert!(driven.unwrap_err().to_string().contains("message 7"));
    peer.join().unwrap();
}

#[test]
fn a_side_that_leaves_in_the_middle_is_told_on() {
    let (mut here, mut there) = ends("leaves");
    let peer = thread::spawn(move || Pattern::Stream.serve(&mut there, 64));
    here.send(64, 0).unwrap();
    here.finish(64).unwrap();
    assert!(peer.join().unwrap().unwrap_err().to_string().contains("middle"));
}
