//! A stopped process holds the lock of a queue: waits end in time, other members of a select and
//! other tasks go on.
#![cfg(all(target_os = "linux", feature = "message-queue", feature = "in-process"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyipc::{Endpoint, ErrorKind, Queue, Select};
use support::watchdog::watched;

/// The locks of senders and of receivers, in the queue's file.
const LOCKS: [u64; 2] = [4096 + 128, 4096 + 256];
/// What a lock holds while the first handle of a queue has it.
const FIRST: u32 = 1 | 1 << 9;

const TIMEOUT: Duration = Duration::from_millis(50);
/// Far more than the timeout, far less than a call that waits for the lock each time it looks.
const IN_TIME: Duration = Duration::from_secs(1);

/// A queue with a message, a handle of it, and a handle that holds this lock until it is dropped.
fn stuck(tag: &str, lock: u64) -> (Endpoint, Queue, Queue) {
    let name = format!("s.{tag}.{lock}.{}", std::process::id());
    let owner = anyipc::create(format!("mq://{name}")).unwrap();
    let (holder, mut queue) = (owner.queue().unwrap(), owner.queue().unwrap());
    queue.send(0, b"there").unwrap();
    let base = std::env::var_os("ANYIPC_DIR").map_or("/dev/shm".into(), std::path::PathBuf::from);
    let dir = base.join(format!("anyipc-{}", rustix::process::geteuid().as_raw()));
    let file = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|file| {
        let file = file.file_name().unwrap().to_string_lossy();
        file.contains(&name) && file.ends_with(".queue")
    });
    let file = OpenOptions::new().write(true).open(file.unwrap()).unwrap();
    file.write_all_at(&FIRST.to_ne_bytes(), lock).unwrap();
    (owner, queue, holder)
}

fn each(tag: &'static str, test: fn(Endpoint, Queue, Queue, bool)) {
    for lock in LOCKS {
        watched(tag, move || {
            let (owner, queue, holder) = stuck(tag, lock);
            test(owner, queue, holder, lock == LOCKS[1]);
        });
    }
}

#[test]
fn timed_calls_end_in_time() {
    each("timed", |owner, mut queue, holder, receivers| {
        let start = Instant::now();
        let (sent, received) = (queue.send_timeout(0, b"x", TIMEOUT), queue.recv_timeout(TIMEOUT));
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
        let stopped = if receivers { received.map(drop) } else { sent };
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::TimedOut);
        queue.status().unwrap();
        owner.queue().unwrap();
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
        drop(holder);
        queue.send(0, b"after").unwrap();
        queue.recv().unwrap();
        assert!(start.elapsed() < 2 * IN_TIME, "{:?}", start.elapsed());
    });
}

#[test]
fn a_select_finds_its_other_members() {
    each("sel", |_owner, mut queue, holder, receivers| {
        let name = format!("inproc://stuck.{}.{receivers}", std::process::id());
        let owner = anyipc::create(&name).unwrap();
        let far = std::thread::spawn(move || anyipc::connect(&name).unwrap());
        let mut near = owner.accept().unwrap();
        let mut far = far.join().unwrap();
        let mut select = Select::new().unwrap();
        let start = Instant::now();
        if receivers {
            // There is a message, but the lock is held.
            assert!(select.try_wait(&mut [&mut queue, &mut near]).unwrap_err().is_would_block());
            let waited = select.wait_timeout(&mut [&mut queue, &mut near], TIMEOUT);
            assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
            far.send(b"urgent").unwrap();
            assert_eq!(select.wait_timeout(&mut [&mut queue, &mut near], TIMEOUT).unwrap(), 1);
            near.recv().unwrap();
            assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
            drop(holder);
        }
        // What can be taken is found, also where nothing can be sent.
        assert_eq!(select.wait(&mut [&mut queue, &mut near]).unwrap(), 0);
        assert_eq!(queue.try_recv().unwrap().1, b"there");
        assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    });
}

#[cfg(feature = "tokio")]
#[test]
fn other_tasks_go_on() {
    each("tasks", |_owner, mut queue, _holder, receivers| {
        if !receivers {
            queue.recv().unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut gaps = runtime.block_on(async {
            let ticker = tokio::spawn(async {
                let mut gaps = Vec::new();
                for _ in 0..40 {
                    let start = Instant::now();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    gaps.push(start.elapsed());
                }
                gaps
            });
            let mut queue = queue.into_async().unwrap();
            let waits = async {
                loop {
                    // Dropped again and again, too.
                    let recv = tokio::time::timeout(Duration::from_millis(20), queue.recv());
                    assert!(recv.await.is_err(), "there was nothing to receive");
                }
            };
            tokio::select! {
                gaps = ticker => gaps.unwrap(),
                () = waits => unreachable!(),
            }
        });
        gaps.sort_unstable();
        let usual = gaps[gaps.len() / 2];
        assert!(usual < Duration::from_millis(30), "{usual:?}");
    });
}
