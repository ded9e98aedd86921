//! A process that stores values in a block is killed at random instants: the old value is there or
//! the new one, whole, and the next writer goes on. `ANYIPC_KILLS` is the number of kills (default
//! 50). `block_store` has many writers and readers, as forked processes.
#![cfg(any(target_os = "linux", target_os = "macos", windows))]
#![expect(clippy::unwrap_used, reason = "a failing test panics")]

use std::time::{Duration, Instant};

use anyipc_conformance::victim::{self, Victim, kills, message, moment, say};
use anyipc_core::{COMMON_KEYS, Name, Options, Transport};
use anyipc_shared_memory::{Block, Endpoint, SharedMemory};

const T: SharedMemory = SharedMemory;
/// How long a dead writer may hold up the next one: far less by design, more on a machine that is
/// overloaded.
const TAKEN_OVER: Duration = Duration::from_secs(5);

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    let Some((_, name)) = victim::role() else { return };
    let endpoint = T.open(&name, &options("")).unwrap();
    for number in 1.. {
        block(&endpoint).store_bytes(&message(number)).unwrap();
        say(number);
    }
}

#[test]
fn a_killed_writer_leaves_the_old_value_or_the_new_one() {
    let name = Name::new(&format!("kill-store-{}", std::process::id())).unwrap();
    let endpoint = T.create(&name, &options("size=256KiB")).unwrap();
    for round in 0..kills() {
        let mut writer = Victim::spawn("store", name.as_str());
        let first = writer.reported();
        let mut seen = first;
        let end = Instant::now() + moment(round);
        while Instant::now() < end {
            let number = load(&endpoint);
            assert!(number >= seen, "{number} after {seen} in round {round}");
            seen = number;
        }
        let last = writer.kill().unwrap_or(first);
        let died = Instant::now();
        let number = load(&endpoint);
        assert!(number >= seen, "{number} after {seen} in round {round}");
        assert!(number == last || number == last + 1, "{number}, not {last}, in round {round}");
        block(&endpoint).store_bytes(&message(0)).unwrap();
        assert!(died.elapsed() < TAKEN_OVER, "{:?} in round {round}", died.elapsed());
        assert_eq!(load(&endpoint), 0);
    }
    T.close(endpoint).unwrap();
    assert!(T.inspect(&name, &options("")).unwrap().is_empty());
}

/// The number of the value that is there, which is whole.
fn load(endpoint: &Endpoint) -> u64 {
    let bytes = block(endpoint).load_bytes().unwrap().unwrap();
    let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    assert!(bytes == message(number), "a torn value");
    number
}

fn block(endpoint: &Endpoint) -> &Block {
    endpoint.block().unwrap()
}

fn options(query: &str) -> Options {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Options::parse(pairs, &[COMMON_KEYS, T.keys()]).unwrap()
}
