//! Processes killed while they connect over FIFOs: what they asked on is removed.
#![cfg(all(target_os = "linux", not(anyipc_as_macos)))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_conformance::victim::{self, Victim, kills, moment, say};
use anyipc_core::{Attempt, Endpoint as _, Transport};
use anyipc_named_pipe::NamedPipe;
use common::{create, failed, files, name, open, options};

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    let Some((role, name)) = victim::role() else { return };
    if role == "silent" {
        let _owner = create(&name);
        say(1);
        std::thread::sleep(Duration::from_secs(60));
    }
    let endpoint = open(&name);
    if role == "ask" {
        let mut attempt = Attempt::new(common::hello());
        assert!(failed(endpoint.try_connect(&mut attempt)).is_would_block());
        say(1);
        std::thread::sleep(Duration::from_secs(60));
    }
    say(1);
    loop {
        // Asks, and gives up at once or waits a little.
        let mut attempt = Attempt::new(common::hello());
        for _ in 0..20 {
            let _ = endpoint.try_connect(&mut attempt);
        }
    }
}

/// Locked by tests that sweep, and by tests that leave something behind on purpose.
static SWEEPS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    SWEEPS.lock().unwrap_or_else(PoisonError::into_inner)
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
