//! connect: both directions of one channel, between processes.

mod common;

use anyipc::Capabilities;
use common::{Place, parse, uid};
use serde_json::json;

/// An address of each transport with channels that other processes find by name.
fn urls(name: &str) -> Vec<String> {
    let schemes = common::schemes(Capabilities::CHANNEL | Capabilities::INVENTORY);
    schemes.into_iter().map(|scheme| format!("{scheme}://{name}")).collect()
}

#[test]
fn lines_go_out_and_messages_come_in() {
    for url in urls("duplex") {
        let place = Place::new();
        let _owner = place.start_owner(["serve", &url, "--echo"]);
        let mut talk = place.start(["connect", &url]);
        assert_eq!(talk.errors.line(), format!("connected to {url}"));
        // Each answer comes while the standard input is still open.
        for text in ["one", "", "two"] {
            talk.write(format!("{text}\n").as_bytes());
            assert_eq!(talk.data.line(), text, "{url}");
        }
        talk.write(b"the last line without its end");
        let (status, data, errors) = talk.end();
        assert!(status.success() && errors.is_empty(), "{url}: {errors:?}");
        assert_eq!(data, ["the last line without its end"], "{url}");
    }
}

#[test]
fn more_than_fits_goes_both_ways_at_once() {
    for url in urls("much") {
        let place = Place::new();
        let _owner = place.start_owner(["serve", &url, "--echo"]);
        let lines: String = (0..20_000).map(|i| format!("line {i} of many\n")).collect();
        let talk = place.run_with(["-q", "connect", &url], lines.as_bytes());
        assert!(talk.ok() == lines, "{url}");
        assert_eq!(talk.stderr(), "", "{url}");
    }
}

#[test]
fn json_tells_bytes_and_peer() {
    let place = Place::new();
    let owner = place.start_owner(["serve", "shm://json", "--echo"]);
    let talk = place.run_with(["--json", "connect", "shm://json"], b"plain\n\xff\n");
    let peer = json!({ "pid": owner.pid(), "uid": uid() });
    assert_eq!(
        talk.records(),
        [
            json!({ "schema": 1, "peer": peer, "len": 5, "text": "plain" }),
            json!({ "schema": 1, "peer": peer, "len": 1, "data_hex": "ff" }),
        ]
    );
}

#[test]
fn an_owner_that_leaves_in_order_ends_it() {
    for url in urls("leaves") {
        let place = Place::new();
        let owner = place.start_owner(["serve", &url, "--echo", "--count", "1"]);
        let mut talk = place.start(["connect", &url]);
        talk.write(b"only\n");
        assert_eq!(talk.data.line(), "only", "{url}");
        assert!(owner.end().0.success());
        // The standard input stays open.
        let input = talk.stdin.take();
        let (status, data, errors) = talk.end();
        drop(input);
        assert!(status.success() && data.is_empty(), "{url}: {errors:?}");
        assert_eq!(errors.last().unwrap(), "the owner has left", "{url}");
    }
}

#[test]
fn an_owner_that_dies_is_a_failure_after_what_it_sent() {
    for url in urls("dies") {
        let place = Place::new();
        let owner = place.start_owner(["serve", &url, "--echo"]);
        let mut talk = place.start(["--json", "connect", &url]);
        talk.write(b"heard\n");
        assert_eq!(parse(&talk.data.line())["text"], "heard", "{url}");
        owner.kill();
        let input = talk.stdin.take();
        let (status, _, errors) = talk.end();
        drop(input);
        assert_eq!(status.code(), Some(1), "{url}: {errors:?}");
        assert_eq!(parse(errors.last().unwrap())["error"]["kind"], "peer_gone", "{url}");
    }
}

/// `recv` takes messages and sends none.
#[test]
fn an_owner_that_answers_nothing_is_no_failure() {
    let place = Place::new();
    let owner = place.start_owner(["recv", "shm://silent"]);
    assert_eq!(place.run_with(["connect", "shm://silent"], b"a\nb\n").ok(), "");
    assert_eq!(owner.end().1, ["a", "b"]);
}

/// An owner of the library keeps the direction to its peers open.
#[test]
fn an_owner_that_keeps_its_direction_open_is_left_after_a_while() {
    let place = Place::new();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let url = format!("shm://cli.keeper.{}", std::process::id());
    let owner = anyipc::create(&url).unwrap();
    let keeper = std::thread::spawn(move || {
        let mut channel = owner.accept().unwrap();
        assert_eq!(channel.recv().unwrap(), b"a");
        channel.send(b"kept").unwrap();
        let _ = ended.recv();
    });
    // The owner is this process, so the command looks where this process has its objects.
    let mut command = place.command(["connect", &url, "--linger", "200ms"]);
    match std::env::var_os("ANYIPC_DIR") {
        Some(dir) => command.env("ANYIPC_DIR", dir),
        None => command.env_remove("ANYIPC_DIR"),
    };
    assert_eq!(common::finish(command, b"a\n").ok(), "kept\n");
    drop(done);
    keeper.join().unwrap();
}

#[test]
fn faults_have_the_exit_codes_of_the_others() {
    let place = Place::new();
    let nobody = place.run(["--json", "connect", "shm://nobody", "--timeout", "30ms"]);
    assert_eq!(nobody.failure(), (1, "no_owner".into(), Some(-3)));
    assert_eq!(place.run(["--json", "connect", "shmm://x"]).code(), Some(2));
    assert_eq!(place.run(["connect", "inproc://alone"]).code(), Some(2));

    let _owner = place.start_owner(["serve", "shm://limit?max_message=10", "--echo"]);
    let long = place.run_with(["--json", "connect", "shm://limit"], b"0123456789\n0123456789a\n");
    assert_eq!(long.failure(), (1, "message_too_large".into(), None));
    assert_eq!(long.records().len(), 1, "what was sent before is answered");
}

/// Ctrl-C on Windows is an event of a console, and reaches all its processes.
#[cfg(unix)]
#[test]
fn a_signal_ends_it() {
    let place = Place::new();
    let _owner = place.start_owner(["serve", "shm://signal", "--echo"]);
    let mut talk = place.start(["connect", "shm://signal"]);
    talk.write(b"here\n");
    assert_eq!(talk.data.line(), "here");
    talk.signal(rustix::process::Signal::INT);
    let input = talk.stdin.take();
    assert_eq!(talk.end().0.code(), Some(130));
    drop(input);
}
