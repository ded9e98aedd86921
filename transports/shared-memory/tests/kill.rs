//! Processes killed at random instants: what was sent with `Ok` arrives, the survivor notices the
//! death within a second, and nothing is left behind. `ANYIPC_KILLS` is the number of kills per
//! scene (default 50).
//!
//! On Windows only: elsewhere a parked thread notices a death by the facade's slices of 100 ms,
//! which this loop does not cut, and the facade's `torture_kill` has these scenes.
#![cfg(windows)]
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::time::{Duration, Instant};

use anyipc_conformance::WaitLoop;
use anyipc_conformance::victim::{self, Victim, kills, message, moment, say};
use anyipc_core::{
    COMMON_KEYS, Error, ErrorKind, Flags, Hello, Name, ObjectState, Options, Peer, RecvHalf,
    Result, SendHalf, Transport,
};
use anyipc_shared_memory::{Endpoint, SharedMemory};

const T: SharedMemory = SharedMemory;
const WAIT_LOOP: WaitLoop = WaitLoop::new(anyipc_os::sleep);

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    let Some((role, name)) = victim::role() else { return };
    if role == "owner" {
        let owner = T.create(&name, &options("capacity=1MiB")).unwrap();
        say(1);
        let mut channels = Vec::new();
        loop {
            channels.push(meet(&owner).unwrap());
        }
    }
    let (mut sender, mut receiver, _) =
        meet(&T.open(&name, &options("capacity=1MiB")).unwrap()).unwrap();
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

#[test]
fn what_a_killed_sender_sent_arrives() {
    let name = name("kill-send");
    let owner = T.create(&name, &options("capacity=1MiB")).unwrap();
    for round in 0..kills() {
        let mut child = Victim::spawn("send", name.as_str());
        let (_sender, mut receiver, _) = meet(&owner).unwrap();
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
        assert!(died.elapsed() < NOTICED, "{:?}", died.elapsed());
        assert!(got >= promised, "{got} arrived of {promised} in round {round}");
    }
    T.close(owner).unwrap();
    nothing_is_left(&name);
}

#[test]
fn a_killed_receiver_is_noticed() {
    let name = name("kill-recv");
    let owner = T.create(&name, &options("capacity=1MiB")).unwrap();
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
            assert!(died.elapsed() < NOTICED, "the death was not noticed");
        };
        assert_eq!(error.kind(), ErrorKind::PeerGone, "{error} in round {round}");
    }
    T.close(owner).unwrap();
    nothing_is_left(&name);
}

#[test]
fn a_killed_owners_name_is_reclaimed_and_a_live_ones_is_not() {
    let name = name("kill-owner");
    let none = options("capacity=1MiB");
    for round in 0..kills() {
        let mut child = Victim::spawn("owner", name.as_str());
        child.reported();
        assert_eq!(T.create(&name, &none).unwrap_err().kind(), ErrorKind::Exists);
        let opener = T.open(&name, &none).unwrap();
        let (mut sender, mut receiver, peer) = meet(&opener).unwrap();
        assert_eq!(peer.pid, Some(child.id()));
        std::thread::sleep(moment(round));
        child.kill();
        assert_eq!(recv(&mut receiver).unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(send(&mut sender, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(meet(&opener).map(drop).unwrap_err().kind(), ErrorKind::NoOwner);
        assert_eq!(T.open(&name, &none).unwrap_err().kind(), ErrorKind::NotFound);
        let left = T.inspect(&name, &none).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].state, ObjectState::Stale, "{left:?}");
        match round % 3 {
            // The next owner needs no cleaning up before.
            0 => drop(T.create(&name, &none).unwrap()),
            1 => T.remove(&name, &none, false).unwrap(),
            _ => {
                let swept = T.sweep(&none, true).unwrap();
                assert!(swept.iter().any(|object| object.name.as_ref() == Some(&name)));
            }
        }
        nothing_is_left(&name);
    }
}

/// How long a death may go unnoticed: a second by design, more on a machine that is overloaded.
const NOTICED: Duration = Duration::from_secs(5);

fn nothing_is_left(name: &Name) {
    assert!(T.inspect(name, &options("capacity=1MiB")).unwrap().is_empty());
}

/// A name that no other test and no other process uses.
fn name(tag: &str) -> Name {
    Name::new(&format!("shm-{tag}-{}", std::process::id())).unwrap()
}

fn options(query: &str) -> Options {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Options::parse(pairs, &[COMMON_KEYS, T.keys()]).unwrap()
}

/// Accepts or connects.
fn meet(
    endpoint: &Endpoint,
) -> Result<(impl SendHalf + use<>, impl RecvHalf + use<>, Peer), Error> {
    let hello = Hello { transport: "shm".into(), max_message: 1 << 20, ..Hello::default() };
    WAIT_LOOP.meet(endpoint, hello)
}

fn send(half: &mut impl SendHalf, payload: &[u8]) -> Result<()> {
    WAIT_LOOP.send(half, Flags::NONE, payload)
}

fn recv(half: &mut impl RecvHalf) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    WAIT_LOOP.recv(half, &mut got)?;
    Ok(got)
}
