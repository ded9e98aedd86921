//! The second stream of a connector that was welcomed, where an owner has no descriptor left but
//! the one that it keeps for that. The test is alone in its process, since it uses up the
//! descriptors of that process.
#![cfg(all(target_os = "linux", anyipc_as_macos))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::fs::File;

use anyipc_core::{Attempt, Endpoint as _, ErrorKind, Transport};
use anyipc_socket::{Local, StreamEndpoint};
use common::{hello, name, options, recv, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One step of a handshake that is not complete after it.
fn step(end: &StreamEndpoint, attempt: &mut Attempt) {
    assert!(end.try_connect(attempt).unwrap_err().is_would_block());
}

#[test]
fn a_welcomed_connector_is_accepted_past_one_that_finds_no_room() {
    let name = name("second-stream");
    let owner = Local.create(&name, &options(&Local, &[])).unwrap();
    let opener = Local.open(&name, &options(&Local, &[])).unwrap();
    let attempt = || Attempt::new(hello("local"));
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..getrlimit(Resource::Nofile) })
        .unwrap();
    for free in 0..3 {
        let (mut accepting, mut welcomed, mut newcomer) = (attempt(), attempt(), attempt());
        step(&opener, &mut welcomed);
        step(&owner, &mut accepting);
        // The newcomer is the first one in the queue.
        step(&opener, &mut newcomer);
        let (mut sender, _receiver, _) = opener.try_connect(&mut welcomed).unwrap();
        let mut taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        taken.truncate(taken.len() - free);
        let met = (0..1000).find_map(|_| owner.try_connect(&mut accepting).ok());
        drop(taken);
        let (_sender, mut receiver, _) = met.unwrap();
        send(&mut sender, b"ping").unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"ping");
        if free < 2 {
            // It was closed without an answer, and tries again.
            let error = opener.try_connect(&mut newcomer).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoOwner);
            newcomer = attempt();
            step(&opener, &mut newcomer);
        }
        // Nobody is told of a channel that there is not.
        let mut channel = None;
        let accepted = (0..1000).find_map(|_| {
            channel = channel.take().or_else(|| opener.try_connect(&mut newcomer).ok());
            owner.try_connect(&mut accepting).ok()
        });
        let (mut sender, _, _) = channel.unwrap();
        let (_, mut receiver, _) = accepted.unwrap();
        send(&mut sender, b"pong").unwrap();
        assert_eq!(recv(&mut receiver).unwrap(), b"pong");
    }
}
