//! block … and lpsz, between processes.

mod common;

use common::{Place, holders, parse};
use serde_json::json;

#[test]
fn a_block_lives_until_its_last_holder() {
    let place = Place::new();
    let creator = place.hold(["block", "create", "shm://last", "--size", "4097", "--hold"]);
    let opener = place.hold(["block", "open", "shm://last", "--hold"]);
    place.run_with(["block", "write", "shm://last", "--offset", "4090"], b"content").ok();
    assert!(creator.end().0.success());
    assert_eq!(place.run(["block", "cat", "shm://last", "--offset", "4090"]).ok(), "content");
    let again = place.run(["--json", "block", "create", "shm://last", "--size", "1"]);
    assert_eq!(again.failure(), (1, "exists".into(), Some(-1)));
    assert!(opener.end().0.success());
    let gone = place.run(["--json", "block", "open", "shm://last"]);
    assert_eq!(gone.failure(), (1, "not_found".into(), Some(-3)));
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn bytes_go_where_they_should() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://bytes?size=16", "--hold"]);
    place.run_with(["block", "write", "shm://bytes"], b"0123456789abcdef").ok();
    let written =
        place.run_with(["--json", "block", "write", "shm://bytes", "--offset", "4"], b"\xff\n");
    assert_eq!(
        written.records(),
        [json!({ "schema": 1, "address": "shm://bytes", "offset": 4, "written": 2 })]
    );
    let cat = |args: &[&str]| place.run([&["block", "cat", "shm://bytes"], args].concat()).0.stdout;
    assert_eq!(cat(&[]), b"0123\xff\n6789abcdef");
    assert_eq!(cat(&["--offset", "3", "--len", "3"]), b"3\xff\n");
    assert_eq!(cat(&["--offset", "16"]), b"");
    let record = &place
        .run(["--json", "block", "cat", "shm://bytes", "--offset", "4", "--len", "2"])
        .records()[0];
    let expected =
        json!({ "schema": 1, "address": "shm://bytes", "offset": 4, "len": 2, "data_hex": "ff0a" });
    assert_eq!(*record, expected);
}

#[test]
fn a_watch_prints_each_value() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://watch?size=16", "--hold"]);
    let store = |value: &[u8]| place.run_with(["block", "write", "shm://watch", "--value"], value);
    let mut json = place.start(["--json", "block", "watch", "shm://watch", "--count", "3"]);
    for (version, value, shown) in [
        (1, &b"dark"[..], json!({ "len": 4, "text": "dark" })),
        (2, b"\xff", json!({ "len": 1, "data_hex": "ff" })),
        (3, b"", json!({ "len": 0, "text": "" })),
    ] {
        store(value).ok();
        let mut expected = json!({ "schema": 1, "address": "shm://watch", "version": version });
        expected.as_object_mut().unwrap().extend(shown.as_object().unwrap().clone());
        assert_eq!(parse(&json.data.line()), expected);
    }
    assert!(json.end().0.success());
    // The present value comes first.
    assert_eq!(place.run(["block", "watch", "shm://watch", "--count", "1"]).ok(), "\n");
    let mut text = place.start(["block", "watch", "shm://watch"]);
    assert_eq!(text.data.line(), "");
    let long = place.run_with(["--json", "block", "write", "shm://watch", "--value"], &[1; 9]);
    assert_eq!(long.failure().1, "message_too_large");
    let record = place.run_with(["--json", "block", "write", "shm://watch", "--value"], b"light");
    assert_eq!(record.records(), [json!({ "schema": 1, "address": "shm://watch", "written": 5 })]);
    assert_eq!(text.data.line(), "light");
    place.run(["rm", "shm://watch", "--force"]).ok();
    let (status, _, errors) = text.end();
    assert_eq!(status.code(), Some(1));
    assert!(errors.last().unwrap().contains("shm://watch"), "{errors:?}");
}

