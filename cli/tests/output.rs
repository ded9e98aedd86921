//! Messages that cannot be printed: a full disk, and a reader that leaves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a panic here"
)]

mod common;

use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyipc::Capabilities;
use common::{Place, WATCHDOG, schemes};

const JOBS: &str = "mq://jobs?persist=true&priorities=4";
const COUNT: usize = 50;

/// Each test holds this lock. Otherwise a child that another thread forks would hold the reading
/// end of every pipe until it executes its program, and the pipe would have a reader.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue with this many short messages.
fn filled(place: &Place) {
    let lines: String = (0..COUNT).map(|i| format!("message {i}\n")).collect();
    place.run_with(["queue", "send", JOBS, "--priority", "2"], lines.as_bytes()).ok();
}

/// Linux has a file that is always full.
#[cfg(target_os = "linux")]
fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

/// A pipe without a reader.
fn unread() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

fn run(mut command: Command, stdout: Stdio) -> Output {
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    end(command.spawn().unwrap())
}

/// Waits for its end. Panics if it hangs.
#[track_caller]
fn end(child: Child) -> Output {
    let (ended, end) = channel();
    thread::spawn(move || ended.send(child.wait_with_output().unwrap()));
    end.recv_timeout(WATCHDOG).expect("it ends")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_queue_keeps_what_cannot_be_printed() {
    let _alone = alone();
    let place = Place::new();
    filled(&place);
    for args in [
        &["queue", "recv", "mq://jobs"][..],
        &["queue", "recv", "mq://jobs", "--json"],
        &["queue", "recv", "mq://jobs", "--follow"],
        &["queue", "recv", "mq://jobs", "--count", "20"],
    ] {
        #[cfg(target_os = "linux")]
        {
            let failed = run(place.command(args), full());
            let errors = errors(&failed);
            assert_eq!(failed.status.code(), Some(1), "{errors}");
            assert!(errors.contains("at the end of the queue again"), "{errors}");
        }
        let left = run(place.command(args), unread());
        assert_eq!(left.status.code(), Some(0), "{}", errors(&left));
        assert_eq!(place.run(["queue", "len", "mq://jobs"]).ok(), format!("{COUNT}\n"), "{args:?}");
    }
    let mut got: Vec<_> =
        place.run(["queue", "recv", "mq://jobs"]).ok().lines().map(str::to_owned).collect();
    let mut sent: Vec<_> = (0..COUNT).map(|i| format!("message {i}")).collect();
    got.sort();
    sent.sort();
    assert_eq!(got, sent);
}

#[test]
fn a_reader_of_some_lines_leaves_the_others() {
    let _alone = alone();
    let place = Place::new();
    filled(&place);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = place.command(["queue", "recv", "mq://jobs", "--follow"]);
    let child = command.stdin(Stdio::piped()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    // All messages are in the pipe; later ones, after its reader has left, must stay in the queue.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(reader));
    for i in 0..COUNT {
        assert_eq!(lines.next().unwrap().unwrap(), format!("message {i}"));
    }
    drop(lines);
    filled(&place);
    assert_eq!(end(child).status.code(), Some(0));
    assert_eq!(place.run(["queue", "len", "mq://jobs"]).ok(), format!("{COUNT}\n"));
}

/// Outputs that take little or nothing.
const OUTPUTS: &[fn() -> Stdio] = &[
    #[cfg(target_os = "linux")]
    full,
    unread,
];

/// An owner takes no message before it has printed the last one: the channel fills up.
#[test]
fn an_owner_takes_no_more_than_it_prints() {
    let _alone = alone();
    for scheme in schemes(Capabilities::CHANNEL | Capabilities::INVENTORY) {
        for stdout in OUTPUTS {
            let place = Place::new();
            let url = format!("{scheme}://full?capacity=64KiB");
            let mut command = place.command(["recv", &url, "--follow"]);
            command.stdin(Stdio::null()).stdout(stdout()).stderr(Stdio::piped());
            let owner = command.spawn().unwrap();
            drop(command);
            let lines = format!("{}\n", "x".repeat(1000)).repeat(2000);
            let sent = place.run_with(["--json", "send", &url], lines.as_bytes());
            assert_eq!(sent.code(), Some(1), "{scheme}: {}", sent.stdout());
            assert!(
                matches!(sent.failure().1.as_str(), "peer_gone" | "closed"),
                "{}",
                sent.stderr()
            );
            assert_eq!(sent.error()["address"], url.as_str(), "{}", sent.stderr());
            assert!(end(owner).status.code().is_some());
        }
    }
}

#[test]
fn every_command_that_prints_tells_of_a_full_disk() {
    let _alone = alone();
    let place = Place::new();
    filled(&place);
    let _block = place.hold(["block", "create", "shm://b", "--size", "4KiB", "--hold"]);
    let _text = place.hold(["lpsz", "shm://t", "text", "--hold"]);
    let _echo = place.start_owner(["serve", "shm://echo", "--echo"]);
    for args in [
        &["call", "shm://echo", "ping"][..],
        &["--json", "send", "shm://echo", "ping"],
        &["lpsz", "shm://t"],
        &["block", "cat", "shm://b"],
        &["block", "stat", "shm://b"],
        &["block", "create", "shm://other", "--size", "1", "--hold"],
        &["--json", "block", "open", "shm://b"],
        &["queue", "len", "mq://jobs"],
        &["ls"],
        &["inspect", "shm://b"],
        &["explain", "shm://b"],
        &["doctor"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
        &["queue", "recv", "--help"],
    ] {
        #[cfg(target_os = "linux")]
        {
            let failed = run(place.command(args), full());
            let errors = errors(&failed);
            assert_eq!(failed.status.code(), Some(1), "{args:?}: {errors}");
            assert!(errors.contains("No space left"), "{args:?}: {errors}");
        }
        let left = run(place.command(args), unread());
        assert_eq!((left.status.code(), errors(&left).as_str()), (Some(0), ""), "{args:?}");
    }
}
