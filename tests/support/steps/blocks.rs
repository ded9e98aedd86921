//! Operations of blocks: create, open, close, store, load.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use anyipc::{BlockExt, Endpoint, ErrorKind};

use super::{Round, Victim, WAITS, asleep, begin, end, explore, left, number};
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
    ("load-newer", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let block = opened.block().unwrap();
        let mut seen = block.version().unwrap();
        begin();
        block.load_newer_bytes(&mut seen, LONG).unwrap();
        end();
    }),
    #[cfg(feature = "tokio")]
    ("load-newer-as-task", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let block = opened.block().unwrap();
        super::as_task(async {
            let mut watch = block.watch().unwrap();
            begin();
            watch.changed().await.unwrap();
            end();
        });
    }),
    ("change-word", |words| {
        let opened = anyipc::open(words[0]).unwrap();
        let block = opened.block().unwrap();
        begin();
        block.atomic_u32(WORD).unwrap().store(number(words[1]) as u32, SeqCst);
        block.wake_u32(WORD).unwrap();
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

const LONG: Duration = Duration::from_secs(20);
/// Where the word lies that some wait for.
const WORD: usize = 128;

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
    explore("block, store for a sleeper", random, |round| store_for_a_sleeper(round, &owner, url));
    explore("block, change of a word", random, |round| change_word(round, &owner, url));
    for how in WAITS {
        explore(&format!("block, load{how} that waits"), random, |round| {
            load_that_waits(round, &owner, url, how);
        });
    }
    owner.close().unwrap();
    assert_eq!(left(), [""; 0]);
}

/// The survivor waits for the value that the victim stores.
fn store_for_a_sleeper(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let block = owner.block().unwrap();
    let (old, new) = (old(round.number), new(round.number));
    block.store_bytes(&old).unwrap();
    let mut seen = block.version().unwrap();
    round.start(&format!("store {url} {}", round.number));
    round.ready();
    let got = thread::scope(|scope| {
        let sleeper = asleep(scope, || block.load_newer_bytes(&mut seen, LONG).unwrap());
        round.go();
        if !round.dead() && block.load_bytes().unwrap().unwrap() == old {
            block.store_bytes(&new).unwrap();
        }
        sleeper.join().unwrap()
    });
    assert_eq!(got, new);
    round.in_time();
}

/// The survivor waits for a word that the victim changes.
fn change_word(round: &mut Round<'_>, owner: &Endpoint, url: &str) {
    let block = owner.block().unwrap();
    let (word, new) = (block.atomic_u32(WORD).unwrap(), u32::from(round.number) | 1 << 16);
    word.store(0, SeqCst);
    round.start(&format!("change-word {url} {new}"));
    round.ready();
    let got = thread::scope(|scope| {
        let sleeper = asleep(scope, || block.wait_u32(WORD, 0, LONG).unwrap());
        round.go();
        if !round.dead() && word.load(SeqCst) == 0 {
            word.store(new, SeqCst);
            block.wake_u32(WORD).unwrap();
        }
        sleeper.join().unwrap()
    });
    assert_eq!(got, new);
    round.in_time();
}

/// The victim and another one wait for a value.
fn load_that_waits(round: &mut Round<'_>, owner: &Endpoint, url: &str, how: &str) {
    let block = owner.block().unwrap();
    let new = new(round.number);
    let mut seen = block.version().unwrap();
    round.start(&format!("load-newer{how} {url}"));
    round.ready();
    thread::scope(|scope| {
        round.go();
        round.asleep_or_dead();
        let sleeper = asleep(scope, || block.load_newer_bytes(&mut seen, LONG).unwrap());
        block.store_bytes(&new).unwrap();
        assert_eq!(sleeper.join().unwrap(), new);
        // One that lost its wake-up looks by itself.
        round.dead();
    });
    round.in_time();
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
