//! send, recv, serve and call, between processes.

mod common;

use common::{Place, parse, uid};
use serde_json::json;

#[test]
fn lines_arrive_in_order() {
    let place = Place::new();
    let receiver = place.start_owner(["recv", "shm://lines"]);
    let lines: Vec<_> = (0..5000).map(|i| format!("line {i} {}", "x".repeat(i % 300))).collect();
    let sent = place.run_with(["send", "shm://lines"], lines.join("\n").as_bytes());
    assert_eq!(sent.ok(), "");
    let (status, received, errors) = receiver.end();
    assert!(status.success(), "{errors:?}");
    assert_eq!(received, lines);
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn the_sender_waits_for_the_owner() {
    let place = Place::new();
    let mut sender = place.start(["send", "shm://late", "hello"]);
    let receiver = place.start(["recv", "shm://late"]);
    let (status, received, errors) = receiver.end();
    assert!(status.success() && received == ["hello"], "{received:?} {errors:?}");
    sender.stdin = None;
    assert!(sender.end().0.success());
}

#[test]
fn many_senders_one_receiver() {
    let place = Place::new();
    let receiver = place.start_owner(["recv", "shm://many", "--count", "4000", "--json"]);
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            let mut running = place.start(["send", "shm://many", "-"]);
            let lines: String = (0..1000).map(|i| format!("{sender} {i}\n")).collect();
            running.write(lines.as_bytes());
            running
        })
        .collect();
    let pids: Vec<_> = senders.iter().map(|sender| sender.pid()).collect();
    for sender in senders {
        assert!(sender.end().0.success());
    }
    let (status, received, _) = receiver.end();
    assert!(status.success());
    let mut next = [0; 4];
    for line in received {
        let line = parse(&line);
        let (sender, number) = line["text"].as_str().unwrap().split_once(' ').unwrap();
        let sender: usize = sender.parse().unwrap();
        assert_eq!(number, next[sender].to_string(), "in order per sender");
        next[sender] += 1;
        assert_eq!(line["peer"]["pid"], pids[sender]);
    }
    assert_eq!(next, [1000; 4]);
}

#[test]
fn json_tells_everything() {
    let place = Place::new();
    let receiver = place.start_owner(["recv", "shm://json", "--json"]);
    let sent = place.run_with(["send", "shm://json", "--json"], b"plain\n\xff\x00\n\n\xc3\xbc");
    let summary = json!({
        "schema": 1, "address": "shm://json", "sent": 4, "bytes": 9,
        "peer": { "pid": receiver.pid(), "uid": uid() },
    });
    assert_eq!(sent.records(), [summary]);
    let (_, received, _) = receiver.end();
    let received: Vec<_> = received.iter().map(|line| parse(line)).collect();
    let pid = received[0]["peer"]["pid"].clone();
    let peer = json!({ "id": "1", "pid": pid, "uid": uid() });
    assert!(pid.is_u64());
    assert_eq!(
        received,
        [
            json!({ "schema": 1, "peer": peer, "len": 5, "text": "plain" }),
            json!({ "schema": 1, "peer": peer, "len": 2, "data_hex": "ff00" }),
            json!({ "schema": 1, "peer": peer, "len": 0, "text": "" }),
            json!({ "schema": 1, "peer": peer, "len": 2, "text": "ü" }),
        ]
    );
}

/// Ctrl-C on Windows is an event of a console, and reaches all its processes.
#[cfg(unix)]
#[test]
fn follow_goes_on_until_a_signal() {
    let place = Place::new();
    let mut receiver = place.start_owner(["recv", "shm://follow", "--follow"]);
    for text in ["one", "two"] {
        place.run(["send", "shm://follow", text]).ok();
        assert_eq!(receiver.data.line(), text);
    }
    receiver.signal(rustix::process::Signal::INT);
    let (status, rest, _) = receiver.end();
    assert_eq!((status.code(), rest.len()), (Some(130), 0));
    assert_eq!(place.files(), [""; 0], "an interrupted owner leaves nothing");
}

