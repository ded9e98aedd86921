//! Operations of blocks: create, open, close, store, load.

use std::collections::BTreeSet;

use anyipc::{Endpoint, ErrorKind};

use super::{Round, Victim, begin, end, explore, left, number};
use crate::support::random::Random;

/// What a victim does.
pub(crate) const VICTIMS: &[(&str, Victim)] = &[
    ("open", |words| {
        begin();
        let _opened = anyipc::open(words[0]).unwrap();
        end();
    }),
    ("detach", |words| {
        let opened = anyipc::create(words[0]).unwrap();
        begin();
        opened.close().unwrap();
        end();
    }),
    ("store", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        begin();
        opened.block().unwrap().store_bytes(&new(number(words[1]) as u8)).unwrap();
        end();
    }),
    ("unsafe-change", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let block = opened.block().unwrap();
        begin();
        block.put(0, &1u64).unwrap();
        let _ = rustix::process::getpid();
        block.put(8, &1u64).unwrap();
        end();
    }),
    ("load", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        begin();
        opened.block().unwrap().load_bytes().unwrap();
        end();
    }),
];

/// The value before the operation of a round.
fn old(round: u8) -> [u8; 300] {
    [round; 300]
}

/// The value that the operation stores.
fn new(round: u8) -> [u8; 500] {
    [!round; 500]
}

/// Every operation.
pub(crate) fn survive(random: &mut Random) {
    let url = "shm://steps?size=4096&create=open_or_create";
    explore("block, create", random, |round| {
        round.kill(&format!("create {url}"));
        is_free(round, url);
    });
    explore("block, last close", random, |round| {
        if round.kill(&format!("detach {url}")) {
            assert_eq!(left(), [""; 0]);
        }
        is_free(round, url);
    });
    let owner = anyipc::create(url).unwrap();
    explore("block, open", random, |round| {
        stays(round, &owner, &format!("open {url}"));
    });
    explore("block, close", random, |round| {
        stays(round, &owner, &format!("detach {url}"));
    });
    halves_are_found(&owner, url, random);
    explore("block, store", random, |round| store(round, &owner, url));
    explore("block, store that stands still", random, |round| {
        let block = owner.block().unwrap();
        let (old, new) = (old(round.number), new(round.number));
        block.store_bytes(&old).unwrap();
        round.start(&format!("store {url} {}", round.number));
        round.ready();
        round.stand(|| {
            let value = block.load_bytes().unwrap().unwrap();
            assert!(value == new || value == old, "a torn value");
        });
        assert_eq!(block.load_bytes().unwrap().unwrap(), new);
    });
    explore("block, load", random, |round| {
        stays(round, &owner, &format!("load {url}"));
    });
    owner.close().unwrap();
    assert_eq!(left(), [""; 0]);
}

/// The name is free, and can be taken at once.
fn is_free(round: &mut Round<'_>, url: &str) {
    if round.is_odd() {
        let error = anyipc::open(url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(left().iter().all(|file| !file.ends_with(".block")), "{:?}", left());
    }
    let owner = anyipc::create(url).unwrap();
    assert_eq!(owner.block().unwrap().load_bytes().unwrap(), None, "its contents are new");
    owner.block().unwrap().store_bytes(&old(round.number)).unwrap();
    owner.close().unwrap();
    round.in_time();
    assert_eq!(left(), [""; 0]);
}

fn stays(round: &mut Round<'_>, owner: &Endpoint, victim: &str) {
    let before = left();
    let block = owner.block().unwrap();
    let (old, new) = (old(round.number), new(round.number));
    block.store_bytes(&old).unwrap();
    round.kill(victim);
    assert_eq!(block.load_bytes().unwrap().unwrap(), old);
    block.store_bytes(&new).unwrap();
    let other = anyipc::open(owner.address().clone()).unwrap();
    assert_eq!(other.block().unwrap().load_bytes().unwrap().unwrap(), new);
    other.close().unwrap();
    round.in_time();
    assert_eq!(left(), before);
}

/// The proof itself: a change that is not made to survive a death is caught in the middle.
fn halves_are_found(owner: &Endpoint, url: &str, random: &mut Random) {
    let block = owner.block().unwrap();
    let mut seen = BTreeSet::new();
    explore("block, a change of two words", random, |round| {
        block.put(0, &[0u64; 2]).unwrap();
        round.kill(&format!("unsafe-change {url}"));
        seen.insert(block.get::<[u64; 2]>(0).unwrap());
    });
    assert_eq!(seen, BTreeSet::from([[0, 0], [1, 0], [1, 1]]));
}

fn store(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let block = owner.block().unwrap();
    let (old, new) = (old(round.number), new(round.number));
    block.store_bytes(&old).unwrap();
    let ended = round.kill(&format!("store {url} {}", round.number));
    let value = block.load_bytes().unwrap().unwrap();
    assert!(value == new || value == old && !ended, "a torn value, or an old one");
    for value in [&old[..], &new[..]] {
        block.store_bytes(value).unwrap();
        assert_eq!(block.load_bytes().unwrap().unwrap(), value);
    }
    round.in_time();
}
