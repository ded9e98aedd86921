//! What the command does over each transport that is there on this platform.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod common;

use anyipc::Capabilities;
use common::{Place, Running, parse, schemes, works};

/// Runs a test for each transport with these capabilities, with an address for an owner.
fn each(capabilities: Capabilities, test: fn(&Place, &str)) {
    for scheme in schemes(capabilities) {
        let place = Place::new();
        let name = match scheme {
            // The system chooses a port.
            "tcp" => "127.0.0.1:0".into(),
            // A name without a path would be that of the other tests, too.
            "plain" => place.path().join("each").display().to_string(),
            _ => "each".into(),
        };
        test(&place, &format!("{scheme}://{name}"));
    }
}

/// Starts an owner, and returns its address.
fn owner(place: &Place, args: &[&str]) -> (Running, String) {
    let mut owner = place.start(args);
    let line = owner.errors.line();
    let address = line.strip_prefix("waiting at ").unwrap_or_else(|| panic!("{line}")).to_owned();
    (owner, address)
}

/// Every byte but the line end, and more than a frame or a pipe's buffer holds.
#[test]
fn any_bytes_arrive() {
    each(Capabilities::CHANNEL, |place, url| {
        let (receiver, address) = owner(place, &["recv", url, "--json"]);
        let bytes: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        let long = bytes.repeat(2000);
        let lines = [&bytes[..], b"", &long, b"\r", b"text"];
        let sent = place.run_with(["send", &address], &lines.join(&b'\n'));
        assert_eq!(sent.ok(), "", "{url}");
        let (status, received, errors) = receiver.end();
        assert!(status.success(), "{url}: {errors:?}");
        let received: Vec<_> = received.iter().map(|line| parse(line)).collect();
        assert_eq!(received.len(), lines.len(), "{url}");
        for (record, line) in received.iter().zip(lines) {
            assert_eq!(record["len"], line.len(), "{url}");
            let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            match std::str::from_utf8(line) {
                Ok(text) => assert_eq!(record["text"], text, "{url}"),
                Err(_) => assert_eq!(record["data_hex"], hex, "{url}"),
            }
        }
    });
}

/// The standard output gets the bytes of each message as they are.
#[test]
fn a_large_stream_is_copied_as_it_is() {
    each(Capabilities::CHANNEL, |place, url| {
        let lines: String =
            (0..20_000).map(|i| format!("{i} {}\r\n", "x".repeat(i % 200))).collect();
        let path = place.path().join("received");
        let mut command = place.command(["recv", url]);
        command.stdout(std::fs::File::create(&path).unwrap());
        let mut receiver = Running::without_data(command);
        let line = receiver.errors.line();
        let address = line.strip_prefix("waiting at ").unwrap();
        place.run_with(["send", address], lines.as_bytes()).ok();
        assert!(receiver.end().0.success(), "{url}");
        assert!(std::fs::read(&path).unwrap() == lines.as_bytes(), "{url}");
    });
}

#[test]
fn calls_are_answered_and_owners_are_single() {
    each(Capabilities::CHANNEL, |place, url| {
        let (_owner, address) = owner(place, &["serve", url, "--echo"]);
        for text in ["ping", "", "ü"] {
            assert_eq!(place.run(["call", &address, text]).ok(), format!("{text}\n"), "{url}");
        }
        let second = place.run(["--json", "recv", &address]);
        assert_eq!(second.failure(), (1, "exists".into(), Some(-1)), "{url}");
    });
}

#[test]
fn without_an_owner_it_fails() {
    each(Capabilities::CHANNEL, |place, url| {
        // A port that has had an owner.
        let (owner, address) = owner(place, &["serve", url, "--echo"]);
        owner.kill();
        for args in [["send", &address, "x"], ["call", &address, "x"]] {
            let failed =
                place.run([&["--json", "--quiet"], &args[..], &["--timeout", "50ms"]].concat());
            assert_eq!(failed.failure(), (1, "no_owner".into(), Some(-3)), "{url}");
        }
    });
}

#[test]
fn several_senders_and_a_killed_one() {
    each(Capabilities::CHANNEL, |place, url| {
        let (mut receiver, address) = owner(place, &["recv", url, "--count", "301"]);
        let mut killed = place.start(["send", &address]);
        killed.write(b"killed\n");
        assert_eq!(receiver.data.line(), "killed", "{url}");
        killed.kill();
        let lines: String = (0..100).map(|i| format!("{i}\n")).collect();
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let mut sender = place.start(["send", &address]);
                sender.write(lines.as_bytes());
                sender
            })
            .collect();
        for sender in senders {
            assert!(sender.end().0.success(), "{url}");
        }
        let (status, mut received, _) = receiver.end();
        assert!(status.success(), "{url}");
        received.sort_by_key(|line| line.parse::<u32>().unwrap());
        let expected: Vec<_> = (0..300).map(|i| (i / 3).to_string()).collect();
        assert_eq!(received, expected, "{url}");
    });
}

#[test]
fn objects_are_listed_explained_and_removed() {
    each(Capabilities::CHANNEL | Capabilities::INVENTORY, |place, url| {
        let (owner, address) = owner(place, &["serve", url, "--echo"]);
        let listed = place.run(["--json", "ls"]).records();
        assert!(!listed.is_empty() && listed.iter().all(|o| o["state"] == "live"), "{listed:?}");
        assert!(listed.iter().any(|object| object["address"] == address.as_str()), "{listed:?}");
        assert!(place.run(["inspect", &address]).ok().contains("live"), "{url}");
        assert!(place.run(["explain", &address]).ok().contains("live owner"), "{url}");
        let busy = place.run(["--json", "rm", &address]);
        assert_eq!(busy.failure(), (1, "busy".into(), None), "{url}");
        owner.kill();
        let listed = place.run(["--json", "ls"]).records();
        assert!(listed.iter().all(|object| object["state"] == "stale"), "{listed:?}");
        assert_eq!(place.run(["doctor"]).code(), Some(i32::from(!listed.is_empty())), "{url}");
        let fixed = place.run(["doctor", "--fix"]);
        assert_eq!(fixed.code(), Some(0), "{url}: {}", fixed.stdout());
        assert_eq!(place.files(), [""; 0], "{url}");
        let none = place.run(["--json", "rm", &address]);
        assert_eq!(none.failure(), (1, "not_found".into(), None), "{url}");
    });
}

#[test]
fn what_this_platform_lacks_is_said() {
    let explained = Place::new().run(["explain", "posix-mq://x"]);
    assert_eq!(explained.ok().contains("unsupported here"), !works("posix-mq"));
}

#[test]
fn the_doctor_finds_each_transport_well() {
    let findings = Place::new().run(["--json", "doctor"]);
    findings.ok();
    for scheme in schemes(Capabilities::CHANNEL) {
        let well = format!("{scheme}:// works");
        let told = findings.records().iter().any(|finding| finding["detail"] == well.as_str());
        assert!(told, "{}", findings.stdout());
    }
}