#[test]
fn values_are_stored_and_loaded_as_json() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://value?size=256", "--hold"]);
    let url = "shm://value?codec=json";
    let empty = place.run(["--json", "block", "load", url]);
    assert_eq!(empty.failure(), (1, "not_found".into(), None));

    let stored = place.run(["--json", "block", "store", url, r#"{"theme": "dark", "size": 11}"#]);
    assert_eq!(
        stored.records(),
        [json!({ "schema": 1, "address": url, "version": 1, "written": 26 })]
    );
    assert_eq!(place.run(["block", "load", url]).ok(), "{\"size\":11,\"theme\":\"dark\"}\n");
    let value = json!({ "theme": "dark", "size": 11 });
    let loaded = json!({ "schema": 1, "address": url, "version": 1, "value": value });
    assert_eq!(place.run(["--json", "block", "load", url]).records(), [loaded]);
    // What a watch prints is the same.
    assert_eq!(
        place.run(["block", "watch", "shm://value", "--count", "1"]).ok(),
        "{\"size\":11,\"theme\":\"dark\"}\n"
    );

    place.run_with(["block", "store", url], b" [1,\n 2.5, null] \n").ok();
    assert_eq!(place.run(["block", "load", url]).ok(), "[1,2.5,null]\n");
    place.run(["block", "store", url, "-7"]).ok();
    assert_eq!(place.run(["block", "load", url]).ok(), "-7\n");

    for (input, kind) in [("{", "codec"), ("", "codec"), ("1 2", "codec")] {
        let failed = place.run_with(["--json", "block", "store", url, "-"], input.as_bytes());
        assert_eq!(failed.failure(), (1, kind.into(), None), "{input}");
    }
    let long = format!("\"{}\"", "x".repeat(200));
    let failed = place.run(["--json", "block", "store", url, &long]);
    assert_eq!(failed.failure(), (1, "message_too_large".into(), None));
    assert_eq!(place.run(["block", "load", url]).ok(), "-7\n", "the value before stays");
}

/// Bytes of another codec could be read as some JSON: `1` is the letter of a postcard number.
#[test]
fn values_of_other_codecs_are_not_guessed() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://other?size=64", "--hold"]);
    place.run_with(["block", "write", "shm://other", "--value"], b"\x05dark").ok();
    for url in ["shm://other", "shm://other?codec=postcard", "shm://other?codec=bincode"] {
        for args in [&["load", url][..], &["store", url, "1"]] {
            let failed = place.run([&["--json", "block"], args].concat());
            assert_eq!(failed.failure(), (2, "invalid_option".into(), None), "{args:?}");
            assert!(failed.error()["message"].as_str().unwrap().contains("codec=json"));
        }
    }
    let failed = place.run(["--json", "block", "load", "shm://other?codec=json"]);
    assert_eq!(failed.failure(), (1, "codec".into(), None));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_watch() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://watch?size=16", "--hold"]);
    place.run_with(["block", "write", "shm://watch", "--value"], b"one").ok();
    let mut watch = place.start(["block", "watch", "shm://watch"]);
    assert_eq!(watch.data.line(), "one");
    watch.signal(rustix::process::Signal::INT);
    assert_eq!(watch.end().0.code(), Some(130));
}

#[test]
fn ranges_outside_are_refused() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://range", "--size", "8", "--hold"]);
    for args in [
        ["--offset", "9"].as_slice(),
        &["--len", "9"],
        &["--offset", "16777216GiB"],
        &["--offset", "8", "--len", "1"],
    ] {
        let failed = place.run([&["--json", "block", "cat", "shm://range"], args].concat());
        assert_eq!(failed.failure(), (1, "out_of_bounds".into(), None), "{args:?}");
        assert_eq!(failed.0.stdout, b"");
    }
    let failed =
        place.run_with(["--json", "block", "write", "shm://range", "--offset", "4"], b"12345");
    assert_eq!(failed.failure(), (1, "out_of_bounds".into(), None));
    assert_eq!(
        place.run(["block", "cat", "shm://range"]).ok(),
        "\0".repeat(8),
        "nothing was written"
    );
}

