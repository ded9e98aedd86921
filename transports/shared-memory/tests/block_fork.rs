//! A forked child holds nothing, and takes nothing from its parent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(target_os = "linux")]

mod block_process;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use anyipc_core::{Endpoint as _, ErrorKind, Name, Result, Transport};
use anyipc_shared_memory::{Endpoint, SharedMemory};
use block_process::alone::{Random, alone};
use block_process::forked::{fork, shared_words};
use block_process::{Place, block, options};

const WATCHDOG: Duration = Duration::from_secs(120);
const T: SharedMemory = SharedMemory;

fn name() -> Name {
    Name::new("block").unwrap()
}

fn create() -> Endpoint {
    T.create(&name(), &options("size=100").unwrap()).unwrap()
}

fn open() -> Result<Endpoint> {
    T.open(&name(), &options("").unwrap())
}

fn wait_for(word: &AtomicU32) {
    while word.load(SeqCst) == 0 {
        std::thread::yield_now();
    }
}

fn forked<T>(result: Result<T>) -> bool {
    result.is_err_and(|e| e.kind() == ErrorKind::Forked)
}

/// Descriptors and mappings of this process that belong to objects.
fn traces(place: &Place) -> Vec<String> {
    let base = place.base().to_str().unwrap();
    let mut found = Vec::new();
    for fd in std::fs::read_dir("/proc/self/fd").unwrap() {
        let target = std::fs::read_link(fd.unwrap().path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        if target.starts_with(base) || target.contains("memfd:anyipc") {
            found.push(target);
        }
    }
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    found.extend(
        maps.lines().filter(|l| l.contains(base) || l.contains("memfd:anyipc")).map(String::from),
    );
    found
}

#[test]
fn every_call_of_the_child_says_forked() {
    alone("every_call_of_the_child_says_forked", WATCHDOG, |place| {
        let endpoint = create();
        block(&endpoint).store_bytes(b"value").unwrap();
        let text =
            T.alloc_lpsz(&Name::new("text").unwrap(), b"text", &options("").unwrap()).unwrap();
        let endpoint_of_child = open().unwrap();
        let child = fork(|| {
            let b = block(&endpoint_of_child);
            let said = [
                forked(b.read_at(0, &mut [0])),
                forked(b.write_at(0, b"x")),
                forked(b.atomic_u32(0)),
                forked(b.atomic_u64(0)),
                forked(b.get::<u16>(0)),
                forked(b.put(0, &7u16)),
                forked(b.store_bytes(b"x")),
                forked(b.load_bytes()),
                // SAFETY: it is an error, so there is no reference.
                forked(unsafe { b.view::<u8>(0) }),
                forked(text.read_lpsz(&mut |_| ())),
                forked(T.close(endpoint_of_child)),
            ];
            println!("{said:?}, left: {:?}", traces(place));
            said.iter().all(|&s| s) && traces(place).is_empty()
        });
        assert!(child.wait().success());
        assert_eq!(block(&endpoint).load_bytes().unwrap().unwrap(), b"value");
    });
}

#[test]
fn the_parents_last_close_frees() {
    alone("the_parents_last_close_frees", WATCHDOG, |place| {
        let endpoint = create();
        let [runs, ends, ..] = shared_words(2) else { unreachable!() };
        let child = fork(|| {
            runs.store(1, SeqCst);
            wait_for(ends);
            true
        });
        wait_for(runs);
        // The child lives and runs on, but it holds nothing.
        T.close(endpoint).unwrap();
        assert_eq!(open().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(place.files(), [""; 0]);
        ends.store(1, SeqCst);
        assert!(child.wait().success());
    });
}

#[test]
fn the_childs_exit_pulls_no_name() {
    alone("the_childs_exit_pulls_no_name", WATCHDOG, |place| {
        let endpoint = create();
        block(&endpoint).write_at(0, b"contents").unwrap();
        // One child drops all it inherited in an orderly way, one returns a handle of its own, one
        // dies.
        let slot = std::cell::RefCell::new(Some(endpoint));
        let child = fork(|| {
            drop(slot.take());
            true
        });
        assert!(child.wait().success());
        let child = fork(|| {
            let own = open().unwrap();
            let mut bytes = [0; 8];
            block(&own).read_at(0, &mut bytes).unwrap();
            T.close(own).unwrap();
            &bytes == b"contents"
        });
        assert!(child.wait().success());
        let child = fork(|| {
            std::mem::forget(open().unwrap());
            true
        });
        assert!(child.wait().success());
        let endpoint = slot.into_inner().unwrap();
        assert!(open().is_ok());
        T.close(endpoint).unwrap();
        assert_eq!(place.files(), [""; 0]);
    });
}

#[test]
fn a_child_that_opens_anew_keeps_the_block() {
    alone("a_child_that_opens_anew_keeps_the_block", WATCHDOG, |place| {
        let endpoint = create();
        block(&endpoint).write_at(0, b"contents").unwrap();
        let [opened, closed, ..] = shared_words(2) else { unreachable!() };
        let child = fork(|| {
            let own = open().unwrap();
            opened.store(1, SeqCst);
            wait_for(closed);
            let mut bytes = [0; 8];
            block(&own).read_at(0, &mut bytes).unwrap();
            T.close(own).is_ok() && &bytes == b"contents"
        });
        wait_for(opened);
        T.close(endpoint).unwrap();
        T.close(open().unwrap()).unwrap();
        closed.store(1, SeqCst);
        assert!(child.wait().success());
        assert_eq!(open().unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(place.files(), [""; 0]);
    });
}

#[test]
fn forks_in_the_middle_of_everything() {
    alone("forks_in_the_middle_of_everything", WATCHDOG, |place| {
        let stop = AtomicBool::new(false);
        let busy = |number: u64| {
            let name = Name::new(&format!("block {number}")).unwrap();
            let options = options("size=100,create=open_or_create").unwrap();
            while !stop.load(SeqCst) {
                let endpoint = T.create(&name, &options).unwrap();
                block(&endpoint).store_bytes(b"value").unwrap();
                T.close(endpoint).unwrap();
            }
        };
        std::thread::scope(|scope| {
            (0..2).for_each(|number| drop(scope.spawn(move || busy(number))));
            let mut random = Random::new(1);
            for round in 0..300 {
                random.pause(Duration::from_micros(300));
                let child = fork(|| {
                    let left = traces(place);
                    left.is_empty() || {
                        println!("round {round}: the child has {left:?}");
                        false
                    }
                });
                if !child.wait().success() {
                    stop.store(true, SeqCst);
                    panic!("round {round}");
                }
            }
            stop.store(true, SeqCst);
        });
        assert_eq!(place.files(), [""; 0]);
    });
}

/// What the handlers below close: one before the fork, one in the parent, one in the child.
static HELD: [Mutex<Option<Endpoint>>; 3] = [const { Mutex::new(None) }; 3];

fn give_up(which: usize) {
    drop(HELD[which].lock().unwrap().take());
}

extern "C" fn before_fork() {
    give_up(0);
}

extern "C" fn in_parent() {
    give_up(1);
}

extern "C" fn in_child() {
    give_up(2);
}

/// A program's handler closes an endpoint, which another thread may be busy with: registered before
/// ours or after, it neither deadlocks nor takes the parent's name away.
#[test]
fn fork_handlers_of_the_program_may_close() {
    alone("fork_handlers_of_the_program_may_close", WATCHDOG, |place| {
        // SAFETY: the handlers are functions of this program.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(in_parent), Some(in_child)) };
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Opens and closes descriptors with the lock in its hands that the handler wants.
            scope.spawn(|| {
                while !over.load(SeqCst) {
                    let mut held = HELD[0].lock().unwrap();
                    *held = None;
                    *held =
                        Some(T.create(&Name::new("busy").unwrap(), &options("").unwrap()).unwrap());
                }
            });
            for _ in 0..50 {
                *HELD[1].lock().unwrap() = Some(create());
                *HELD[2].lock().unwrap() = Some(
                    T.create(&Name::new("kept").unwrap(), &options("size=1").unwrap()).unwrap(),
                );
                let child = fork(|| HELD[2].lock().unwrap().is_none());
                assert!(child.wait().success());
                assert_eq!(open().unwrap_err().kind(), ErrorKind::NotFound);
                // The child's handler closed a copy of the handle.
                T.open(&Name::new("kept").unwrap(), &options("").unwrap()).unwrap();
                give_up(2);
            }
            over.store(true, SeqCst);
        });
        give_up(0);
        assert_eq!(place.files(), [""; 0]);
    });
}
