//! Processes killed at random instants: what was sent with `Ok` over `local://` arrives, the survivor hears of the
//! death within a second, and nothing is left behind. `ANYIPC_KILLS` says how often (default 50 per scene).
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyipc_core::{Endpoint as _, ErrorKind, Name, ObjectState, Transport};
use anyipc_socket::{Endpoint, Local, Tcp};
use common::{Channel, any_port, failed, hello, meet, name, options, recv, send};

const ROLE: &str = "ANYIPC_TEST_ROLE";
const NAME: &str = "ANYIPC_TEST_NAME";

fn kills() -> u64 {
    std::env::var("ANYIPC_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50)
}

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    let (Ok(role), Ok(name)) = (std::env::var(ROLE), std::env::var(NAME)) else { return };
    let name = Name::new(&name).unwrap();
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

/// Tells the parent a number, on a pipe that outlives us.
fn say(number: u64) {
    std::io::stderr().write_all(&number.to_le_bytes()).unwrap();
}

fn message(i: u64) -> Vec<u8> {
    let len = if i.is_multiple_of(7) { 60_000 } else { i as usize % 3000 };
    let mut bytes = i.to_le_bytes().to_vec();
    bytes.resize(8 + len, i as u8);
    bytes
}

fn open(scheme: &str, name: &Name) -> Endpoint {
    match scheme {
        "tcp" => Tcp.open(name, &options(&Tcp, &[])),
        _ => Local.open(name, &options(&Local, &[])),
    }
    .unwrap()
}

fn spawn(role: &str, name: &Name) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(NAME, name.as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills the child and gives the last number it told.
fn kill(mut child: Child, first: u64) -> u64 {
    child.kill().unwrap();
    let mut told = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut told).unwrap();
    child.wait().unwrap();
    let last = told.chunks_exact(8).last();
    last.map_or(first, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn told(child: &mut Child) -> u64 {
    let mut bytes = [0; 8];
    child.stderr.as_mut().unwrap().read_exact(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// A different instant each time.
fn moment(round: u64) -> Duration {
    Duration::from_micros(round.wrapping_mul(7919) % 5000)
}

fn owner_of(scheme: &str, tag: &str) -> (Endpoint, Name) {
    if scheme == "tcp" {
        let owner = Tcp.create(&any_port(), &options(&Tcp, &[])).unwrap();
        let name = owner.local_name().unwrap();
        return (owner, name);
    }
    let name = name(tag);
    (Local.create(&name, &options(&Local, &[])).unwrap(), name)
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn a_killed_sender(scheme: &str) {
    let (owner, name) = owner_of(scheme, "kill-send");
    let mut before = 0;
    for round in 0..kills() {
        let mut child = spawn(&format!("send-{scheme}"), &name);
        let (sender, mut receiver, _): Channel = meet(&owner, hello(scheme)).unwrap();
        let first = told(&mut child);
        let mut got = 0;
        let end = Instant::now() + moment(round);
        while round % 3 != 0 && Instant::now() < end {
            assert!(recv(&mut receiver).unwrap() == message(got));
            got += 1;
        }
        std::thread::sleep(moment(round));
        let promised = kill(child, first);
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
        let mut child = spawn(&format!("recv-{scheme}"), &name);
        let (mut sender, _receiver, _) = meet(&owner, hello(scheme)).unwrap();
        told(&mut child);
        let end = Instant::now() + moment(round);
        let mut i = 0;
        while Instant::now() < end {
            send(&mut sender, &message(i)).unwrap();
            i += 1;
        }
        kill(child, 0);
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
        let mut child = spawn("owner", &name);
        told(&mut child);
        assert_eq!(failed(Local.create(&name, &none)).kind(), ErrorKind::Exists);
        let opener = Local.open(&name, &none).unwrap();
        let (mut sender, mut receiver, peer) = meet(&opener, hello("local")).unwrap();
        assert_eq!(peer.pid, Some(child.id()));
        std::thread::sleep(moment(round));
        kill(child, 0);
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::PeerGone);
        assert_eq!(failed(send(&mut sender, b"x")).kind(), ErrorKind::PeerGone);
        assert_eq!(failed(meet(&opener, hello("local"))).kind(), ErrorKind::NoOwner);
        assert_eq!(failed(Local.open(&name, &none)).kind(), ErrorKind::NotFound);
        let left = Local.inspect(&name, &none).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].state, ObjectState::Stale, "{left:?}");
        match round % 3 {
            // Nobody has to clean up before the next one comes.
            0 => drop(Local.create(&name, &none).unwrap()),
            1 => Local.remove(&name, &none, false).unwrap(),
            _ => assert!(Local.sweep(&none, true).unwrap().iter().any(|o| o.name.as_ref() == Some(&name))),
        }
        assert!(Local.inspect(&name, &none).unwrap().is_empty());
    }
}
