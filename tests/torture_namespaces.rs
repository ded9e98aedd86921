//! Processes in namespaces of their own (containers) that share a directory and a user.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::process::Command;
use std::time::Duration;

use anyipc::{Capabilities, Channel, ErrorKind};
use support::place::Scratch;
use support::process::{hear, linger, say, serve, spawn, spawn_under};
use support::schemes::{self, can, url};
use support::watchdog::watchdog;

const TIMEOUT: Duration = Duration::from_secs(20);
/// A PID namespace of its own; its processes die with the wrapper.
const PROCESSES: &[&str] = &["unshare", "--pid", "--fork", "--kill-child"];

#[test]
fn child() {
    serve(&[("owner", owner), ("opener", opener), ("create", create)]);
}

fn owner(words: &[&str]) {
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let mut channel = owner.accept_timeout(TIMEOUT).unwrap();
    assert_eq!(channel.recv_timeout(TIMEOUT).unwrap(), b"question");
    channel.send(b"answer").unwrap();
    tell_peer(&channel);
    linger();
}

fn opener(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    channel.send(b"question").unwrap();
    assert_eq!(channel.recv_timeout(TIMEOUT).unwrap(), b"answer");
    tell_peer(&channel);
    hear();
    let died = channel.recv_timeout(TIMEOUT).unwrap_err();
    say(died.kind().as_str());
}

fn tell_peer(channel: &Channel) {
    say(&format!("pid {:?} uid {:?}", channel.peer().pid, channel.peer().uid));
}

fn create(words: &[&str]) {
    match anyipc::create(words[0]) {
        Ok(_) => say("made"),
        Err(error) => say(&format!("{} {error}", error.kind().as_str())),
    }
}

/// Whether this user may make such namespaces.
fn may(wrapper: &[&str]) -> bool {
    let (program, arguments) = wrapper.split_first().unwrap();
    let done = Command::new(program).args(arguments).arg("true").output();
    let may = done.is_ok_and(|done| done.status.success());
    if !may {
        println!("this user or system has no {wrapper:?}: not tested");
    }
    may
}

/// Owner and opener in such namespaces (empty: this one) meet, over every scheme. Each is told the
/// other's user, and its process if that is in its own namespace. The owner's death is noticed.
fn meet(tag: &str, owner_in: &[&str], opener_in: &[&str], tells: [bool; 2]) {
    let _watchdog = watchdog(tag, Duration::from_secs(120));
    let uid = rustix::process::geteuid().as_raw();
    for scheme in schemes::between_processes() {
        let (place, url) = (Scratch::new(tag), url(scheme, tag));
        let mut owner = spawn_under(owner_in, place.path(), &format!("owner {url}"));
        owner.expect("ready");
        let mut opener = spawn_under(opener_in, place.path(), &format!("opener {url}"));
        for (process, told) in [(&mut opener, tells[0]), (&mut owner, tells[1])] {
            let heard = process.hear();
            if can(&url, Capabilities::PEER_CREDENTIALS) {
                assert!(heard.ends_with(&format!("uid Some({uid})")), "{url}: {heard}");
                assert_eq!(heard.starts_with("pid Some("), told, "{url}: {heard}");
                assert!(!heard.contains("Some(0) uid"), "{url}: {heard}");
            } else {
                assert_eq!(heard, "pid None uid None", "{url}");
            }
        }
        owner.kill();
        opener.say("your owner is dead");
        opener.expect(ErrorKind::PeerGone.as_str());
        opener.finish();
    }
}

#[test]
fn owner_and_opener_meet_from_two_pid_namespaces() {
    if may(PROCESSES) {
        // The outer namespace sees the processes of the inner one.
        meet("inner-opener", &[], PROCESSES, [false, true]);
        meet("inner-owner", PROCESSES, &[], [true, false]);
        meet("beside", PROCESSES, PROCESSES, [false, false]);
    }
}

#[test]
fn owner_and_opener_meet_from_two_mount_namespaces() {
    let apart = [PROCESSES, &["--mount", "--mount-proc"]].concat();
    if may(&apart) {
        meet("mounts", &[], &apart, [false, true]);
        meet("mounts", &apart, &[], [true, false]);
    }
}

#[test]
fn owner_and_opener_meet_from_two_user_namespaces() {
    let mapped = [PROCESSES, &["--user", "--map-current-user"]].concat();
    if may(&mapped) {
        meet("users", &[], &mapped, [false, true]);
        meet("users", &mapped, &mapped, [false, false]);
    }
}

#[test]
fn a_user_without_a_number_is_told_so() {
    let _watchdog = watchdog("unmapped", Duration::from_secs(60));
    let unmapped = ["unshare", "--user", "--fork", "--kill-child"];
    if !may(&unmapped) {
        return;
    }
    for scheme in schemes::between_processes().iter().filter(|scheme| **scheme != "tcp") {
        let (place, url) = (Scratch::new("unmapped"), url(scheme, "unmapped"));
        let heard = spawn_under(&unmapped, place.path(), &format!("create {url}")).hear();
        assert!(heard.starts_with("permission_denied "), "{heard}");
        assert!(heard.contains("no number in its user namespace"), "{heard}");
        spawn(place.path(), &format!("create {url}")).expect("made");
    }
}
