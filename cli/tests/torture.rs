//! `torture`: what holds is said to hold, and what is broken on purpose is found.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test panics")]

mod common;

use anyipc::Capabilities;
use common::{Done, Place, finish, schemes};
use serde_json::Value;

/// The address of a scheme, for a run with few resources.
fn url(scheme: &str) -> String {
    match scheme {
        "tcp" => "tcp://127.0.0.1:0".into(),
        // The user's queues have a common limit.
        "posix-mq" => "posix-mq://torture?capacity=16KiB".into(),
        _ => format!("{scheme}://torture"),
    }
}

/// Runs it, with a fault on purpose, and returns the JSON line.
fn torture(place: &Place, fault: Option<&str>, args: &[&str]) -> (Done, Value) {
    let always = ["--json", "torture", "--size", "1000", "--seed", "7"];
    // A busy machine takes its time.
    let says = fault == Some("late") || args.contains(&"--late-after");
    let late: &[&str] = if says { &[] } else { &["--late-after", "8s"] };
    let mut command = place.command([&always, late, args].concat());
    if let Some(fault) = fault {
        command.env("ANYIPC_TORTURE_FAULT", fault);
    }
    let done = finish(command, b"");
    let report = done.records().pop().unwrap_or_else(|| panic!("{}", done.stderr()));
    (done, report)
}

/// All holds, with some of everything checked; nothing is left.
#[track_caller]
fn holds(args: &[&str], checks: &[&str]) {
    let place = Place::new();
    let (done, report) = torture(&place, None, &[args, &["--kills", "20"]].concat());
    assert_eq!(done.code(), Some(0), "{args:?}: {report:#}");
    assert_eq!(report["held"], true);
    assert_eq!(report["complete"], true);
    assert_eq!(report["seed"], 7);
    assert_eq!(report["kills"], 20);
    assert_eq!(report["stops"], if cfg!(unix) { 5 } else { 0 });
    assert_eq!(report["violations"], Value::Array(Vec::new()));
    let checked = |check: &str| {
        let all = report["checks"].as_array().unwrap();
        all.iter().find(|row| row["check"] == check).and_then(|row| row["checked"].as_u64())
    };
    for check in checks.iter().chain(&["hang", "failed", "left"]) {
        assert!(checked(check) > Some(0), "{args:?}, {check}: {report:#}");
    }
    assert!(report["went_on"]["count"].as_u64() > Some(0), "{report:#}");
    assert!(std::fs::read_dir(place.path()).unwrap().next().is_none(), "{args:?}");
}

#[test]
fn channels_hold() {
    for scheme in schemes(Capabilities::CHANNEL | Capabilities::HANDSHAKE) {
        let checks = ["lost", "torn", "twice", "order", "unsent", "late", "false_death"];
        holds(&[&url(scheme), "--as", "channel"], &checks);
    }
}

#[test]
fn inboxes_hold() {
    for scheme in schemes(Capabilities::CHANNEL | Capabilities::HANDSHAKE) {
        holds(&[&url(scheme), "--as", "inbox"], &["lost", "twice", "order", "false_death"]);
    }
}

#[test]
fn queues_hold() {
    for scheme in schemes(Capabilities::QUEUE) {
        let more = if scheme == "mq" { "?priorities=3&capacity=16KiB" } else { "" };
        holds(&[&format!("{}{more}", url(scheme))], &["lost", "twice", "order", "unsent", "late"]);
    }
}

#[test]
fn leases_hold() {
    for scheme in schemes(Capabilities::LEASES) {
        let checks = ["lost", "twice", "order", "exclusion", "value", "late"];
        holds(&[&url(scheme), "--as", "lease"], &checks);
    }
}

#[test]
fn values_hold() {
    for scheme in schemes(Capabilities::BLOCK) {
        holds(&[&url(scheme), "--as", "block"], &["stale", "late"]);
        holds(&[&url(scheme), "--as", "watch"], &["stale", "late"]);
    }
}

#[test]
fn locks_and_events_hold() {
    let checks = ["exclusion", "value", "untold", "late"];
    holds(&["shm://torture", "--as", "mutex"], &checks);
    holds(&["shm://torture", "--as", "rwlock"], &["exclusion", "value", "late"]);
    holds(&["shm://torture", "--as", "semaphore"], &["exclusion", "late"]);
    holds(&["shm://torture", "--as", "event"], &["lost", "twice", "late"]);
}

#[test]
fn condvars_barriers_and_onces_hold() {
    holds(&["shm://torture", "--as", "condvar"], &["exclusion", "value", "late"]);
    holds(&["shm://torture", "--as", "barrier"], &["round", "late"]);
    holds(&["shm://torture", "--as", "once"], &["twice", "unsent", "false_death", "late"]);
}

