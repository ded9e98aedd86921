//! Processes killed at random instants: what was sent with `Ok` over `local://` arrives, the
//! survivor notices the death within a second, and nothing is left behind. `ANYIPC_KILLS` is the
//! number of kills per scene (default 50).
#![cfg(any(target_os = "linux", target_os = "macos", windows))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::time::{Duration, Instant};

use anyipc_conformance::victim::{self, Victim, kills, message, moment, say};
use anyipc_core::{Endpoint as _, ErrorKind, Name, ObjectState, Transport};
use anyipc_socket::{Local, StreamEndpoint, Tcp};
use common::{Channel, any_port, failed, hello, meet, name, options, recv, send};

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    let Some((role, name)) = victim::role() else { return };
    if role == "owner" {
        let owner = Local.create(&name, &options(&Local, &[])).unwrap();
        say(1);
        let mut channels = Vec::new();
        loop {
            channels.push(meet(&owner, hello("local")).unwrap());
        }
    }
    let (role, scheme) = role.split_once('-').unwrap();
    let (mut sender, mut receiver, _) = meet(&open(scheme, &name), hello(scheme)).unwrap();
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

fn open(scheme: &str, name: &Name) -> StreamEndpoint {
    match scheme {
        "tcp" => Tcp.open(name, &options(&Tcp, &[])),
        _ => Local.open(name, &options(&Local, &[])),
    }
    .unwrap()
}

fn owner_of(scheme: &str, tag: &str) -> (StreamEndpoint, Name) {
    if scheme == "tcp" {
        let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
        let name = owner.local_name().unwrap();
        return (owner, name);
    }
    let name = name(tag);
    (Local.create(&name, &options(&Local, &[])).unwrap(), name)
}

/// The number of open descriptors. Windows counts them in another way, and Wine not at all.
fn descriptors() -> usize {
    if cfg!(windows) { 0 } else { std::fs::read_dir("/dev/fd").unwrap().count() }
}

fn a_killed_sender(scheme: &str) {
    let (owner, name) = owner_of(scheme, "kill-send");
    let mut before = 0;
    for round in 0..kills() {
        let mut child = Victim::spawn(&format!("send-{scheme}"), name.as_str());
        let (sender, mut receiver, _): Channel = meet(&owner, hello(scheme)).unwrap();
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
        if scheme == "local" {
            assert!(got >= promised, "{got} arrived of {promised} in round {round}");
        }
        drop((sender, receiver));
        match round {
            0 => before = descriptors(),
            _ => assert!(descriptors() <= before + 8, "descriptors leak"),
        }
    }
}

fn a_killed_receiver(scheme: &str) {
    let (owner, name) = owner_of(scheme, "kill-recv");
    for round in 0..kills() {
        let mut child = Victim::spawn(&format!("recv-{scheme}"), name.as_str());
        let (mut sender, _receiver, _) = meet(&owner, hello(scheme)).unwrap();
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
fn what_a_killed_local_sender_sent_arrives() {
    a_killed_sender("local");
}

#[test]
fn a_killed_tcp_sender_is_noticed() {
    a_killed_sender("tcp");
}

#[test]
fn a_killed_local_receiver_is_noticed() {
    a_killed_receiver("local");
}

#[test]
fn a_killed_tcp_receiver_is_noticed() {
    a_killed_receiver("tcp");
}

#[test]
fn a_killed_owners_name_is_reclaimed_and_a_live_ones_is_not() {
    let name = name("kill-owner");
    let none = options(&Local, &[]);
    for round in 0..kills() {
        let mut child = Victim::spawn("owner", name.as_str());
        child.reported();
        assert_eq!(failed(Local.create(&name, &none)).kind(), ErrorKind::Exists);
        let opener = Local.open(&name, &none).unwrap();
        let (mut sender, mut receiver, peer) = meet(&opener, hello("local")).unwrap();
        assert_eq!(peer.pid, Some(child.id()));
        std::thread::sleep(moment(round));
        child.kill();
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
        assert_eq!(failed(send(&mut sender, b"x")).kind(), ErrorKind::PeerGone);
        assert_eq!(failed(meet(&opener, hello("local"))).kind(), ErrorKind::NoOwner);
        assert_eq!(failed(Local.open(&name, &none)).kind(), ErrorKind::NotFound);
        let left = Local.inspect(&name, &none).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].state, ObjectState::Stale, "{left:?}");
        match round % 3 {
            // The next owner needs no cleaning up before.
            0 => drop(Local.create(&name, &none).unwrap()),
            1 => Local.remove(&name, &none, false).unwrap(),
            _ => assert!(
                Local.sweep(&none, true).unwrap().iter().any(|o| o.name.as_ref() == Some(&name))
            ),
        }
        assert!(Local.inspect(&name, &none).unwrap().is_empty());
    }
}