/// Signals the process and at once its group, as `timeout` does.
#[cfg(unix)]
#[test]
fn two_signals_at_once_are_one_request() {
    use anyipc::Capabilities;
    use rustix::process::Signal;
    for scheme in common::schemes(Capabilities::CHANNEL | Capabilities::INVENTORY) {
        let place = Place::new();
        let url = format!("{scheme}://twice");
        let receiver = place.start_owner(["recv", &url, "--follow"]);
        receiver.signal(Signal::TERM);
        receiver.signal(Signal::TERM);
        assert_eq!(receiver.end().0.code(), Some(130));
        assert_eq!(place.files(), [""; 0], "{scheme}");
    }
}

#[test]
fn count_and_timeout_end_it() {
    let place = Place::new();
    let receiver = place.start_owner(["recv", "shm://count", "--count", "2"]);
    for text in ["one", "two"] {
        place.run(["send", "shm://count", text]).ok();
    }
    let (status, received, _) = receiver.end();
    assert!(status.success());
    assert_eq!(received, ["one", "two"]);

    let alone = place.run(["--json", "recv", "shm://count", "--timeout", "20ms"]);
    assert_eq!(alone.failure(), (1, "timed_out".into(), None));
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_killed_sender_is_noticed_and_its_messages_are_kept() {
    let place = Place::new();
    let mut receiver = place.start_owner(["recv", "shm://killed"]);
    let mut sender = place.start(["send", "shm://killed"]);
    sender.write(b"first\nsecond\n");
    assert_eq!([receiver.data.line(), receiver.data.line()], ["first", "second"]);
    let pid = sender.pid();
    sender.kill();
    let (status, rest, errors) = receiver.end();
    assert!(status.success() && rest.is_empty(), "{rest:?}");
    assert!(errors.iter().any(|line| line.contains(&format!("process {pid}"))), "{errors:?}");
}

#[test]
fn a_killed_owner_is_replaced() {
    let place = Place::new();
    let mut owner = place.start_owner(["recv", "shm://replaced", "--follow"]);
    let mut sender = place.start(["send", "shm://replaced", "--json"]);
    sender.write(b"x\n");
    assert_eq!(owner.data.line(), "x");
    owner.kill();
    let gone = place.run(["--json", "call", "shm://replaced", "two", "--timeout", "50ms"]);
    assert_eq!(gone.failure(), (1, "no_owner".into(), Some(-3)));

    let _owner = place.start_owner(["serve", "shm://replaced", "--echo"]);
    assert_eq!(place.run(["call", "shm://replaced", "three"]).ok(), "three\n");
    // The old connection is lost; the next message shows it.
    let lines = b"y\n".repeat(100_000);
    let _ = std::io::Write::write_all(sender.stdin.as_mut().unwrap(), &lines);
    let (status, _, errors) = sender.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(parse(errors.last().unwrap())["error"]["kind"], "peer_gone", "{errors:?}");
}

#[test]
fn calls_are_answered() {
    let place = Place::new();
    let owner = place.start_owner(["serve", "shm://echo", "--echo"]);
    assert_eq!(place.run(["call", "shm://echo", "ping"]).ok(), "ping\n");
    let answer = &place.run(["call", "--json", "shm://echo", "ping"]).records()[0];
    assert_eq!(answer["text"], "ping");
    assert_eq!(answer["peer"]["pid"], owner.pid());
    assert!(answer["micros"].as_f64().unwrap() > 0.0);
    // A command line on Windows has 32,767 characters.
    let large = "x".repeat(if cfg!(windows) { 30_000 } else { 100_000 });
    assert_eq!(place.run(["call", "shm://echo", &large]).ok().len(), large.len() + 1);
    // A peer that does not take its answers delays no other.
    place.run_with(["send", "shm://echo"], &b"unheard\n".repeat(50_000)).ok();
    #[cfg(unix)]
    {
        owner.signal(rustix::process::Signal::TERM);
        assert_eq!(owner.end().0.code(), Some(130));
    }
}

#[test]
fn serve_counts() {
    let place = Place::new();
    let owner = place.start_owner(["serve", "shm://counted", "--echo", "--count", "1", "--json"]);
    assert_eq!(place.run(["call", "shm://counted", "ping"]).ok(), "ping\n");
    let (status, data, _) = owner.end();
    assert!(status.success());
    assert_eq!(parse(&data[0]), json!({ "schema": 1, "address": "shm://counted", "served": 1 }));
}

#[test]
fn without_an_owner_or_an_answer() {
    let place = Place::new();
    for args in [["send", "shm://nobody", "hi"], ["call", "shm://nobody", "hi"]] {
        let failed = place.run([&["--json"], &args[..], &["--timeout", "30ms"]].concat());
        assert_eq!(failed.failure(), (1, "no_owner".into(), Some(-3)));
        assert_eq!(failed.error()["name"], "SM_OPEN_FAIL");
        assert_eq!(failed.error()["address"], "shm://nobody?timeout=30ms");
    }
    let _silent = place.start_owner(["recv", "shm://silent", "--follow"]);
    let failed = place.run(["--json", "call", "shm://silent", "hi", "--timeout", "1s"]);
    assert_eq!(failed.failure(), (1, "timed_out".into(), None));
}

#[test]
fn one_owner_at_a_time() {
    let place = Place::new();
    let _owner = place.start_owner(["recv", "shm://one"]);
    let second = place.run(["--json", "recv", "shm://one"]);
    assert_eq!(second.failure(), (1, "exists".into(), Some(-1)));
    assert_eq!(second.error()["name"], "SM_CREATE_EXIST");
}

#[test]
fn limits_are_named() {
    let place = Place::new();
    let _owner = place.start_owner(["recv", "shm://limit?max_message=10", "--follow"]);
    let sent = place.run_with(["--json", "send", "shm://limit"], b"0123456789\n0123456789a\n");
    assert_eq!(sent.failure(), (1, "message_too_large".into(), None));
    assert!(sent.error()["message"].as_str().unwrap().contains("max_message=10"));
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let place = Place::new();
    let mut command = place.command(["recv", "shm://pipe", "--follow"]);
    command.stdin(std::process::Stdio::null());
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((command, reader));
    let _ = place.run(["send", "shm://pipe", "unread"]);
    let mut errors = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut errors).unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), errors.as_str()),
        (Some(0), "waiting at shm://pipe\n")
    );
    assert_eq!(place.files(), [""; 0]);
}

