//! Objects of `anyipc::sync` in memory that another process scribbles over, or has in another
//! layout: calls end in time, with a result or an error.
#![cfg(feature = "sync")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::{Duration, Instant};

use anyipc::sync::{Barrier, Condvar, Event, Mutex, Once, Reset, RwLock, Semaphore};
use anyipc::{Block, ErrorKind, Result};
use support::random::Random;
use support::schemes::unique;
use support::watchdog::watchdog;

/// Bytes of a block that an object lies in.
const SIZE: usize = 4096;
const SHORT: Duration = Duration::from_millis(5);
/// What a call with a limit of `SHORT` may take on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

/// Opens an object in a block, to be scribbled over, and returns some calls of it.
type Open = fn(&Block) -> Result<Vec<Box<dyn Fn()>>>;

fn calls<T: 'static>(object: T, calls: &[fn(&T)]) -> Vec<Box<dyn Fn()>> {
    let object = std::rc::Rc::new(object);
    calls
        .iter()
        .map(|call| {
            let (object, call) = (std::rc::Rc::clone(&object), *call);
            Box::new(move || call(&object)) as Box<dyn Fn()>
        })
        .collect()
}

/// Every kind of object: its name, and how it is opened.
const KINDS: &[(&str, Open)] = &[
    ("mutex", |block| {
        let mutex = Mutex::<[u64; 3]>::at(block, 0)?;
        Ok(calls(
            mutex,
            &[
                |mutex| drop(mutex.try_lock()),
                |mutex| drop(mutex.lock_timeout(SHORT)),
                |mutex| drop(mutex.clear_poison()),
            ],
        ))
    }),
    ("rwlock", |block| {
        Ok(calls(
            RwLock::<[u64; 3]>::at(block, 0)?,
            &[
                |lock| drop(lock.try_read()),
                |lock| drop(lock.try_write()),
                |lock| drop(lock.read_timeout(SHORT)),
                |lock| drop(lock.write_timeout(SHORT)),
            ],
        ))
    }),
    ("semaphore", |block| {
        Ok(calls(
            Semaphore::at(block, 0)?,
            &[
                |semaphore| drop(semaphore.try_acquire_many(2)),
                |semaphore| drop(semaphore.acquire_timeout(SHORT)),
                |semaphore| drop(semaphore.acquire_many_timeout(3, SHORT)),
            ],
        ))
    }),
    ("event", |block| {
        Ok(calls(
            Event::at(block, 0, Reset::Auto)?,
            &[
                |event| drop(event.set()),
                |event| drop(event.wait_timeout(SHORT)),
                |event| drop(event.try_wait()),
                |event| drop(event.reset()),
            ],
        ))
    }),
    ("condvar", |block| {
        let mutex = Mutex::create(format!("shm://{}", unique("hostile.condvar")), 0u8).unwrap();
        Ok(calls(
            (Condvar::at(block, 0)?, mutex),
            &[
                |(condvar, _)| drop(condvar.notify_one()),
                |(condvar, _)| drop(condvar.notify_all()),
                |(condvar, mutex)| {
                    let guard = mutex.lock().unwrap().into_inner();
                    drop(condvar.wait_timeout(guard, SHORT));
                },
            ],
        ))
    }),
    ("barrier", |block| {
        Ok(calls(
            Barrier::at(block, 0, 5)?,
            &[
                |barrier| drop(barrier.wait_timeout(SHORT)),
                |barrier| drop(barrier.wait_timeout(Duration::ZERO)),
            ],
        ))
    }),
    ("once", |block| {
        Ok(calls(
            Once::at(block, 0)?,
            &[
                |once| drop(once.is_completed()),
                |once| drop(once.wait_timeout(SHORT)),
                |once| drop(once.call(|_| {})),
            ],
        ))
    }),
];

fn endpoint(tag: &str) -> anyipc::Endpoint {
    anyipc::create(format!("shm://{}?size={SIZE}", unique(tag))).unwrap()
}

