use std::thread;
use std::time::Duration;

use anyipc::Channel;

use super::*;
use crate::bench::link::Received;
use crate::bench::payload::LAST;

/// Both ends of a channel between threads.
fn ends(name: &str) -> (Channel, Channel) {
    let url = format!("inproc://bench.test.{name}");
    let owner = anyipc::create(&url).unwrap();
    let opener = thread::spawn(move || anyipc::connect(url).unwrap());
    (owner.accept_timeout(Duration::from_secs(10)).unwrap(), opener.join().unwrap())
}

fn runs(pattern: Pattern) {
    let (mut here, mut there) = ends(&format!("runs.{}", pattern.name()));
    let peer = thread::spawn(move || {
        let mut phases = 0;
        while pattern.serve(&mut there, 1000).unwrap() {
            phases += 1;
        }
        phases
    });
    let time = Duration::from_millis(20);
    let rate = pattern.warm_up(&mut here, 1000, time).unwrap();
    let timed = pattern.drive(&mut here, 1000, time, rate, Duration::ZERO).unwrap();
    drop(here);
    assert!(peer.join().unwrap() >= 2);
    assert!(rate > 0.0 && timed.elapsed > Duration::ZERO && timed.timed_messages <= timed.messages);
    match pattern {
        Pattern::RoundTrip => assert_eq!(timed.latencies.unwrap().len() * 2, timed.timed_messages),
        Pattern::Stream => assert!(timed.latencies.is_none()),
    }
}

#[test]
fn round_trips_run() {
    runs(Pattern::RoundTrip);
}

#[test]
fn streams_run() {
    runs(Pattern::Stream);
}

#[test]
fn a_lost_message_fails_the_peer() {
    for pattern in [Pattern::RoundTrip, Pattern::Stream] {
        let (mut here, mut there) = ends(&format!("lost.{}", pattern.name()));
        let peer = thread::spawn(move || pattern.serve(&mut there, 64));
        Link::send(&mut here, 64, 0).unwrap();
        Link::send(&mut here, 64, 2 | LAST).unwrap();
        let error = peer.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("message 2") && error.contains("message 1"), "{error}");
    }
}

#[test]
fn a_damaged_message_fails_the_peer() {
    for pattern in [Pattern::RoundTrip, Pattern::Stream] {
        let (mut here, mut there) = ends(&format!("damaged.{}", pattern.name()));
        let peer = thread::spawn(move || pattern.serve(&mut there, 256));
        let mut message = [0; 256];
        crate::bench::payload::write(&mut message, LAST);
        message[128] ^= 1;
        Channel::send(&mut here, &message).unwrap();
        let error = peer.join().unwrap().unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
}

#[test]
fn a_wrong_answer_fails_the_driver() {
    let (mut here, mut there) = ends("wrong");
    let peer = thread::spawn(move || {
        assert_eq!(there.receive(64, 0).unwrap(), Received::Message);
        Link::send(&mut there, 64, 7).unwrap();
    });
    let driven = Pattern::RoundTrip.warm_up(&mut here, 64, Duration::from_secs(1));
    assert!(driven.unwrap_err().to_string().contains("message 7"));
    peer.join().unwrap();
}

#[test]
fn a_side_that_leaves_in_the_middle_is_told_on() {
    let (mut here, mut there) = ends("leaves");
    let peer = thread::spawn(move || Pattern::Stream.serve(&mut there, 64));
    Link::send(&mut here, 64, 0).unwrap();
    drop(here);
    assert!(peer.join().unwrap().unwrap_err().to_string().contains("middle"));
}