/// Only `/proc` tells whether a process has its handler already.
#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_a_wait_for_an_owner() {
    let place = Place::new();
    let mut sender = place.start(["send", "shm://never?timeout=1m"]);
    // It reads its standard input only after it has connected: wait for the signal handler instead.
    let status = format!("/proc/{}/status", sender.pid());
    let caught = |text: String| {
        let mask = text.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim);
        mask.and_then(|mask| u64::from_str_radix(mask, 16).ok()).is_some_and(|mask| mask & 2 != 0)
    };
    let started = std::time::Instant::now();
    while !caught(std::fs::read_to_string(&status).unwrap()) {
        assert!(started.elapsed() < common::WATCHDOG);
        std::thread::yield_now();
    }
    sender.signal(rustix::process::Signal::INT);
    let (status, data, errors) = {
        let stdin = sender.stdin.take();
        let ended = sender.end();
        drop(stdin);
        ended
    };
    assert_eq!((status.code(), data.len(), errors.len()), (Some(130), 0, 0));
}

#[test]
fn what_reaches_no_other_process_is_refused() {
    let place = Place::new();
    for args in [
        &["recv", "inproc://alone"][..],
        &["serve", "--echo", "inproc://alone"],
        &["send", "inproc://alone", "x"],
        &["call", "inproc://alone", "x"],
    ] {
        let done = place.run(args);
        assert_eq!(done.code(), Some(2), "{args:?}");
        let said = done.stderr();
        assert!(
            said.contains("reaches no other process; choose from shm, ")
                && !said.contains(", inproc"),
            "{said}"
        );
    }
}
