//! queue send, recv, ack, retry, extend, status, len and purge, between processes.

mod common;

use common::{Place, holders, parse};
use serde_json::json;

const JOBS: &str = "mq://jobs?persist=true&priorities=4";

#[test]
fn messages_stay_between_processes_and_come_by_priority() {
    let place = Place::new();
    assert_eq!(place.run(["queue", "send", JOBS, "later"]).ok(), "");
    assert_eq!(
        place.run(["queue", "send", "mq://jobs", "--priority", "3", "the urgent one"]).ok(),
        ""
    );
    place.run_with(["queue", "send", "mq://jobs", "--priority", "1", "-"], b"one\ntwo\n").ok();
    assert_eq!(place.run(["queue", "len", "mq://jobs"]).ok(), "4\n");
    let status = place.run(["queue", "len", "mq://jobs", "--json"]).records().remove(0);
    assert_eq!((&status["messages"], &status["bytes"]), (&json!(4), &json!(25)));
    assert_eq!((&status["priorities"], &status["dropped"]), (&json!(4), &json!(0)));
    let got = place.run(["queue", "recv", "mq://jobs", "--count", "2", "--json"]).records();
    assert_eq!((&got[0]["priority"], &got[0]["text"]), (&json!(3), &json!("the urgent one")));
    assert_eq!((&got[1]["priority"], &got[1]["text"]), (&json!(1), &json!("one")));
    assert_eq!(place.run(["queue", "recv", "mq://jobs"]).ok(), "two\nlater\n");
    assert_eq!(place.run(["queue", "recv", "mq://jobs"]).ok(), "");

    place.run(["queue", "send", "mq://jobs", "x"]).ok();
    assert_eq!(place.run(["queue", "purge", "mq://jobs"]).ok(), "1\n");
    let listed = place.run(["--json", "ls"]).records();
    assert_eq!((&listed[0]["address"], &listed[0]["kind"]), (&json!("mq://jobs"), &json!("queue")));
    assert_eq!(listed[0]["state"], "persistent");
    assert!(place.run(["explain", "mq://jobs"]).ok().contains("It stays although nobody holds it"));
    place.run(["doctor", "--fix"]).ok();
    assert_eq!(place.files().len(), 1);
    place.run(["rm", "mq://jobs"]).ok();
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_follower_prints_what_comes_until_it_is_stopped() {
    let place = Place::new();
    let mut follower =
        place.start_owner(["queue", "recv", "mq://live?priorities=2", "--follow", "--json"]);
    place.run(["queue", "send", "mq://live", "--priority", "1", "hello"]).ok();
    assert_eq!(parse(&follower.data.line())["text"], "hello");
    let listed = place.run(["--json", "ls"]).records();
    let holders = holders(follower.pid());
    assert!(listed.iter().any(|object| object["kind"] == "queue" && object["holders"] == holders));
    assert_eq!(place.run(["--json", "rm", "mq://live"]).failure().1, "busy");
    #[cfg(unix)]
    {
        follower.signal(rustix::process::Signal::INT);
        assert_eq!(follower.end().0.code(), Some(130));
        assert_eq!(place.files(), [""; 0]);
    }
}

/// The lease of a command belongs to time, and to those with its id.
#[test]
fn a_leased_message_is_acknowledged_by_another_command() {
    let place = Place::new();
    place.run(["queue", "send", JOBS, "first"]).ok();
    place.run(["queue", "send", "mq://jobs", "second"]).ok();
    let lease = ["queue", "recv", "mq://jobs", "--count", "1", "--lease", "60m"];
    let printed = place.run(lease).ok();
    let (id, text) = printed.trim_end().split_once('\t').unwrap();
    assert_eq!(text, "first");
    let leased = place.run([&lease[..], &["--json"]].concat()).records().remove(0);
    assert_eq!((&leased["text"], &leased["attempts"]), (&json!("second"), &json!(1)));
    assert_eq!(place.run(["queue", "recv", "mq://jobs"]).ok(), "");
    place.run(["queue", "send", "mq://jobs", "--after", "60m", "later"]).ok();
    let status = place.run(["queue", "status", "mq://jobs", "--json"]).records().remove(0);
    let counts = ["messages", "leased", "delayed", "dead"].map(|key| status[key].clone());
    assert_eq!(counts, [json!(0), json!(2), json!(1), json!(0)]);
    assert!(place.run(["queue", "status", "mq://jobs"]).ok().contains("leased          2\n"));

    place.run(["queue", "extend", "mq://jobs", id, "--lease", "50m"]).ok();
    assert_eq!(place.run(["queue", "ack", "mq://jobs", id]).ok(), "");
    let again = place.run(["--json", "queue", "ack", "mq://jobs", id]);
    assert_eq!(again.failure().1, "not_found");
    let id = leased["lease"].as_str().unwrap();
    let settled = place.run(["queue", "retry", "mq://jobs", id, "--json"]).records().remove(0);
    assert_eq!(settled["lease"], *id);
    // It is there again; a lease without time is over at once, and the attempts are counted.
    let short = ["queue", "recv", "mq://jobs", "--count", "1", "--lease", "0s", "--json"];
    for attempts in 2..4 {
        let leased = place.run(short).records().remove(0);
        assert_eq!((&leased["text"], &leased["attempts"]), (&json!("second"), &json!(attempts)));
    }
    assert_eq!(place.run(["--json", "queue", "ack", "mq://jobs", "x"]).failure().0, 2);
    assert_eq!(place.run(["queue", "purge", "mq://jobs"]).ok(), "2\n");
    place.run(["rm", "mq://jobs"]).ok();
}

#[test]
fn faults_are_told() {
    let place = Place::new();
    let absent = place.run(["--json", "queue", "len", "mq://absent"]);
    assert_eq!(absent.failure(), (1, "not_found".into(), Some(-3)));
    place
        .run(["queue", "send", "mq://full?persist=true&full=drop-new&capacity=1KiB", "first"])
        .ok();
    let lines: String = (0..20).map(|i| format!("{i}\n")).collect();
    let sent = place.run_with(["queue", "send", "mq://full", "--json"], lines.as_bytes());
    let summary = parse(sent.ok().trim_end());
    assert_eq!((&summary["sent"], &summary["dropped"]), (&json!(20), &json!(13)));
    assert!(sent.stderr().contains("13 messages were dropped"), "{}", sent.stderr());
    let other = place.run(["--json", "queue", "send", "mq://full?full=block", "x"]);
    assert_eq!(other.failure(), (1, "mismatch".into(), Some(-3)));
    let priority = place.run(["--json", "queue", "send", "mq://full", "--priority", "1", "x"]);
    assert_eq!(priority.failure().1, "invalid_option");
    let unmade = place.run(["--json", "queue", "send", JOBS, "--priority", "4", "x"]);
    assert_eq!(unmade.failure(), (2, "invalid_option".into(), None));
    assert_eq!(place.run(["--json", "queue", "len", "mq://jobs"]).failure().1, "not_found");
    let none = place.run(["--json", "queue", "len", "shm://none"]);
    assert_eq!(none.failure().1, "not_found");
}

#[cfg(target_os = "linux")]
#[test]
fn a_listed_address_leads_to_its_object() {
    let place = Place::new();
    for url in ["mq://same?persist=true", "posix-mq://same?persist=true"] {
        place.run(["queue", "send", url, "x"]).ok();
    }
    let listed = place.run(["--json", "ls"]).records();
    let mut addresses: Vec<_> =
        listed.iter().map(|object| object["address"].as_str().unwrap().to_owned()).collect();
    addresses.sort();
    assert_eq!(addresses, ["mq://same", "posix-mq://same"]);
    for address in addresses.iter().rev() {
        assert_eq!(place.run(["queue", "recv", address]).ok(), "x\n");
        place.run(["rm", address]).ok();
    }
    assert_eq!(place.files(), [""; 0]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_kernels_queues_are_used_in_the_same_way() {
    let place = Place::new();
    let url = "posix-mq://kernel?persist=true&priorities=2&capacity=4KiB";
    place.run(["queue", "send", url, "--priority", "1", "first"]).ok();
    place.run(["queue", "send", "posix-mq://kernel", "second"]).ok();
    assert_eq!(place.run(["queue", "len", "posix-mq://kernel"]).ok(), "2\n");
    assert_eq!(place.run(["queue", "recv", "posix-mq://kernel", "--count", "1"]).ok(), "first\n");
    assert_eq!(place.run(["queue", "purge", "posix-mq://kernel"]).ok(), "1\n");
    let listed = place.run(["--json", "ls"]).records().remove(0);
    assert_eq!(
        (&listed["address"], &listed["kind"], &listed["state"]),
        (&json!("posix-mq://kernel"), &json!("posix queue"), &json!("persistent"))
    );
    for gone in [
        place.run(["queue", "len", "mq://kernel?native=posix"]),
        place.run(["explain", "mq://kernel?native=posix"]),
        place.run(["rm", "mq://kernel?native=posix"]),
    ] {
        assert_eq!(gone.code(), Some(2));
        assert!(gone.stderr().contains("posix-mq://"), "{}", gone.stderr());
    }
    let explained = place.run(["explain", "mq://kernel"]).ok();
    assert!(!explained.contains("native"), "{explained}");
    place.run(["rm", "posix-mq://kernel"]).ok();
    assert_eq!(place.files(), [""; 0]);
}
