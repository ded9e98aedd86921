//! Names that nobody has to think of: pairs, `unique` and `best`.
#![cfg(all(feature = "in-process", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyipc::{Address, Error, ErrorKind, Registry};
use anyipc_in_process::InProcess;
use support::message::pattern;
use support::place::{Scratch, private_dir};
use support::process::{Role, hear, say, serve, spawn};
use support::schemes::{self, each, url};

const ROLES: &[(&str, Role)] = &[("owner", owner), ("connector", connector)];

#[test]
fn child() {
    serve(ROLES);
}

/// Passes its address on, and answers one message.
fn owner(arguments: &[&str]) {
    let owner = anyipc::create(arguments[0]).unwrap();
    say(&owner.address().to_string());
    let mut channel = owner.accept().unwrap();
    let message = channel.recv().unwrap();
    channel.send(&message).unwrap();
    assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Closed);
}

fn connector(arguments: &[&str]) {
    let mut channel = anyipc::connect(arguments[0]).unwrap();
    say(&channel.address().to_string());
    channel.send(b"found").unwrap();
    assert_eq!(channel.recv().unwrap(), b"found");
    assert_eq!(hear(), None);
}

fn scheme(url: &str) -> &str {
    url.split_once("://").unwrap().0
}

#[test]
fn a_pair_is_connected_and_nothing_else_knows_it() {
    each("pair", |url| {
        let scheme = scheme(url);
        for text in [format!("{scheme}://"), format!("{scheme}://?capacity=64KiB&unique")] {
            let (mut left, mut right) = anyipc::pair(&text).unwrap();
            assert_eq!(left.address().scheme(), scheme);
            assert!(!left.address().is_unique());
            let long = pattern(1 << 20, 5);
            let sent = long.clone();
            let peer = thread::spawn(move || {
                right.send(b"short").unwrap();
                right.send(&sent).unwrap();
                assert_eq!(right.recv().unwrap(), b"back");
                right.close().unwrap();
            });
            assert_eq!(left.recv().unwrap(), b"short");
            assert_eq!(left.recv().unwrap(), long);
            left.send(b"back").unwrap();
            peer.join().unwrap();
            assert_eq!(left.recv().unwrap_err().kind(), ErrorKind::Closed);

            let late = left.address().clone().with("timeout", "10ms");
            let error = anyipc::connect(late).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoOwner, "{error}");
        }
    });
}

#[test]
fn pairs_with_one_name_do_not_meet() {
    let (mut a, mut b) = anyipc::pair("shm://names.start?unique").unwrap();
    // Without the word, too: the name is what theirs begins with.
    let (mut c, mut d) = anyipc::pair("shm://names.start").unwrap();
    a.send(b"a").unwrap();
    c.send(b"c").unwrap();
    assert_eq!((b.recv().unwrap(), d.recv().unwrap()), (b"a".to_vec(), b"c".to_vec()));
    assert_ne!(a.address(), c.address());
    assert!(a.address().name().as_str().starts_with("names.start-"), "{}", a.address());
}

#[test]
fn a_pair_that_cannot_be_says_why() {
    let kind = |result: anyipc::Result<_>| result.map(drop).unwrap_err().kind();
    assert_eq!(kind(anyipc::pair("shm")), ErrorKind::InvalidAddress);
    assert_eq!(kind(anyipc::pair("nowhere://")), ErrorKind::InvalidAddress);
    assert_eq!(kind(anyipc::pair("shm://?nothing=1")), ErrorKind::InvalidOption);
    assert_eq!(kind(anyipc::pair("shm://a/b")), ErrorKind::InvalidName);
    #[cfg(feature = "socket")]
    assert_eq!(kind(anyipc::pair("tcp://127.0.0.1:4000")), ErrorKind::InvalidName);
}

