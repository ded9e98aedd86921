//! Event loops of others: a descriptor that tells when a call is worth a try.
#![cfg(all(unix, feature = "in-process"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Event, Inbox, Readiness, Selectable};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::channels::pair;
use support::schemes::{another, each};

const LONG: Duration = Duration::from_secs(20);

/// An event loop: true for each descriptor that is readable.
fn turn(of: &[&Readiness], longest: Duration) -> Vec<bool> {
    let mut fds: Vec<_> =
        of.iter().map(|one| PollFd::from_borrowed_fd(one.as_fd(), PollFlags::IN)).collect();
    let _ = poll(&mut fds, Some(&Timespec::try_from(longest).unwrap()));
    fds.iter().map(|fd| !fd.revents().is_empty()).collect()
}

/// Until there is nothing to do.
fn arm(
    readiness: &mut Readiness,
    of: &mut dyn Selectable,
    mut calls: impl FnMut(&mut dyn Selectable),
) {
    while readiness.arm(of).unwrap() {
        calls(of);
    }
}

#[test]
fn a_loop_hears_of_messages_at_once_and_sleeps_otherwise() {
    each("loop", |url| {
        let (_owner, mut a, mut b) = pair(&format!("{url}?wait=block"));
        let mut readiness = Readiness::new().unwrap();
        let fd = readiness.as_fd().try_clone_to_owned().unwrap();
        let peer = thread::spawn(move || {
            for round in 0..200u32 {
                b.send(&round.to_le_bytes()).unwrap();
                assert_eq!(b.recv_timeout(LONG).unwrap(), round.to_le_bytes());
            }
            b
        });
        let (started, mut turns, mut next) = (Instant::now(), 0, 0u32);
        while next < 200 {
            match a.try_recv() {
                Ok(message) => {
                    assert_eq!(message, next.to_le_bytes());
                    a.send(&message).unwrap();
                    next += 1;
                    continue;
                }
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
            if !readiness.arm(&mut a).unwrap() {
                assert!(turn(&[&readiness], LONG)[0]);
                turns += 1;
            }
        }
        // Were the wake-ups lost, each round would cost 100 ms.
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        // The descriptor does not stay readable without a reason.
        assert!(turns < 2000, "{turns} turns for 200 messages");
        arm(&mut readiness, &mut a, |_| panic!("there is nothing"));
        assert!(!turn(&[&readiness], Duration::ZERO)[0]);
        assert!(turn(&[&readiness], LONG)[0], "the end of the slice");
        drop(peer.join().unwrap());
        drop(fd);
    });
}

#[test]
fn one_loop_serves_an_inbox_and_sends_when_there_is_room() {
    each("serves", |url| {
        let mut inbox = Inbox::new(anyipc::create(url).unwrap()).unwrap();
        let (_owner, a, mut reader) = pair(&another(url));
        let (mut sender, _receiver) = a.split();
        let clients: Vec<_> = (0..3u8)
            .map(|seed| {
                let url = url.to_owned();
                thread::spawn(move || {
                    let mut channel = anyipc::connect(url).unwrap();
                    for _ in 0..20 {
                        channel.send(&[seed]).unwrap();
                        assert_eq!(channel.recv_timeout(LONG).unwrap(), [seed]);
                    }
                })
            })
            .collect();
        let reading = thread::spawn(move || {
            // Late, so that there is no room for a while.
            thread::sleep(Duration::from_millis(20));
            (0..400).for_each(|_| assert_eq!(reader.recv_timeout(LONG).unwrap(), [7; 10_000]));
        });
        let (mut events, mut room) = (Readiness::new().unwrap(), Readiness::new().unwrap());
        let (started, mut left, mut sent) = (Instant::now(), 0, 0);
        while left < 3 || sent < 400 {
            assert!(started.elapsed() < LONG, "{left} left, {sent} sent");
            match inbox.try_next_event() {
                Ok(Event::Message(from, message)) => inbox.send(from, &message).unwrap(),
                Ok(Event::Connected(_)) => {}
                Ok(Event::Disconnected(..)) => left += 1,
                Err(error) => assert!(error.is_would_block(), "{error}"),
            }
            let mut full = sent == 400;
            while !full {
                match sender.try_send(&[7; 10_000]) {
                    Ok(()) => sent += 1,
                    Err(error) => {
                        assert!(error.is_would_block(), "{error}");
                        full = !room.arm_to_send(&mut sender).unwrap();
                    }
                }
                full |= sent == 400;
            }
            if !events.arm(&mut inbox).unwrap() && (left < 3 || sent < 400) {
                turn(&[&events, &room], LONG);
            }
        }
        clients.into_iter().chain([reading]).for_each(|one| one.join().unwrap());
    });
}
