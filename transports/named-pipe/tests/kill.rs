//! Processes killed at random instants: what was sent with `Ok` arrives, the survivor notices the
//! death within a second, and nothing is left behind. `ANYIPC_KILLS` is the number of kills per
//! scene (default 50).
#![cfg(all(target_os = "linux", not(anyipc_as_macos)))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_conformance::victim::{self, Victim, kills, message, moment, say};
use anyipc_core::{Attempt, Endpoint as _, ErrorKind, ObjectState, Transport};
use anyipc_named_pipe::NamedPipe;
use common::{Channel, create, failed, files, meet, name, open, options, recv, send};

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    let Some((role, name)) = victim::role() else { return };
    if role == "owner" {
        let owner = create(&name);
        say(1);
        let mut channels = Vec::new();
        loop {
            channels.push(meet(&owner).unwrap());
        }
    }
    if role == "silent" {
        let _owner = create(&name);
        say(1);
        std::thread::sleep(Duration::from_secs(60));
    }
    if role == "ask" {
        let (endpoint, mut attempt) = (open(&name), Attempt::new(common::hello()));
        assert!(failed(endpoint.try_connect(&mut attempt)).is_would_block());
        say(1);
        std::thread::sleep(Duration::from_secs(60));
    }
    if role == "connect" {
        let endpoint = open(&name);
        say(1);
        loop {
            // Asks, and gives up at once or waits a little.
            let mut attempt = Attempt::new(common::hello());
            for _ in 0..20 {
                let _ = endpoint.try_connect(&mut attempt);
            }
        }
    }
    let (mut sender, mut receiver, _) = meet(&open(&name)).unwrap();
    if role == "send" {
        for i in 0u64.. {
            send(&mut sender, &message(i)).unwrap();
            say(i + 1);
        }
    }
    say(1);
    loop {
        recv(&mut receiver).unwrap();
    }
}

/// Locked by tests that sweep, and by tests that leave something behind on purpose.
static SWEEPS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    SWEEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn what_a_killed_sender_sent_arrives() {
    let name = name("kill-send");
    let owner = create(&name);
    let mut before = 0;
    for round in 0..kills() {
        let mut child = Victim::spawn("send", name.as_str());
        let (sender, mut receiver, _): Channel = meet(&owner).unwrap();
        let first = child.reported();
        let mut got = 0;
        let end = Instant::now() + moment(round);
        while round % 3 != 0 && Instant::now() < end {
            assert!(recv(&mut receiver).unwrap() == message(got));
            got += 1;
        }
        std::thread::sleep(moment(round));
        let promised = child.kill().unwrap_or(first);
        let died = Instant::now();
        let error = loop {
            match recv(&mut receiver) {
                Ok(bytes) => assert!(bytes == message(got), "message {got} of round {round}"),
                Err(error) => break error,
            }
            got += 1;
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{error}");
        assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());
        assert!(got >= promised, "{got} arrived of {promised} in round {round}");
        drop((sender, receiver));
        match round {
            0 => before = descriptors(),
            _ => assert!(descriptors() <= before + 8, "descriptors leak"),
        }
    }
}

#[test]
fn a_killed_receiver_is_noticed() {
    let name = name("kill-recv");
    let owner = create(&name);
    for round in 0..kills() {
        let mut child = Victim::spawn("recv", name.as_str());
        let (mut sender, _receiver, _) = meet(&owner).unwrap();
        child.reported();
        let end = Instant::now() + moment(round);
        let mut i = 0;
        while Instant::now() < end {
            send(&mut sender, &message(i)).unwrap();
            i += 1;
        }
        child.kill();
        let died = Instant::now();
        let error = loop {
            match send(&mut sender, &message(i)) {
                Ok(()) => i += 1,
                Err(error) => break error,
            }
            assert!(died.elapsed() < Duration::from_secs(1), "the death was not noticed");
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{error} in round {round}");
    }
}

#[test]
fn a_killed_owners_name_is_reclaimed_and_a_live_ones_is_not() {
    let name = name("kill-owner");
    let none = options(&[]);
    for round in 0..kills() {
        let _alone = alone();
        let mut child = Victim::spawn("owner", name.as_str());
        child.reported();
        assert_eq!(failed(NamedPipe.create(&name, &none)).kind(), ErrorKind::Exists);
        let opener = NamedPipe.open(&name, &none).unwrap();
        let (mut sender, mut receiver, _) = meet(&opener).unwrap();
        std::thread::sleep(moment(round));
        child.kill();
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
        let died = Instant::now();
        let error = loop {
            if let Err(error) = send(&mut sender, b"x") {
                break error;
            }
            assert!(died.elapsed() < Duration::from_secs(1), "the death was not noticed");
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone);
        assert_eq!(failed(meet(&opener)).kind(), ErrorKind::NoOwner);
        assert_eq!(failed(NamedPipe.open(&name, &none)).kind(), ErrorKind::NotFound);
        let left = NamedPipe.inspect(&name, &none).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].state, ObjectState::Stale, "{left:?}");
        match round % 3 {
            // The next owner needs no cleaning up before.
            0 => drop(NamedPipe.create(&name, &none).unwrap()),
            1 => NamedPipe.remove(&name, &none, false).unwrap(),
            _ => {
                assert!(
                    NamedPipe
                        .sweep(&none, true)
                        .unwrap()
                        .iter()
                        .any(|o| o.name.as_ref() == Some(&name))
                )
            }
        }
        assert!(NamedPipe.inspect(&name, &none).unwrap().is_empty());
    }
}

/// Connectors that die at any instant of asking, being accepted, and sending their first message.
#[test]
fn killed_connectors_leave_nothing() {
    let name = name("kill-connect");
    let owner = create(&name);
    for round in 0..kills() {
        let _alone = alone();
        let mut child = Victim::spawn("connect", name.as_str());
        child.reported();
        let accepting = round % 2 == 0;
        let end = Instant::now() + moment(round);
        while Instant::now() < end {
            if accepting {
                let _ = owner.try_connect(&mut Attempt::new(common::hello()));
            }
        }
        child.kill();
        // An owner that accepts removes what it is asked on. Otherwise a sweep finds it.
        if accepting {
            while owner.try_connect(&mut Attempt::new(common::hello())).is_ok() {}
        }
        NamedPipe.sweep(&options(&[]), true).unwrap();
        let left = files(&name);
        assert_eq!(left.len(), 2, "the owner's two and no more: {left:?}");
    }
    drop(owner);
    assert!(files(&name).is_empty());
}

/// Without a sweep the next owner of the name removes what dead connectors left.
#[test]
fn the_next_owner_clears_away_dead_connectors() {
    let name = name("kill-both");
    for _ in 0..5 {
        let _alone = alone();
        let mut owner = Victim::spawn("silent", name.as_str());
        owner.reported();
        let mut connector = Victim::spawn("ask", name.as_str());
        connector.reported();
        assert_eq!(files(&name).len(), 6, "{:?}", files(&name));
        connector.kill();
        owner.kill();
        assert_eq!(files(&name).len(), 6);
        drop(create(&name));
        assert!(files(&name).is_empty(), "{:?}", files(&name));
    }
}