#[test]
fn each_create_makes_another_name_to_be_passed_on() {
    each("unique", |url| {
        let text = format!("{}://?unique&timeout=20s", scheme(url));
        let owners: Vec<_> = (0..20).map(|_| anyipc::create(&text).unwrap()).collect();
        let names: BTreeSet<_> = owners.iter().map(|o| o.address().to_string()).collect();
        assert_eq!(names.len(), owners.len());
        let address = owners[7].address().to_string();
        assert!(address.ends_with("?timeout=20s"), "{address}");
        let peer = thread::spawn(move || anyipc::connect(address).unwrap().send(b"7").unwrap());
        assert_eq!(owners[7].accept().unwrap().recv().unwrap(), b"7");
        peer.join().unwrap();
    });
}

#[test]
fn an_address_that_a_process_passes_on_is_found_by_another() {
    for scheme in schemes::between_processes() {
        let place = Scratch::new("names");
        let mut owner = spawn(place.path(), &format!("owner {scheme}://?unique"));
        let address = owner.hear();
        let mut connector = spawn(place.path(), &format!("connector {address}"));
        connector.expect(&address);
        connector.hush();
        connector.finish();
        owner.finish();
        // Nothing of a name that nobody will use again.
        if let Ok(files) = std::fs::read_dir(private_dir(place.path())) {
            let left: Vec<_> =
                files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            assert!(left.iter().all(|name| !name.starts_with("unique")), "{left:?}");
        }
    }
}

#[test]
fn only_create_makes_a_name() {
    let text = "shm://?unique&timeout=20s";
    let refused = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::InvalidName, "{error}");
        let said = error.to_string();
        assert!(said.contains("Endpoint::address()") && said.contains("?unique"), "{said}");
    };
    refused(anyipc::open(text).unwrap_err());
    refused(anyipc::connect(text).unwrap_err());
    refused(Registry::global().inspect(text).unwrap_err());
    refused(Registry::global().remove(text, true).unwrap_err());
    #[cfg(feature = "sync")]
    refused(anyipc::sync::Mutex::create(text, 0u32).map(drop).unwrap_err());
    let long = format!("shm://{}?unique", "x".repeat(250));
    assert_eq!(anyipc::create(long).unwrap_err().kind(), ErrorKind::InvalidName);

    let text = anyipc::alloc_lpsz("shm://?unique", "a text").unwrap();
    let found = anyipc::open(text.address()).unwrap();
    assert_eq!(found.lpsz().unwrap().to_bytes(), b"a text");
}

#[test]
fn best_is_one_transport_for_all() {
    let name = url("best", "best");
    let owner = anyipc::create(&name).unwrap();
    let shm = owner.address().to_string();
    assert_eq!(shm, name.replace("best://", "shm://"));
    let peer = {
        let name = name.clone();
        thread::spawn(move || anyipc::connect(name).unwrap().send(b"met").unwrap())
    };
    let mut channel = owner.accept_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(channel.recv().unwrap(), b"met");
    assert_eq!(channel.address().to_string(), shm);
    peer.join().unwrap();
    anyipc::open(&shm).unwrap().close().unwrap();
    drop((channel, owner));

    let registry = Registry::global();
    assert_eq!(registry.canonical(&name).unwrap().to_string(), shm);
    assert_eq!(registry.canonical("inproc://x?wait=spin").unwrap().scheme(), "inproc");
    let address: Address = name.parse().unwrap();
    assert_eq!(registry.resolve(&address).unwrap().0.schemes(), ["shm"]);
    assert_eq!(anyipc::open(&name).unwrap_err().address(), Some(&*shm));
    let (mut left, mut right) = anyipc::pair("best://").unwrap();
    left.send(b"pair").unwrap();
    assert_eq!(right.recv().unwrap(), b"pair");
    #[cfg(feature = "sync")]
    {
        let mutex = anyipc::sync::Mutex::create(&name, 5u32).unwrap();
        let same = anyipc::sync::Mutex::<u32>::open(&shm).unwrap();
        assert_eq!(*same.lock().unwrap().into_inner(), 5);
        drop(mutex);
    }
}

#[test]
fn a_registry_without_the_best_takes_no_other() {
    let others = Registry::empty().with(InProcess);
    let error = others.create("best://x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidAddress);
    let text = error.to_string();
    assert!(text.contains("best:// is shm://") && text.contains("shared-memory"), "{text}");
}