#[test]
fn the_classic_values() {
    let place = Place::new();
    let create = |size: &str| {
        place.run(["--json", "block", "create", "shm://values", "--size", size]).failure()
    };
    assert_eq!(create("0"), (2, "invalid_option".into(), Some(-2)));
    assert_eq!(create("18446744073709551615"), (1, "out_of_memory".into(), Some(-4)));
    assert_eq!(
        place.run(["--json", "block", "create", "shm://values"]).failure(),
        (2, "invalid_option".into(), Some(-2))
    );

    // A directory that cannot be made.
    std::fs::write(place.path().join("file"), "").unwrap();
    let mut command = place.command(["--json", "block", "create", "shm://values", "--size", "1"]);
    command.env("ANYIPC_DIR", place.path().join("file"));
    let failed = common::finish(command, b"").failure();
    assert_eq!((failed.0, failed.2), (1, Some(-2)));

    let holder =
        place.start(["--json", "block", "create", "shm://values", "--size", "1", "--hold"]);
    let mut holder = holder;
    let ready = parse(&holder.data.line());
    let expected = json!({
        "schema": 1, "ready": true, "address": "shm://values?size=1", "size": 1, "role": "owner",
        "pid": holder.pid(),
    });
    assert_eq!(ready, expected);
    let other = place.run(["--json", "block", "open", "shm://values?size=2"]);
    assert_eq!(other.failure(), (1, "mismatch".into(), Some(-3)));

    // Removed while it is held: its status cannot be read when the holder closes it.
    place.run(["rm", "shm://values", "--force"]).ok();
    let (status, _, errors) = holder.end();
    let error = parse(errors.last().unwrap())["error"].clone();
    assert_eq!(
        (status.code(), &error["code"], &error["name"]),
        (Some(1), &json!(-5), &json!("SM_STAT_FAIL"))
    );
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_hold_in_order() {
    use rustix::process::Signal;
    let place = Place::new();
    for signal in [Signal::INT, Signal::TERM] {
        let mut holder = place.hold(["block", "create", "shm://signal", "--size", "1", "--hold"]);
        let stdin = holder.stdin.take();
        holder.signal(signal);
        assert_eq!(holder.end().0.code(), Some(130));
        drop(stdin);
        assert_eq!(place.files(), [""; 0]);
    }
}

#[test]
fn stat_does_not_hold() {
    let place = Place::new();
    let holder = place.hold(["block", "create", "shm://stat", "--size", "64KiB", "--hold"]);
    let stat = &place.run(["--json", "block", "stat", "shm://stat"]).records()[0];
    assert_eq!(stat["size"], 65536);
    assert_eq!(stat["state"], "live");
    assert_eq!(stat["holders"], holders(holder.pid()));
    let text = place.run(["block", "stat", "shm://stat"]).ok();
    assert!(text.contains("65536 bytes") && text.contains("live"), "{text}");
    holder.kill();
    assert_eq!(place.run(["--json", "block", "stat", "shm://stat"]).records()[0]["state"], "stale");
    let none = place.run(["--json", "block", "stat", "shm://none"]);
    assert_eq!(none.failure(), (1, "not_found".into(), Some(-3)));
}

#[test]
fn blocks_and_owners_are_told_apart() {
    let place = Place::new();
    let _owner = place.start_owner(["recv", "shm://plain", "--follow"]);
    let failed = place.run(["--json", "block", "open", "shm://plain"]);
    assert_eq!(failed.failure(), (1, "unsupported".into(), Some(-3)));
    let failed = place.run(["--json", "block", "create", "inproc://x", "--size", "1"]);
    assert_eq!(failed.failure(), (1, "unsupported".into(), Some(-2)));
}

#[test]
fn texts_are_stored_and_read() {
    let place = Place::new();
    let holder = place.hold(["lpsz", "shm://text", "C:\\Üsers\\me", "--hold"]);
    assert_eq!(place.run(["lpsz", "shm://text"]).ok(), "C:\\Üsers\\me\n");
    let record = &place.run(["--json", "lpsz", "shm://text"]).records()[0];
    let expected =
        json!({ "schema": 1, "address": "shm://text", "len": 12, "text": "C:\\Üsers\\me" });
    assert_eq!(*record, expected);
    let again = place.run(["--json", "lpsz", "shm://text", "other"]);
    assert_eq!(again.failure(), (1, "exists".into(), Some(-1)));
    assert!(holder.end().0.success());
    let gone = place.run(["--json", "lpsz", "shm://text"]);
    assert_eq!(gone.failure(), (1, "not_found".into(), Some(-3)));

    let fleeting = place.run(["lpsz", "shm://text", ""]);
    assert_eq!(fleeting.ok(), "");
    assert!(fleeting.stderr().contains("--hold"));
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_text_is_read_over_every_transport_between_processes() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in ["local://text".to_owned(), format!("tcp://{port}")] {
        let holder = place.hold(["lpsz", &url, "a text", "--hold"]);
        for _ in 0..2 {
            assert_eq!(place.run(["lpsz", &url]).ok(), "a text\n", "{url}");
        }
        assert!(holder.end().0.success());
        assert_eq!(
            place.run(["--json", "lpsz", &url]).failure(),
            (1, "not_found".into(), Some(-3))
        );
    }
    assert_eq!(place.files(), [""; 0]);
}

#[test]
fn a_text_is_no_bytes() {
    let place = Place::new();
    let _holder = place.hold(["block", "create", "shm://raw", "--size", "4", "--hold"]);
    let failed = place.run(["--json", "lpsz", "shm://raw"]);
    assert_eq!(failed.failure(), (1, "mismatch".into(), Some(-3)));
}
