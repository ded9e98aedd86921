//! Bad addresses: each is an error that names the fault and the choices, and makes nothing.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::time::Duration;

use anyipc::{Error, ErrorKind, SmCode};
use support::place::{Scratch, files};
use support::process::{say, serve, spawn};
use support::schemes::unique;
use support::watchdog::watchdog;

#[test]
fn child() {
    serve(&[("tries", tries)]);
}

/// How an address is bad, and a word of the explanation.
type Fault = (String, ErrorKind, &'static str);

fn faults() -> Vec<Fault> {
    use ErrorKind::{
        InvalidAddress, InvalidName, InvalidOption, OutOfMemory, PermissionDenied, Unsupported,
    };
    let own =
        |(url, kind, word): &(&str, ErrorKind, &'static str)| ((*url).to_owned(), *kind, *word);
    let mut all: Vec<Fault> = [
        // No address at all.
        ("", InvalidAddress, "://"),
        ("torture", InvalidAddress, "://"),
        ("shm:torture", InvalidAddress, "://"),
        ("/dev/shm/torture", InvalidAddress, "://"),
        ("://torture", InvalidAddress, "scheme"),
        ("SHM://torture", InvalidAddress, "scheme"),
        ("sh m://torture", InvalidAddress, "scheme"),
        // Schemes.
        ("smoke://torture", InvalidAddress, "choose from"),
        ("shmm://torture", InvalidAddress, "shm"),
        ("mq://torture?scope=system", Unsupported, "scope=user"),
        ("mq://torture?priorities=33", InvalidOption, "1 to 32"),
        ("mq://torture?capacity=0", InvalidOption, "1 to"),
        ("mq://torture?full=wait", InvalidOption, "drop-old"),
        ("mq://torture?native=posix", InvalidOption, "posix-mq://"),
        ("mq://torture?native=", InvalidOption, "posix-mq://"),
        ("posix-mq://torture?native=posix", InvalidOption, "choose from"),
        ("posix-mq://torture?scope=system", Unsupported, "scope=user"),
        ("posix-mq://torture?priorities=33", InvalidOption, "1 to 32"),
        ("posix-mq://torture?capacity=0", InvalidOption, "1 byte"),
        ("posix-mq://torture?full=wait", InvalidOption, "drop-new"),
        ("posix-mq://torture?full=drop-old", Unsupported, "highest priority"),
        ("pipe://torture?scope=system", Unsupported, "private directory"),
        ("pipe://torture?capacity=1GiB", InvalidOption, "pipe-max-size"),
        ("tcp://torture", InvalidName, "host:port"),
        ("tcp://192.0.2.1:80", PermissionDenied, "allow_remote=true"),
        // Names.
        ("shm://", InvalidName, "at least one byte"),
        ("shm://?size=1", InvalidName, "at least one byte"),
        ("shm://.", InvalidName, "`.`"),
        ("shm://..", InvalidName, "`..`"),
        ("shm://%2e%2E", InvalidName, "`..`"),
        ("shm://a/b", InvalidName, "'/'"),
        ("shm://../../etc/passwd", InvalidName, "'/'"),
        ("shm://a%2Fb", InvalidName, "'/'"),
        ("shm://a\\b", InvalidName, "may not stand"),
        ("shm://a%5cb", InvalidName, "may not stand"),
        ("shm://a%00b", InvalidName, "may not stand"),
        ("shm://a\0b", InvalidName, "may not stand"),
        ("shm://a\nb", InvalidName, "may not stand"),
        ("shm://a%7fb", InvalidName, "may not stand"),
        ("shm://a%C2%85b", InvalidName, "may not stand"),
        // Percent-encoding.
        ("shm://a%", InvalidAddress, "percent"),
        ("shm://a%4", InvalidAddress, "percent"),
        ("shm://a%zz", InvalidAddress, "percent"),
        ("shm://a%+1", InvalidAddress, "percent"),
        ("shm://a%ff", InvalidAddress, "UTF-8"),
        ("shm://a%C3%28", InvalidAddress, "UTF-8"),
        ("shm://a?size=%3", InvalidAddress, "percent"),
        ("shm://a?si%ze=1", InvalidAddress, "percent"),
        // Options.
        ("shm://a?", InvalidAddress, "key=value"),
        ("shm://a?size", InvalidAddress, "key=value"),
        ("shm://a?size=1&", InvalidAddress, "key=value"),
        ("shm://a?size=1&&wait=spin", InvalidAddress, "key=value"),
        ("shm://a?=1", InvalidOption, "choose from"),
        ("shm://a?siez=1", InvalidOption, "size"),
        ("shm://a?Size=1", InvalidOption, "size"),
        ("shm://a?priority=1", InvalidOption, "choose from"),
        ("shm://a?size=1&size=1", InvalidOption, "twice"),
        ("shm://a?size=1&si%7Ae=1", InvalidOption, "twice"),
        ("shm://a?wait=block&size=1&wait=block", InvalidOption, "twice"),
        // Values.
        ("shm://a?wait=hard", InvalidOption, "spin"),
        ("shm://a?wait=", InvalidOption, "spin"),
        ("shm://a?codec=xml", InvalidOption, "postcard"),
        ("shm://a?trust=everyone", InvalidOption, "same-user"),
        ("shm://a?scope=world", InvalidOption, "user"),
        ("shm://a?create=maybe", InvalidOption, "open_or_create"),
        ("shm://a?timeout=5", InvalidOption, "5s"),
        ("shm://a?timeout=-5s", InvalidOption, "5s"),
        ("shm://a?timeout=99999999999999m", InvalidOption, "5s"),
        ("shm://a?max_message=0", InvalidOption, "max_message"),
        ("shm://a?max_message=1.5MiB", InvalidOption, "bytes"),
        ("shm://a?capacity=0", InvalidOption, "out of range"),
        ("shm://a?capacity=2GiB", InvalidOption, "out of range"),
        ("shm://a?capacity=18446744073709551615", InvalidOption, "out of range"),
        ("shm://a?capacity=many", InvalidOption, "bytes"),
        // Sizes.
        ("shm://a?size=0", InvalidOption, "at least 1 byte"),
        ("shm://a?size=-1", InvalidOption, "bytes"),
        ("shm://a?size=", InvalidOption, "bytes"),
        ("shm://a?size=0x10", InvalidOption, "bytes"),
        ("shm://a?size=18446744073709551616", InvalidOption, "bytes"),
        ("shm://a?size=17179869184GiB", InvalidOption, "bytes"),
        ("shm://a?size=18446744073709551615", OutOfMemory, ""),
        ("shm://a?size=9223372036854775807", OutOfMemory, ""),
        ("shm://a?size=17179869183GiB", OutOfMemory, ""),
    ]
    .iter()
    .map(own)
    .collect();
    all.push((format!("shm://{}", "x".repeat(256)), InvalidName, "255"));
    all.push((format!("shm://{}", "ä".repeat(128)), InvalidName, "255"));
    all.push((format!("shm://{}", "%41".repeat(256)), InvalidName, "255"));
    all.push((format!("shm://{}", "x".repeat(1 << 20)), InvalidName, "255"));
    all.push((format!("shm://a?{}=1", "x".repeat(1 << 20)), InvalidOption, "choose from"));
    all.push((format!("shm://a?note={}", "x".repeat(1 << 20)), InvalidOption, "choose from"));
    all.push((format!("shm://a?size={}", "9".repeat(1 << 20)), InvalidOption, "bytes"));
    all
}

/// Everything that takes an address, with each bad one: what is not as it should be.
fn tries(_words: &[&str]) {
    for (url, kind, word) in faults() {
        if cfg!(anyipc_as_macos) && url.starts_with("pipe://") {
            // No FIFO: there is no `pipe-max-size`, and Linux's directory is open to other users.
            continue;
        }
        let shown: String = url.chars().take(60).collect();
        let check = |call: &str, error: Option<Error>, code: SmCode| {
            let text = error.as_ref().map_or("Ok".into(), ToString::to_string);
            let code = if kind == ErrorKind::OutOfMemory { SmCode::MemFail } else { code };
            let right = error
                .as_ref()
                .is_some_and(|e| e.kind() == kind && e.code() == Some(code) && text.contains(word));
            if !right {
                let text: String = text.chars().take(300).collect();
                say(&format!("{call} {shown:?}: {kind:?}, {code}, {word:?} were due: {text:?}"));
            }
            // The address stands in the message, not more.
            if text.len() > 1000 + 3 * url.len() {
                say(&format!("{call} {shown:?}: the message has {} bytes", text.len()));
            }
        };
        check("create", anyipc::create(&url).err(), SmCode::CreateFail);
        // The size matters only to a call that makes a block of that size.
        if kind != ErrorKind::OutOfMemory {
            // A text has its own size: any other is refused.
            if word != "at least 1 byte" {
                check("alloc_lpsz", anyipc::alloc_lpsz(&url, "text").err(), SmCode::CreateFail);
            }
            check("open", anyipc::open(&url).err(), SmCode::OpenFail);
            check("connect", anyipc::connect(&url).err(), SmCode::OpenFail);
        }
    }
    say("done");
}

#[test]
fn every_bad_address_is_a_clear_error() {
    let _watchdog = watchdog("the addresses", Duration::from_secs(60));
    let place = Scratch::new("address");
    let mut child = spawn(place.path(), "tries");
    let mut wrong = Vec::new();
    loop {
        match child.hear() {
            line if line == "done" => break,
            line => wrong.push(line),
        }
    }
    child.finish();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(files(place.path()), [""; 0]);
}

#[test]
fn odd_but_good_names_work() {
    let _watchdog = watchdog("odd names", Duration::from_secs(60));
    let tag = unique("odd");
    let long = "x".repeat(255 - tag.len());
    for odd in [
        "...",
        " ",
        "a b",
        "%25",
        "C:%25",
        "日本語",
        "%F0%9F%A6%80",
        "a%3Fb%26c%3Dd",
        "-rf",
        long.as_str(),
    ] {
        let url = format!("shm://{odd}{tag}");
        let owner = anyipc::create(format!("{url}?size=10")).unwrap();
        assert_eq!(anyipc::create(&url).unwrap_err().kind(), ErrorKind::Exists, "{url}");
        let opener = anyipc::open(&url).unwrap();
        assert_eq!(opener.block().unwrap().len(), 10);
        assert_eq!(
            opener.address().to_string().parse::<anyipc::Address>().unwrap().name(),
            owner.address().name()
        );
        drop((owner, opener));
        assert_eq!(anyipc::open(&url).unwrap_err().kind(), ErrorKind::NotFound, "{url}");
    }
}
