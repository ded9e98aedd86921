//! Waiting for a change of a block while its writers die, or write garbage.
//!
//! `ANYIPC_TEST_KILLS` sets the number of kills.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Block, BlockExt, BlockWatch, Endpoint, Select};
#[cfg(target_os = "linux")]
use anyipc::{Error, ErrorKind};
#[cfg(target_os = "linux")]
use support::process::hear;
use support::process::{end_with_parent, say, serve, spawn_here};
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(30);
/// What a lost wake-up may cost on a busy machine: a slice takes 100 ms.
const SOON: Duration = Duration::from_secs(2);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn child() {
    serve(&[
        ("endless", endless),
        #[cfg(target_os = "linux")]
        ("silent", silent),
        #[cfg(target_os = "linux")]
        ("garbage", garbage),
    ]);
}

fn create(tag: &str) -> (String, Endpoint) {
    let name = format!("shm://{}", unique(tag));
    let owner = anyipc::create(format!("{name}?size=4KiB")).unwrap();
    (name, owner)
}

fn store(block: &Block, value: u64) {
    block.store_bytes(&value.to_le_bytes()).unwrap();
}

/// Stores without a pause, until it is killed.
fn endless(words: &[&str]) {
    end_with_parent();
    let endpoint = anyipc::open(words[0]).unwrap();
    let block = endpoint.block().unwrap();
    say("ready");
    loop {
        store(block, block.version().unwrap() + 1);
    }
}

/// Readers that note the last version that they saw, until the version is `u64::MAX`.
struct Readers<'a> {
    seen: [AtomicU64; 3],
    block: &'a Block,
}

impl Readers<'_> {
    fn by_value(&self) {
        let mut seen = 0;
        while self.seen[0].load(SeqCst) != u64::MAX {
            let value = self.block.load_newer_bytes(&mut seen, LONG).unwrap();
            self.seen[0].store(if value.is_empty() { u64::MAX } else { seen }, SeqCst);
        }
    }

    fn by_watch(&self, index: usize, mut wait: impl FnMut(&mut BlockWatch) -> u64) {
        let mut watch = self.block.watch().unwrap();
        *watch.seen_mut() = 0;
        while self.seen[index].load(SeqCst) != u64::MAX {
            let version = wait(&mut watch);
            let ends = self.block.load_bytes().unwrap().unwrap().is_empty();
            self.seen[index].store(if ends { u64::MAX } else { version }, SeqCst);
        }
    }

    /// Waits until all have seen the present version, and returns how long that took.
    fn catch_up(&self) -> Duration {
        let (start, version) = (Instant::now(), self.block.version().unwrap());
        while self.seen.iter().any(|seen| seen.load(SeqCst) != version) {
            assert!(start.elapsed() < LONG, "{version}: {:?}", self.seen);
            thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    }
}

#[test]
fn a_killed_writer_costs_its_readers_a_slice_at_most() {
    let kills = std::env::var("ANYIPC_TEST_KILLS").map_or(20, |text| text.parse().unwrap());
    let _watchdog = watchdog("kills", MINUTE + Duration::from_secs(1) * kills);
    let (name, owner) = create("change.kills");
    let block = owner.block().unwrap();
    store(block, 1);
    let readers = Readers { seen: Default::default(), block };
    let mut waits = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| readers.by_value());
        scope.spawn(|| readers.by_watch(1, |watch| watch.wait().unwrap()));
        scope.spawn(|| {
            let mut select = Select::new().unwrap();
            readers.by_watch(2, |watch| {
                select.wait(&mut [watch]).unwrap();
                watch.try_wait().unwrap()
            });
        });
        for round in 0..kills {
            let mut writer = spawn_here(&format!("endless {name}"));
            writer.expect("ready");
            thread::sleep(Duration::from_micros(u64::from(round % 20) * 217));
            writer.kill();
            writer.wait();
            waits.push(readers.catch_up());
        }
        // A death between the publication and the wake-up, each time.
        #[cfg(target_os = "linux")]
        {
            let mut silent = spawn_here(&format!("silent {name}"));
            for _ in 0..5 {
                silent.say("store");
                silent.expect("stored");
                waits.push(readers.catch_up());
            }
        }
        block.store_bytes(b"").unwrap();
    });
    waits.sort();
    let (median, most) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    println!("{kills} kills, told after {median:?} in the median, {most:?} at worst");
    assert!(most < SOON, "{waits:?}");
}