/// The check that finds the fault, as the last words of a run. Without kills of its own it has
/// none, and a second: nobody else can have had the message that was lost.
#[track_caller]
fn finds(fault: &str, args: &[&str], check: &str, words: &str) {
    let place = Place::new();
    let soon = if fault == "hang" { "2s" } else { "20s" };
    let few = ["--stops", "0", "--hang-after", soon];
    let kills: &[&str] =
        if args.contains(&"--kills") { &[] } else { &["--kills", "0", "--duration", "1s"] };
    let (done, report) = torture(&place, Some(fault), &[args, kills, &few].concat());
    assert_eq!(done.code(), Some(1), "{fault}: {report:#}");
    assert_eq!(report["held"], false);
    let violations = report["violations"].as_array().unwrap();
    let found = violations.iter().find(|violation| violation["check"] == check);
    let found = found.unwrap_or_else(|| panic!("{fault}: {report:#}"));
    assert!(found["what"].as_str().unwrap().contains(words), "{fault}: {found}");
    assert_eq!(found["seed"], 7);
    assert!(found["at_ms"].is_f64() && found["worker"].is_string(), "{found}");
    let left = std::fs::read_dir(place.path()).unwrap().next();
    assert!(left.is_none(), "{fault}: {left:?}");
}

#[test]
fn every_fault_of_a_channel_is_found() {
    let args = ["local://torture", "--as", "channel"];
    for (fault, check, words) in [
        ("lose", "lost", "have not arrived, numbers 3 to 3"),
        ("duplicate", "twice", "message 3"),
        ("tear", "torn", "message "),
        ("reorder", "order", "came after message 4"),
        ("false-death", "false_death", "has closed in order"),
        ("leave", "failed", "it ended by itself"),
        ("file", "left", "left"),
    ] {
        finds(fault, &args, check, words);
    }
    if cfg!(unix) {
        finds("descriptor", &args, "descriptors", "open at its end");
    }
}

#[test]
fn a_late_report_and_a_hanging_call_are_found() {
    let args = ["local://torture", "--as", "channel"];
    finds("hang", &args, "hang", "");
    finds("late", &[&args[..], &["--kills", "8"]].concat(), "late", "its peer was killed");
}

#[test]
fn every_fault_of_an_inbox_is_found() {
    let args = ["local://torture", "--as", "inbox"];
    for (fault, check, words) in [
        ("lose", "lost", "have not arrived"),
        ("duplicate", "twice", "message 3"),
        ("tear", "torn", "message "),
        ("reorder", "order", "came after message 4"),
    ] {
        finds(fault, &args, check, words);
    }
}

#[test]
fn every_fault_of_a_queue_is_found() {
    // One receiver has all of a lane.
    let args = ["mq://torture", "--workers", "2"];
    for (fault, check, words) in [
        ("lose", "lost", "no killed receiver can have had it"),
        ("duplicate", "twice", "message 3"),
        ("tear", "torn", "message "),
        ("reorder", "order", "came after message 4"),
        ("hang", "hang", ""),
    ] {
        finds(fault, &args, check, words);
    }
}

#[test]
fn every_fault_of_a_lease_is_found() {
    let args = ["mq://torture", "--as", "lease", "--workers", "2"];
    for (fault, check, words) in [
        ("lose", "lost", "never acknowledged"),
        ("duplicate", "twice", "after it was acknowledged"),
        ("tear", "torn", "message "),
        ("reorder", "order", "came after message 4"),
    ] {
        finds(fault, &args, check, words);
    }
}

#[test]
fn every_fault_of_a_value_is_found() {
    let args = ["shm://torture?size=16KiB"];
    finds("stale", &args, "stale", "after another one had replaced it");
    finds("tear", &args, "torn", "message ");
    let args = ["shm://torture", "--as", "watch", "--kills", "2"];
    finds("late", &args, "late", "waited for a newer value");
}

#[test]
fn every_fault_of_locks_and_events_is_found() {
    let mutex = ["shm://torture", "--as", "mutex", "--kills", "40"];
    finds("overlap", &mutex, "exclusion", "took the lock while it was held by");
    finds("silence", &mutex, "untold", "was not told");
    for kind in ["rwlock", "semaphore"] {
        let lock = ["shm://torture", "--as", kind];
        finds("overlap", &lock, "exclusion", "took the lock while it was held by");
    }
    let event = ["shm://torture", "--as", "event"];
    finds("duplicate", &event, "twice", "waits have ended");
    let event = ["shm://torture", "--as", "event", "--late-after", "1s"];
    finds("lose", &event, "lost", "no wait ended");
}

