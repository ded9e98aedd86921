//! A stored value is never torn and no kill wedges it.
//!
//! `ANYIPC_TEST_KILLS` sets the number of kills.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(target_os = "linux")]

mod block_process;

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

use anyipc_core::{ErrorKind, Name, Transport};
use anyipc_shared_memory::{Block, Endpoint, SharedMemory};
use block_process::alone::{Random, alone};
use block_process::forked::{Forked, fork, shared_words};
use block_process::{block, options};

const T: SharedMemory = SharedMemory;
const SIZE: usize = 64 << 10;
const READERS: usize = 2;

fn open() -> Endpoint {
    T.open(&Name::new("value").unwrap(), &options("").unwrap()).unwrap()
}

fn create(size: usize) -> Endpoint {
    T.create(&Name::new("value").unwrap(), &options(&format!("size={size}")).unwrap()).unwrap()
}

/// A value that shows if it is torn: its number, then bytes that follow from number and length.
fn value(number: u32, random: &mut Random) -> Vec<u8> {
    let len = 8 + random.below(SIZE as u64 / 2 - 8) as usize;
    let mut bytes = vec![(number as u8) ^ (len as u8); len];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..8].copy_from_slice(&(len as u32).to_le_bytes());
    bytes
}

/// The number of a whole value.
fn number(bytes: &[u8]) -> Result<u32, String> {
    let word = |at: usize| bytes[at..at + 4].try_into().map(u32::from_le_bytes).unwrap();
    let (number, len) = (word(0), word(4) as usize);
    let whole = len == bytes.len() && bytes[8..].iter().all(|&b| b == (number as u8) ^ (len as u8));
    if whole {
        Ok(number)
    } else {
        Err(format!("torn: number {number}, length {len} of {}", bytes.len()))
    }
}

#[test]
fn killed_writers_leave_the_old_value_or_the_new_one() {
    let kills: u32 = std::env::var("ANYIPC_TEST_KILLS").map_or(200, |text| text.parse().unwrap());
    alone("killed_writers_leave_the_old_value_or_the_new_one", Duration::from_secs(600), |place| {
        let words = shared_words(1024);
        let [next, stop, reads, ..] = words else { unreachable!() };
        let endpoint = create(SIZE);
        assert_eq!(block(&endpoint).load_bytes().unwrap(), None);
        block(&endpoint).store_bytes(&value(0, &mut Random::new(0))).unwrap();
        let reader = |_| {
            fork(|| {
                let endpoint = open();
                while stop.load(SeqCst) == 0 {
                    if let Err(fault) = number(&block(&endpoint).load_bytes().unwrap().unwrap()) {
                        println!("{fault}");
                        return false;
                    }
                    reads.fetch_add(1, SeqCst);
                }
                true
            })
        };
        let readers: Vec<Forked> = (0..READERS).map(reader).collect();
        let mut random = Random::new(7);
        for round in 0..kills {
            let writers = [0, 1].map(|me| fork(move || write(next, u64::from(round * 2 + me) + 1)));
            random.pause(Duration::from_millis(3));
            let [first, second] = writers;
            first.shoot();
            first.wait();
            // A dead writer holds up neither writers nor readers.
            let start = Instant::now();
            block(&endpoint).store_bytes(&value(next.fetch_add(1, SeqCst), &mut random)).unwrap();
            number(&block(&endpoint).load_bytes().unwrap().unwrap()).unwrap();
            // Four processes store and load all the time: on a busy machine this one waits for a
            // core, and for its turn.
            assert!(start.elapsed() < Duration::from_secs(4), "wedged for {:?}", start.elapsed());
            second.shoot();
            second.wait();
            number(&block(&endpoint).load_bytes().unwrap().unwrap()).unwrap();
        }
        stop.store(1, SeqCst);
        assert!(readers.into_iter().all(|r| r.wait().success()));
        println!("{kills} rounds, {} stores, {} loads", next.load(SeqCst), reads.load(SeqCst));
        T.close(endpoint).unwrap();
        assert_eq!(place.files(), [""; 0]);
    });
}

fn write(next: &AtomicU32, seed: u64) -> bool {
    let endpoint = open();
    let mut random = Random::new(seed);
    loop {
        block(&endpoint).store_bytes(&value(next.fetch_add(1, SeqCst), &mut random)).unwrap();
    }
}

#[test]
fn writers_of_processes_and_threads_exclude_each_other() {
    alone("writers_of_processes_and_threads_exclude_each_other", Duration::from_secs(120), |_| {
        const ROUNDS: u32 = 300;
        let endpoint = create(SIZE);
        let write = |b: &Block, seed| {
            let mut random = Random::new(seed);
            for i in 0..ROUNDS {
                b.store_bytes(&value(i, &mut random)).unwrap();
                number(&b.load_bytes().unwrap().unwrap()).unwrap();
            }
        };
        let child = fork(|| {
            write(block(&open()), 9);
            true
        });
        std::thread::scope(|scope| {
            // Two threads with one handle, and one with a handle of its own.
            scope.spawn(|| write(block(&endpoint), 1));
            scope.spawn(|| write(block(&endpoint), 2));
            scope.spawn(|| write(block(&open()), 3));
        });
        assert!(child.wait().success());
    });
}

#[test]
fn what_was_stored_is_what_is_loaded_next() {
    alone("what_was_stored_is_what_is_loaded_next", Duration::from_secs(120), |_| {
        let [stored, ..] = shared_words(1) else { unreachable!() };
        let endpoint = create(64);
        const LAST: u32 = 100_000;
        let child = fork(|| {
            let own = open();
            for i in 1..=LAST {
                block(&own).store_bytes(&i.to_le_bytes()).unwrap();
                stored.store(i, SeqCst);
            }
            true
        });
        let mut seen = 0;
        while seen < LAST {
            let least = stored.load(SeqCst);
            if let Some(bytes) = block(&endpoint).load_bytes().unwrap() {
                let now = u32::from_le_bytes(bytes.try_into().unwrap());
                assert!(
                    now >= least && now >= seen,
                    "{now} after {seen}, {least} was stored before"
                );
                seen = now;
            } else {
                assert_eq!(least, 0);
            }
        }
        assert!(child.wait().success());
    });
}

#[test]
fn a_stopped_writer_makes_others_busy_and_a_killed_one_does_not() {
    alone(
        "a_stopped_writer_makes_others_busy_and_a_killed_one_does_not",
        Duration::from_secs(120),
        |_| {
            let endpoint = T
                .create(
                    &Name::new("value").unwrap(),
                    &options("size=100MiB,timeout=100ms").unwrap(),
                )
                .unwrap();
            let [begun, ..] = shared_words(1) else { unreachable!() };
            let big = vec![1; 50 << 20];
            let child = fork(|| {
                let own = open();
                begun.store(1, SeqCst);
                loop {
                    block(&own).store_bytes(&big).unwrap();
                }
            });
            while begun.load(SeqCst) == 0 {
                std::thread::yield_now();
            }
            // It writes nearly all the time: sooner or later it is stopped while it does.
            let mut random = Random::new(3);
            loop {
                random.pause(Duration::from_millis(20));
                child.signal(libc::SIGSTOP);
                match block(&endpoint).store_bytes(b"x") {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Busy);
                        break;
                    }
                    Ok(()) => child.signal(libc::SIGCONT),
                }
            }
            // Reading goes on meanwhile.
            block(&endpoint).load_bytes().unwrap();
            child.shoot();
            child.wait();
            block(&endpoint).store_bytes(b"free").unwrap();
            assert_eq!(block(&endpoint).load_bytes().unwrap().unwrap(), b"free");
        },
    );
}