/// The file of a block, open for writing.
#[cfg(target_os = "linux")]
fn file_of(name: &str) -> std::fs::File {
    // File names contain names of up to 24 characters.
    let name: String = name.trim_start_matches("shm://").chars().take(20).collect();
    let base =
        std::env::var_os("ANYIPC_DIR").map_or_else(|| "/dev/shm".into(), std::path::PathBuf::from);
    let files = std::fs::read_dir(support::place::private_dir(&base)).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let path = paths.find(|path| {
        let file = path.file_name().unwrap().to_str().unwrap();
        file.contains(&name) && file.ends_with(".block")
    });
    std::fs::OpenOptions::new().read(true).write(true).open(path.unwrap()).unwrap()
}

/// Where the control words of a block begin in its file, the index of the stored value first.
#[cfg(target_os = "linux")]
const CONTROL: u64 = 1024;

/// At each word of its parent it changes the index, and wakes nobody.
#[cfg(target_os = "linux")]
fn silent(words: &[&str]) {
    use std::io::{Read, Seek, SeekFrom, Write};

    let mut file = file_of(words[0]);
    while hear().is_some() {
        let mut index = [0; 8];
        file.seek(SeekFrom::Start(CONTROL)).unwrap();
        file.read_exact(&mut index).unwrap();
        // By two: the same copy.
        let next = u64::from_ne_bytes(index) + 2;
        file.seek(SeekFrom::Start(CONTROL)).unwrap();
        file.write_all(&next.to_ne_bytes()).unwrap();
        say("stored");
    }
}

/// Writes garbage over the control words, until its input ends.
#[cfg(target_os = "linux")]
fn garbage(words: &[&str]) {
    use std::io::{Seek, SeekFrom, Write};
    end_with_parent();
    let mut file = file_of(words[0]);
    say("ready");
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    loop {
        let words: [u64; 16] = std::array::from_fn(|_| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Small numbers, zeroes and all bits set come often.
            match random >> 61 {
                0 => 0,
                1 => u64::MAX,
                2 | 3 => random & 0xff,
                _ => random,
            }
        });
        file.seek(SeekFrom::Start(CONTROL)).unwrap();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        file.write_all(&bytes).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn garbage_in_the_control_words_ends_no_call_late() {
    let _watchdog = watchdog("garbage", MINUTE);
    let (name, owner) = create("change.garbage");
    let block = owner.block().unwrap();
    store(block, 1);
    let mut hostile = spawn_here(&format!("garbage {name}"));
    hostile.expect("ready");
    let start = Instant::now();
    let check = |result: Result<(), Error>| {
        use ErrorKind::{Busy, Corrupt, OutOfMemory, TimedOut};
        if let Err(error) = result {
            let kind = error.kind();
            assert!(matches!(kind, TimedOut | Corrupt | Busy | OutOfMemory), "{error}");
        }
    };
    const SHORT: Duration = Duration::from_millis(20);
    let bounded = |call: &dyn Fn()| {
        while start.elapsed() < Duration::from_secs(2) {
            let before = Instant::now();
            call();
            assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| bounded(&|| check(block.store_bytes(b"12345678"))));
        scope.spawn(|| bounded(&|| check(block.load_newer_bytes(&mut 0, SHORT).map(drop))));
        scope.spawn(|| bounded(&|| check(block.wait_u32(0, 0, SHORT).map(drop))));
        scope.spawn(|| bounded(&|| block.wake_u32(0).unwrap()));
        scope.spawn(|| {
            let mut select = Select::new().unwrap();
            bounded(&|| check(block.watch().unwrap().wait_timeout(SHORT).map(drop)));
            let mut watch = block.watch().unwrap();
            check(select.wait_timeout(&mut [&mut watch], SHORT).map(drop));
        });
    });
    hostile.kill();
    hostile.wait();
    // Whatever number is left: the next store is noticed.
    let mut seen = block.version().unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| block.load_newer_bytes(&mut seen, LONG).unwrap());
        store(block, 77);
        assert_eq!(reader.join().unwrap(), 77u64.to_le_bytes());
    });
}
