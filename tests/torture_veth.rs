//! `Ok` over a network with packets as short as on any Ethernet: the kernel's send buffers hold
//! little there, and most of a long message waits in them. Two network namespaces, joined by a pair
//! of virtual devices.
#![cfg(all(target_os = "linux", feature = "socket"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use support::place::Scratch;
use support::process::{hear, linger, say, serve, spawn_under};
use support::watchdog::watchdog;

const TIMEOUT: Duration = Duration::from_secs(20);
/// Runs a program in a namespace with the address 10.9.0.1, and one in another with 10.9.0.2.
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
# The kernel brings a link up later, and drops packets until then.
until ip link show here | grep -q 'state UP'; do sleep 0.01; done
until nsenter --net --target $other ip link show there | grep -q 'state UP'; do sleep 0.01; done
[ -z "$SEND_BUFFERS" ] || echo "$SEND_BUFFERS" >/proc/sys/net/ipv4/tcp_wmem
OTHER=$other "$@""#;
const WRAPPER: &[&str] = &["unshare", "--net", "sh", "-c", NETWORK, "sh"];

#[test]
fn child() {
    serve(&[("owner", owner), ("opener", opener), ("streamer", streamer), ("reader", reader)]);
}

/// `owner <length> <how>`: sends until there is no room, then only receives.
fn owner(words: &[&str]) {
    let len: usize = words[0].parse().unwrap();
    let owner = anyipc::create("tcp://10.9.0.1:0?allow_remote=true&timeout=20s").unwrap();
    let other = std::env::var("OTHER").unwrap();
    let dir = std::env::var("ANYIPC_DIR").unwrap();
    let wrapper = ["nsenter", "--net", "--target", &other];
    let mut opener =
        spawn_under(&wrapper, Path::new(&dir), &format!("opener {} {len}", owner.address()));
    let mut channel = owner.accept_timeout(TIMEOUT).unwrap();
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
                assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "{error}"
                );
                break;
            }
        }
    }
    opener.say(&sent.to_string());
    assert_eq!(
        channel.recv_timeout(TIMEOUT).unwrap(),
        b"all of them",
        "after {sent} of {len} bytes"
    );
    say(&format!("{sent} arrived"));
}

fn opener(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    let sent: u64 = hear().unwrap().parse().unwrap();
    for i in 0..sent {
        let got =
            channel.recv_timeout(TIMEOUT).unwrap_or_else(|error| panic!("{i} of {sent}: {error}"));
        assert_eq!(got.len().to_string(), words[1]);
    }
    channel.send(b"all of them").unwrap();
    linger();
}

/// Sends messages of many lengths as fast as the other side takes them.
fn streamer(_words: &[&str]) {
    let owner =
        anyipc::create("tcp://10.9.0.1:0?allow_remote=true&capacity=64KiB&timeout=20s").unwrap();
    let other = std::env::var("OTHER").unwrap();
    let dir = std::env::var("ANYIPC_DIR").unwrap();
    let wrapper = ["nsenter", "--net", "--target", &other];
    let _reader = spawn_under(&wrapper, Path::new(&dir), &format!("reader {}", owner.address()));
    let mut channel = owner.accept_timeout(TIMEOUT).unwrap();
    let begun = Instant::now();
    let mut sent: u64 = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        channel.send(&vec![7; length(sent)]).unwrap_or_else(|error| panic!("{sent}: {error}"));
        sent += 1;
    }
    channel.send(b"").unwrap();
    assert_eq!(channel.recv_timeout(TIMEOUT).unwrap(), sent.to_le_bytes());
    say(&format!("{sent} arrived"));
}

fn reader(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    let mut got: u64 = 0;
    loop {
        let message =
            channel.recv_timeout(TIMEOUT).unwrap_or_else(|error| panic!("{got}: {error}"));
        if message.is_empty() {
            break;
        }
        assert_eq!(message.len(), length(got));
        got += 1;
    }
    channel.send(&got.to_le_bytes()).unwrap();
    linger();
}

fn length(message: u64) -> usize {
    let of_these = [100, 3000, 65_536, 1, 20_000, 500, 131_072, 40, 4096, 60_000];
    of_these[usize::try_from(message * 7 % 10).unwrap()]
}

fn has_networks() -> bool {
    let (program, arguments) = WRAPPER.split_first().unwrap();
    let done = Command::new(program).args(arguments).arg("true").output();
    let has = done.as_ref().is_ok_and(|done| done.status.success());
    if !has {
        println!("no network namespaces, or no `ip` (iproute2): NOT TESTED: {done:?}");
    }
    has
}

/// Linux makes a send buffer that it sizes itself no larger than `tcp_wmem` says, and one that was
/// larger smaller then, also below what is queued.
#[test]
fn a_send_buffer_that_shrinks_tears_no_message() {
    if !has_networks() {
        return;
    }
    let _watchdog = watchdog("the test of a shrinking send buffer", Duration::from_secs(120));
    for (mtu, buffers) in
        [("576", "4096 4096 4096"), ("1500", "4096 4096 4096"), ("576", "4096 16384 65536")]
    {
        let network = NETWORK.replace("mtu 1500", &format!("mtu {mtu}"));
        let buffers = format!("SEND_BUFFERS={buffers}");
        let wrapper = ["env", &buffers, "unshare", "--net", "sh", "-c", &network, "sh"];
        let place = Scratch::new("veth");
        let mut owner = spawn_under(&wrapper, place.path(), "streamer");
        let arrived = owner.hear_within(Duration::from_secs(60));
        assert!(arrived.ends_with("arrived"), "packets of {mtu}, {buffers}: {arrived}");
        println!("packets of {mtu}, {buffers}: {arrived}");
    }
}

#[test]
fn what_was_ok_arrives_over_short_packets() {
    if !has_networks() {
        return;
    }
    let _watchdog = watchdog("the test over short packets", Duration::from_secs(300));
    for len in [60_000, 20_000, 1000, 100] {
        for how in ["try", "timed"] {
            let place = Scratch::new("veth");
            let mut owner = spawn_under(WRAPPER, place.path(), &format!("owner {len} {how}"));
            let arrived = owner.hear_within(Duration::from_secs(60));
            assert!(
                arrived.ends_with("arrived") && !arrived.starts_with("0 "),
                "{len}, {how}: {arrived}"
            );
            println!("{len} bytes, {how}: {arrived}");
        }
    }
}
