//! Scenes of processes that are killed at random instants: what was sent with `Ok` arrives, the
//! survivor notices the death, and nothing is left behind.
//!
//! A transport's test file needs a `child`, and a test for each scene. The frames have up to
//! 60008 bytes.
//!
//! ```no_run
//! # fn show(transport: impl anyipc_core::Transport) {
//! use anyipc_conformance::{Fixture, kills};
//! let fixture = Fixture::new(transport);
//! kills::child(&fixture); // in the test `child`
//! kills::sender(&fixture); // in `what_a_killed_sender_sent_arrives`
//! # }
//! ```

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Capabilities, DynEndpoint, ErrorKind, Flags, Name, ObjectState, Result};

use crate::fixture::End;
use crate::victim::{Victim, kills, message, moment, role, say};
use crate::{Fixture, WaitLoop};

/// How long a death may go unnoticed: a second by design, more on a machine that is overloaded.
const NOTICED: Duration = Duration::from_secs(5);

/// Plays the role of the victim over this transport, until it is killed. Returns at once in the
/// test itself, and if the role is none of these scenes.
///
/// # Panics
/// If a call fails.
pub fn child(fixture: &Fixture<'_>) {
    let Some((role, name)) = role() else { return };
    let Some((scheme, role)) = role.split_once(' ') else { return };
    if scheme != fixture.scheme() {
        return;
    }
    if role == "owner" {
        let owner = fixture.create(&name);
        say(1);
        let mut channels = Vec::new();
        loop {
            channels.push(fixture.connect(&*owner).expect("accept"));
        }
    }
    let mut end = fixture.connect(&*fixture.open(&name)).expect("connect");
    if role == "send" {
        for number in 0u64.. {
            fixture.send(&mut end, &message(number)).expect("send");
            say(number + 1);
        }
    }
    say(1);
    loop {
        fixture.recv(&mut end).expect("receive");
    }
}

/// The scenes of one process take turns: one of them counts the descriptors of the process.
fn turn() -> MutexGuard<'static, ()> {
    static SCENES: Mutex<()> = Mutex::new(());
    SCENES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills an opener that sends. Without [`Capabilities::DELIVERS_AFTER_DEATH`] what arrives may be
/// less than what was sent.
///
/// # Panics
/// If a message is lost or torn, if the owner is not told, or if descriptors leak.
pub fn sender(fixture: &Fixture<'_>) {
    let _turn = turn();
    let name = fixture.name();
    let owner = fixture.create(&name);
    let mut before = 0;
    for round in 0..kills() {
        let mut child = fixture.victim("send", &name);
        let mut end = fixture.connect(&*owner).expect("accept");
        let first = child.reported();
        let mut got = 0;
        // In some rounds the channel is full, and the sender dies in its sleep.
        let until = Instant::now() + moment(round);
        while !round.is_multiple_of(3) && Instant::now() < until {
            assert!(fixture.recv(&mut end).expect("receive") == message(got), "message {got}");
            got += 1;
        }
        thread::sleep(moment(round));
        let promised = child.kill().unwrap_or(first);
        let died = Instant::now();
        let error = loop {
            match fixture.recv(&mut end) {
                Ok(bytes) => assert!(bytes == message(got), "message {got} of round {round}"),
                Err(error) => break error,
            }
            got += 1;
        };
        assert_eq!(error.kind(), fixture.death(), "{error} in round {round}");
        assert!(died.elapsed() < NOTICED, "{:?} in round {round}", died.elapsed());
        if fixture.can(Capabilities::DELIVERS_AFTER_DEATH) {
            assert!(got >= promised, "{got} arrived of {promised} in round {round}");
        }
        drop(end);
        match round {
            0 => before = descriptors(),
            _ => assert!(descriptors() <= before + 8, "descriptors leak"),
        }
    }
    fixture.close(owner);
    nothing_is_left(fixture, &name);
}