#[test]
fn scribbled_memory_costs_no_more_than_time() {
    let _watchdog = watchdog("scribbled", Duration::from_secs(55));
    let mut random = Random::new(Random::run_seed());
    for (kind, open) in KINDS {
        let endpoint = endpoint("scribbled");
        let block = endpoint.block().unwrap();
        let calls = open(block).unwrap();
        for _ in 0..40 {
            for _ in 0..1 + random.below(8) {
                let word = match random.below(4) {
                    0 => 0,
                    1 => u32::MAX,
                    2 => 1 << 31 | random.below(4) as u32,
                    _ => random.next() as u32,
                };
                let at = random.below(104 / 4) as usize * 4;
                block.write_at(at, &word.to_ne_bytes()).unwrap();
            }
            for call in &calls {
                let start = Instant::now();
                call();
                assert!(start.elapsed() < SLACK, "a {kind} took {:?}", start.elapsed());
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn child() {
    support::process::serve(&[("scribble", scribble)]);
}

#[cfg(target_os = "linux")]
/// Writes anything anywhere behind the header, at random, until the parent ends it.
fn scribble(arguments: &[&str]) {
    use std::os::unix::fs::FileExt as _;
    support::process::end_with_parent();
    let file = std::fs::OpenOptions::new().write(true).open(arguments[0]).unwrap();
    let len = file.metadata().unwrap().len();
    let mut random = Random::new(arguments[1].parse().unwrap());
    support::process::say("begun");
    loop {
        // The header is read when the memory is opened, and checked then.
        let at = 1024 + random.below(len - 1024) / 4 * 4;
        let value = match random.below(4) {
            0 => 0,
            1 => u32::MAX,
            2 => random.below(8) as u32,
            _ => random.below(u64::from(u32::MAX)) as u32,
        };
        file.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }
}

/// The most bytes of memory that this process has had.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
}

/// Whatever stands in the memory, and however another process changes it in the midst of calls:
/// these end in time, without a panic, and need no more memory.
#[cfg(target_os = "linux")]
#[test]
fn memory_that_a_process_scribbles_on_hangs_nobody() {
    let _watchdog = watchdog("scribbled", Duration::from_secs(55));
    let before = peak();
    let seed = Random::run_seed();
    for (kind, open) in KINDS {
        let endpoint = endpoint("scribbler");
        let object = anyipc::Registry::global().inspect(endpoint.address()).unwrap().remove(0);
        let opened = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let block = endpoint.block().unwrap();
                    let calls = open(block).unwrap();
                    // All have their objects, then it is scribbled on.
                    opened.wait();
                    opened.wait();
                    for _ in 0..20 {
                        for call in &calls {
                            let start = Instant::now();
                            call();
                            assert!(start.elapsed() < SLACK, "a {kind} took {:?}", start.elapsed());
                        }
                        drop(open(block));
                    }
                });
            }
            opened.wait();
            let mut scribbler =
                support::process::spawn_here(&format!("scribble {} {seed}", object.path));
            scribbler.expect("begun");
            opened.wait();
            scribbler
        });
    }
    let grown = peak() - before;
    assert!(grown < 64 << 20, "{grown} bytes more");
}

/// A once in a state that there is not says so.
#[test]
fn a_once_in_no_state_is_corrupt() {
    let endpoint = endpoint("state");
    let block = endpoint.block().unwrap();
    let once = Once::at(block, 0).unwrap();
    block.write_at(8, &(1u32 << 31 | 77).to_ne_bytes()).unwrap();
    assert_eq!(once.call_once(|| panic!("called")).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn another_layout_or_kind_is_refused_by_name() {
    for (kind, open) in KINDS {
        let endpoint = endpoint("layout");
        let block = endpoint.block().unwrap();
        drop(open(block).unwrap());
        let refused = |expected: ErrorKind, says: &str| {
            let error = open(block).err().unwrap_or_else(|| panic!("a {kind} was opened"));
            assert_eq!(error.kind(), expected, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        };
        block.write_at(0, &[9]).unwrap();
        refused(ErrorKind::Mismatch, "layout 9");
        block.write_at(0, &[1, 200]).unwrap();
        refused(ErrorKind::Corrupt, kind);
        for (other, make) in KINDS.iter().filter(|(other, _)| other != kind) {
            block.write_at(0, &[0; SIZE]).unwrap();
            drop(make(block).unwrap());
            refused(ErrorKind::Mismatch, other);
        }
    }
}
