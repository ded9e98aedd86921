//! Addresses, endpoints and their errors, through the facade.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::ffi::CString;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Address, Capabilities, Endpoint, Error, ErrorKind, Registry, Role};
use support::schemes::{self, another, can, each, url};

fn code(error: &Error) -> Option<i32> {
    error.code().map(anyipc::SmCode::value)
}

#[test]
fn the_classic_codes() {
    each("codes", |url| {
        let error = anyipc::open(url).unwrap_err();
        assert_eq!((error.kind(), code(&error)), (ErrorKind::NotFound, Some(-3)));
        let owner = anyipc::create(url).unwrap();
        let error = anyipc::create(url).unwrap_err();
        assert_eq!((error.kind(), code(&error)), (ErrorKind::Exists, Some(-1)));
        assert_eq!(error.address(), Some(url));
        let opener = anyipc::open(url).unwrap();
        assert_eq!((owner.role(), opener.role()), (Role::Owner, Role::Opener));
        opener.close().unwrap();
        owner.close().unwrap();
        assert_eq!(anyipc::open(url).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn bad_addresses_name_the_fault_and_carry_the_code_of_the_call() {
    for (url, kind, word) in [
        ("nonsense", ErrorKind::InvalidAddress, "://"),
        ("smh://x", ErrorKind::InvalidAddress, "choose from"),
        ("inproc://a%", ErrorKind::InvalidAddress, "percent"),
        ("inproc://a/b", ErrorKind::InvalidName, "'/'"),
        ("inproc://x?wiat=spin", ErrorKind::InvalidOption, "wait"),
        ("inproc://x?wait=hard", ErrorKind::InvalidOption, "adaptive, spin, block"),
        ("inproc://x?wait=spin&wait=block", ErrorKind::InvalidOption, "twice"),
        ("inproc://x?max_message=0", ErrorKind::InvalidOption, "1 or more"),
    ] {
        for (error, expected) in [
            (anyipc::create(url).unwrap_err(), -2),
            (anyipc::open(url).unwrap_err(), -3),
            (anyipc::alloc_lpsz(url, "text").unwrap_err(), -2),
            (anyipc::connect(url).unwrap_err(), -3),
        ] {
            assert_eq!((error.kind(), code(&error)), (kind, Some(expected)), "{error}");
            let text = error.to_string();
            assert!(text.contains(word) && text.contains(url), "{text}");
        }
    }
}

#[test]
fn all_forms_of_an_address_are_taken() {
    let text = url("inproc", "forms");
    let address: Address = text.parse().unwrap();
    anyipc::create(&address).unwrap().close().unwrap();
    anyipc::create(address).unwrap().close().unwrap();
    anyipc::create(&text).unwrap().close().unwrap();
    anyipc::create(text).unwrap().close().unwrap();
}

/// Reads while the owner accepts: the owner of a TCP port answers only then.
fn text(owner: &Endpoint, opener: &Endpoint) -> CString {
    thread::scope(|scope| {
        let reader = scope.spawn(|| opener.lpsz().unwrap());
        while !reader.is_finished() {
            let error = owner.accept_timeout(Duration::from_millis(1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        }
        reader.join().unwrap()
    })
}

#[test]
fn texts_are_kept() {
    each("lpsz", |url| {
        if !can(url, Capabilities::LPSZ) {
            return;
        }
        let owner = anyipc::alloc_lpsz(url, "C:\\Users\\Me\\myfile.exw").unwrap();
        let opener = anyipc::open(url).unwrap();
        assert_eq!(text(&owner, &opener).as_bytes(), b"C:\\Users\\Me\\myfile.exw");
        assert_eq!(owner.lpsz().unwrap(), text(&owner, &opener));
        let error = anyipc::alloc_lpsz(another(url), "a\0b").unwrap_err();
        assert_eq!((error.kind(), code(&error)), (ErrorKind::InvalidOption, Some(-2)));
        assert!(error.to_string().contains("byte 1"), "{error}");
        if can(url, Capabilities::BLOCK) {
            let sized = format!("{}?size=4KiB", another(url));
            let error = anyipc::alloc_lpsz(sized, "text").unwrap_err();
            assert_eq!((error.kind(), code(&error)), (ErrorKind::InvalidOption, Some(-2)));
        }
        let plain = anyipc::create(another(url)).unwrap();
        assert_eq!(code(&plain.lpsz().unwrap_err()), Some(-3));
    });
}

#[test]
fn each_role_has_its_calls() {
    each("role", |url| {
        let owner = anyipc::create(url).unwrap();
        let opener = anyipc::open(url).unwrap();
        assert_eq!(owner.connect().unwrap_err().kind(), ErrorKind::WrongRole);
        assert_eq!(opener.accept().unwrap_err().kind(), ErrorKind::WrongRole);
        assert_eq!(anyipc::Inbox::new(opener).unwrap_err().kind(), ErrorKind::WrongRole);
        let started = Instant::now();
        let error = owner.accept_timeout(Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn connect_waits_for_the_owner() {
    each("late", |url| {
        let started = Instant::now();
        let error = anyipc::connect(format!("{url}?timeout=100ms")).unwrap_err();
        assert_eq!((error.kind(), code(&error)), (ErrorKind::NoOwner, Some(-3)));
        assert!(error.to_string().contains("timeout="), "{error}");
        let waited = started.elapsed();
        assert!(
            waited >= Duration::from_millis(99) && waited < Duration::from_secs(1),
            "{waited:?}"
        );

        let late = url.to_owned();
        let client = thread::spawn(move || anyipc::connect(&late).unwrap());
        let owner = anyipc::create(url).unwrap();
        let mut accepted = owner.accept().unwrap();
        client.join().unwrap().send(b"here").unwrap();
        assert_eq!(accepted.recv().unwrap(), b"here");
    });
}

#[test]
fn a_handle_outlasts_its_owner() {
    each("again", |url| {
        let owner = anyipc::create(url).unwrap();
        let opener = anyipc::open(url).unwrap();
        drop(owner);
        let error = opener.connect_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!((error.kind(), code(&error)), (ErrorKind::NoOwner, Some(-3)));
        let owner = anyipc::create(url).unwrap();
        let client = thread::spawn(move || opener.connect().unwrap());
        owner.accept().unwrap();
        client.join().unwrap();
    });
}

#[test]
fn an_owner_that_does_not_accept_is_a_timeout() {
    each("busy", |url| {
        let _owner = anyipc::create(url).unwrap();
        let error = anyipc::connect(format!("{url}?timeout=50ms")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("does not accept"), "{error}");
    });
}

#[test]
fn both_ends_hear_of_a_mismatch() {
    each("mismatch", |url| {
        let owner = anyipc::create(format!("{url}?codec=postcard")).unwrap();
        let theirs = format!("{url}?codec=json");
        let client = thread::spawn(move || anyipc::connect(theirs).unwrap_err());
        let error = owner.accept_timeout(Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let told = client.join().unwrap();
        assert_eq!((told.kind(), code(&told)), (ErrorKind::Mismatch, Some(-3)));
        let rejections = owner.rejections();
        assert_eq!(rejections.count, 1);
        assert!(rejections.last.unwrap().contains("codec"));
        assert!(told.to_string().contains("codec"));
    });
}

#[test]
fn what_lives_is_listed() {
    each("list", |url| {
        if !can(url, Capabilities::INVENTORY) {
            return;
        }
        let owner = anyipc::create(url).unwrap();
        let registry = Registry::global();
        let name = owner.address().name();
        let scheme = owner.address().scheme();
        let listed = registry.list().unwrap();
        assert!(
            listed.iter().any(|(s, object)| *s == scheme && object.name.as_ref() == Some(name))
        );
        assert!(!registry.inspect(url).unwrap().is_empty());
        assert_eq!(registry.remove(url, false).unwrap_err().kind(), ErrorKind::Busy);
        let swept = registry.sweep(false).unwrap();
        assert!(swept.iter().all(|(_, object)| object.name.as_ref() != Some(name)));
    });
}

#[test]
fn transports_describe_themselves() {
    let registry = Registry::new();
    let known: Vec<_> = registry.transports().flat_map(|t| t.schemes()).copied().collect();
    for (index, scheme) in known.iter().enumerate() {
        assert!(!known[..index].contains(scheme), "{scheme} twice");
        let address = url(scheme, "describes").parse().unwrap();
        assert!(registry.resolve(&address).unwrap().0.schemes().contains(scheme));
    }
    // Every transport is tested.
    if cfg!(target_os = "linux") {
        let channels = registry.transports().filter(|t| {
            t.capabilities().contains(Capabilities::CHANNEL | Capabilities::HANDSHAKE)
                && !t.schemes().contains(&schemes::SCARCE)
        });
        assert_eq!(schemes::all().len(), channels.count());
    }
    let (transport, options) =
        registry.resolve(&"inproc://x?capacity=4KiB".parse().unwrap()).unwrap();
    assert_eq!(options.number(anyipc::transport::keys::CAPACITY), Some(4096));
    assert!(transport.keys().iter().any(|key| key.name == "capacity"));
    let error = Registry::empty().create("inproc://x").unwrap_err();
    assert!(error.to_string().contains("none is compiled in"), "{error}");
}

#[test]
fn trust_is_understood_by_each_transport() {
    let registry = Registry::new();
    for scheme in schemes::all() {
        for value in ["copy", "same-user"] {
            let address = format!("{scheme}://127.0.0.1:0?trust={value}").parse().unwrap();
            assert!(registry.resolve(&address).is_ok(), "{address}");
        }
    }
}

#[test]
fn what_is_not_there_is_none() {
    let owner = anyipc::create(url("inproc", "get")).unwrap();
    assert!(owner.get::<String>().is_none());
}

#[test]
fn another_scheme_on_the_other_side_is_told() {
    let schemes = schemes::all().iter().filter(|s| can(&url(s, "x"), Capabilities::INVENTORY));
    for scheme in schemes.filter(|scheme| **scheme != "tcp") {
        let there = url(scheme, "elsewhere");
        let name = there.split_once("://").unwrap().1;
        let _owner = anyipc::create(&there).unwrap();
        for other in schemes::all().iter().filter(|other| *other != scheme && **other != "tcp") {
            let wrong = format!("{other}://{name}");
            let error = anyipc::open(&wrong).unwrap_err();
            assert_eq!((error.kind(), code(&error)), (ErrorKind::NotFound, Some(-3)), "{error}");
            assert!(error.to_string().contains(&format!("alive as {scheme}://")), "{error}");
            let start = Instant::now();
            let error = anyipc::connect(&wrong).unwrap_err();
            assert_eq!((error.kind(), code(&error)), (ErrorKind::Mismatch, Some(-3)), "{error}");
            assert!(error.to_string().contains(&format!("alive as {scheme}://")), "{error}");
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
    }
}

#[cfg(all(feature = "posix-queue", not(target_os = "linux")))]
#[test]
fn a_transport_that_the_system_lacks_says_so_in_each_call() {
    let url = "posix-mq://lacking?timeout=10ms";
    for (call, error) in [
        ("create", anyipc::create(url).unwrap_err()),
        ("open", anyipc::open(url).unwrap_err()),
        ("connect", anyipc::connect(url).unwrap_err()),
        ("text", anyipc::alloc_lpsz(url, "text").unwrap_err()),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{call}: {error}");
        assert!(error.to_string().contains("mq://"), "{call}: {error}");
    }
}