/// Kills an opener that receives.
///
/// # Panics
/// If the owner is not told.
pub fn receiver(fixture: &Fixture<'_>) {
    let _turn = turn();
    let name = fixture.name();
    let owner = fixture.create(&name);
    for round in 0..kills() {
        let mut child = fixture.victim("receive", &name);
        let mut end = fixture.connect(&*owner).expect("accept");
        child.reported();
        let until = Instant::now() + moment(round);
        let mut number = 0;
        while Instant::now() < until {
            fixture.send(&mut end, &message(number)).expect("send");
            number += 1;
        }
        child.kill();
        cannot_send(fixture, &mut end);
    }
    fixture.close(owner);
    nothing_is_left(fixture, &name);
}

/// Kills an owner. While it lives, its name is taken; then the next owner, a removal or a sweep
/// reclaims it. For a transport with [`Capabilities::INVENTORY`].
///
/// # Panics
/// If the opener is not told, or if something is left.
pub fn owner(fixture: &Fixture<'_>) {
    let _turn = turn();
    let name = fixture.name();
    let (transport, options) = (fixture.transport(), fixture.options(&[]));
    for round in 0..kills() {
        let mut child = fixture.victim("owner", &name);
        child.reported();
        assert_eq!(failed(transport.create(&name, &options)), ErrorKind::Exists);
        let opener = fixture.open(&name);
        let mut end = fixture.connect(&*opener).expect("connect");
        assert!(end.peer.pid.is_none_or(|pid| pid == child.id()), "{:?}", end.peer);
        thread::sleep(moment(round));
        child.kill();
        assert_eq!(failed(fixture.recv(&mut end)), fixture.death());
        cannot_send(fixture, &mut end);
        assert_eq!(failed(fixture.connect(&*opener)), ErrorKind::NoOwner);
        assert_eq!(failed(transport.open(&name, &options)), ErrorKind::NotFound);
        let left = transport.inspect(&name, &options).expect("inspect");
        assert!(left.len() == 1 && left[0].state == ObjectState::Stale, "{left:?}");
        match round % 3 {
            // The next owner needs no cleaning up before.
            0 => fixture.close(fixture.create(&name)),
            1 => transport.remove(&name, &options, false).expect("remove"),
            _ => {
                let swept = transport.sweep(&options, true).expect("sweep");
                assert!(swept.iter().any(|object| object.name.as_ref() == Some(&name)));
            }
        }
        nothing_is_left(fixture, &name);
    }
}

/// Sends until the death is reported.
fn cannot_send(fixture: &Fixture<'_>, end: &mut End) {
    let died = Instant::now();
    let error = loop {
        match fixture.send(end, b"to the dead") {
            Ok(()) => assert!(died.elapsed() < NOTICED, "the death was not noticed"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), fixture.death(), "{error}");
}

fn nothing_is_left(fixture: &Fixture<'_>, name: &Name) {
    if fixture.can(Capabilities::INVENTORY) {
        let left = fixture.transport().inspect(name, &fixture.options(&[])).expect("inspect");
        assert!(left.is_empty(), "{left:?}");
    }
}

fn failed<T>(result: Result<T>) -> ErrorKind {
    result.map(drop).expect_err("it should fail").kind()
}

/// The number of open descriptors; 0 where the system does not show them. Wine shows descriptors of
/// its own.
fn descriptors() -> usize {
    if cfg!(windows) { 0 } else { fs::read_dir("/dev/fd").map_or(0, Iterator::count) }
}

impl Fixture<'_> {
    fn scheme(&self) -> &'static str {
        self.transport().schemes().first().copied().unwrap_or_default()
    }

    fn victim(&self, role: &str, name: &Name) -> Victim {
        Victim::spawn(&format!("{} {role}", self.scheme()), name.as_str())
    }

    fn connect(&self, endpoint: &dyn DynEndpoint) -> Result<End> {
        WaitLoop::thread(self).connect(endpoint, self.hello()).map(End::from)
    }

    fn send(&self, end: &mut End, payload: &[u8]) -> Result<()> {
        WaitLoop::thread(self).send(&mut *end.sender, Flags::NONE, payload)
    }

    fn recv(&self, end: &mut End) -> Result<Vec<u8>> {
        let mut got = Vec::new();
        WaitLoop::thread(self).recv(&mut *end.receiver, &mut got)?;
        Ok(got)
    }
}