#[test]
fn every_fault_of_condvars_barriers_and_onces_is_found() {
    let condvar = ["shm://torture", "--as", "condvar"];
    finds("overlap", &condvar, "exclusion", "took the lock while it was held by");
    let condvar = ["shm://torture", "--as", "condvar", "--late-after", "200ms"];
    finds("lose", &condvar, "late", "after it was notified");
    finds("overlap", &["shm://torture", "--as", "barrier"], "round", "counted");
    let once = ["shm://torture", "--as", "once"];
    finds("duplicate", &once, "twice", "message 3");
    let once = ["shm://torture", "--as", "once", "--kills", "40"];
    finds("silence", &once, "untold", "was not told");
}

#[test]
fn the_table_says_what_the_run_found() {
    let place = Place::new();
    let args = ["torture", "local://torture", "--kills", "8", "--seed", "7"];
    let text = place.run(args).ok();
    for words in [
        "local://torture as channel: 8 kills, 2 stops, 4 workers, seed 7",
        "what was sent with Ok arrives",
        "MEDIAN",
        "a survivor's call said so",
    ] {
        assert!(text.contains(words) || cfg!(windows), "{words}: {text}");
    }
    assert!(!text.contains("BROKEN") && !text.contains('\u{1b}'), "{text}");
    let mut command = place.command(args);
    command.env("ANYIPC_TORTURE_FAULT", "lose");
    let done = finish(command, b"");
    assert_eq!(done.code(), Some(1));
    let text = done.stdout();
    assert!(text.contains("BROKEN") && text.contains("--seed 7 repeats the run"), "{text}");
    assert!(done.stderr().is_empty(), "{}", done.stderr());
}

#[test]
fn what_cannot_begin_is_no_broken_promise() {
    let place = Place::new();
    for (url, words) in [
        ("mq://torture?capacity=1KiB", "--size"),
        ("shm://torture?size=1KiB", "too large"),
        ("tcp://127.0.0.1:1?key_file=/nowhere/key", "nowhere"),
    ] {
        let done = place.run(["--json", "torture", url]);
        assert_eq!(done.code(), Some(1), "{url}: {}", done.stdout());
        assert!(done.stdout().is_empty(), "{url}");
        let message = done.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{url}: {message}");
    }
}

#[test]
fn usage_is_checked() {
    let place = Place::new();
    for args in [
        &["local://torture", "--as", "queue"][..],
        &["local://torture", "--as", "block"],
        &["inproc://torture"],
        &["shm://torture", "--as", "dance"],
        &["shm://torture", "--workers", "1"],
        &["shm://torture", "--size", "15"],
        &["shm://torture", "--duration", "5"],
        &[],
    ] {
        let done = place.run([&["--json", "torture"], args].concat());
        assert_eq!(done.failure().0, 2, "{args:?}");
        assert!(done.stdout().is_empty());
    }
    assert!(std::fs::read_dir(place.path()).unwrap().next().is_none());
}

/// A run that has objects.
#[cfg(unix)]
fn started(place: &Place) -> common::Running {
    let running = place.start(["torture", "shm://torture", "--duration", "60s"]);
    let start = std::time::Instant::now();
    let entries = |path: &std::path::Path| std::fs::read_dir(path).into_iter().flatten().flatten();
    let has_objects = || {
        let mut inner = entries(place.path()).flat_map(|run| entries(&run.path()));
        inner.any(|entry| entry.path().is_dir())
    };
    while !has_objects() {
        assert!(start.elapsed() < common::WATCHDOG, "no object appears");
        std::thread::yield_now();
    }
    running
}

/// What a killed run leaves, the next one removes.
#[cfg(unix)]
#[test]
fn a_run_removes_what_a_killed_one_left() {
    let place = Place::new();
    started(&place).kill();
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    let (done, _) = torture(&place, None, &["shm://torture", "--kills", "1"]);
    assert_eq!(done.code(), Some(0));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

/// The workers are dead, and nothing is left.
#[cfg(unix)]
#[test]
fn a_signal_ends_the_run() {
    let place = Place::new();
    let running = started(&place);
    running.signal(rustix::process::Signal::INT);
    let (status, data, errors) = running.end();
    assert_eq!(status.code(), Some(130), "{errors:?}");
    assert!(data.is_empty() && errors.is_empty(), "{data:?} {errors:?}");
    assert!(std::fs::read_dir(place.path()).unwrap().next().is_none());
}
