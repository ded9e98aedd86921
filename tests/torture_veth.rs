//! `Ok` over a network whose packets are as short as on any Ethernet: the kernel's send buffers hold little there, and
//! most of a long message waits in them. Two network namespaces, joined by a pair of virtual devices.
#![cfg(all(target_os = "linux", feature = "socket"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyipc::ErrorKind;
use support::process::{hear, linger, say, serve, spawn_under};
use support::{Scratch, watchdog};

const PATIENCE: Duration = Duration::from_secs(20);
/// Runs what follows in a namespace with the address 10.9.0.1, beside a process in another one with 10.9.0.2.
const NETWORK: &str = r#"set -e
unshare --net sleep 120 </dev/null >/dev/null 2>&1 & other=$!
trap 'kill $other' EXIT
while [ "$(readlink /proc/$other/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
ip link add here mtu 1500 type veth peer name there mtu 1500
ip link set there netns $other
ip addr add 10.9.0.1/24 dev here
ip link set here up
nsenter --net --target $other ip addr add 10.9.0.2/24 dev there
nsenter --net --target $other ip link set there up
OTHER=$other "$@""#;
const WRAPPER: &[&str] = &["unshare", "--net", "sh", "-c", NETWORK, "sh"];

#[test]
fn child() {
    serve(&[("owner", owner), ("opener", opener)]);
}

/// `owner <length> <how>`: sends until there is no room, then only receives.
fn owner(words: &[&str]) {
    let len: usize = words[0].parse().unwrap();
    let owner = anyipc::create("tcp://10.9.0.1:0?allow_remote=true").unwrap();
    let other = std::env::var("OTHER").unwrap();
    let dir = std::env::var("ANYIPC_DIR").unwrap();
    let wrapper = ["nsenter", "--net", "--target", &other];
    let mut opener = spawn_under(&wrapper, Path::new(&dir), &format!("opener {} {len}", owner.address()));
    let mut channel = owner.accept_timeout(PATIENCE).unwrap();
    let message = vec![7; len];
    let mut sent = 0;
    loop {
        let tried = match words[1] {
            "try" => channel.try_send(&message),
            _ => channel.send_timeout(&message, Duration::from_millis(20)),
        };
        match tried {
            Ok(()) => sent += 1,
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                break;
            }
        }
    }
    opener.say(&sent.to_string());
    assert_eq!(channel.recv_timeout(PATIENCE).unwrap(), b"all of them", "after {sent} of {len} bytes");
    say(&format!("{sent} arrived"));
}

fn opener(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    let sent: u64 = hear().unwrap().parse().unwrap();
    for i in 0..sent {
        let got = channel.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{i} of {sent}: {error}"));
        assert_eq!(got.len().to_string(), words[1]);
    }
    channel.send(b"all of them").unwrap();
    linger();
}

#[test]
fn what_was_ok_arrives_over_short_packets() {
    let (program, arguments) = WRAPPER.split_first().unwrap();
    let done = Command::new(program).args(arguments).arg("true").output();
    if !done.as_ref().is_ok_and(|done| done.status.success()) {
        println!("no network namespaces, or no `ip` (iproute2): NOT TESTED: {done:?}");
        return;
    }
    let _watchdog = watchdog("the test over short packets", Duration::from_secs(300));
    for len in [60_000, 20_000, 1000, 100] {
        for how in ["try", "timed"] {
            let place = Scratch::new("veth");
            let mut owner = spawn_under(WRAPPER, place.path(), &format!("owner {len} {how}"));
            let arrived = owner.hear_within(Duration::from_secs(60));
            assert!(arrived.ends_with("arrived") && !arrived.starts_with("0 "), "{len}, {how}: {arrived}");
            println!("{len} bytes, {how}: {arrived}");
        }
    }
}
