//! Tasks that wait for a change of a block, and the calls of a forked child.
#![cfg(all(feature = "shared-memory", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyipc::{BlockExt, Endpoint, ErrorKind};
use support::schemes::unique;
use support::watchdog::watchdog;

const LONG: Duration = Duration::from_secs(30);

fn create(tag: &str) -> (String, Arc<Endpoint>) {
    let name = format!("shm://{}", unique(tag));
    let owner = anyipc::create(format!("{name}?size=4KiB")).unwrap();
    (name, Arc::new(owner))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_are_told() {
    let _watchdog = watchdog("told", Duration::from_secs(50));
    let (_name, owner) = create("change.told");
    const LAST: u64 = 500;
    let reader = |_| {
        let owner = Arc::clone(&owner);
        tokio::spawn(async move {
            let block = owner.block().unwrap();
            let (mut seen, mut watch) = (0, block.watch().unwrap());
            *watch.seen_mut() = 0;
            while seen < LAST {
                let version = watch.changed().await.unwrap();
                assert!(version > seen);
                seen = version;
            }
            // The call without a watch.
            assert_eq!(block.changed(0).await.unwrap(), LAST);
        })
    };
    let readers: Vec<_> = (0..8).map(reader).collect();
    for value in 0..LAST {
        owner.block().unwrap().store_bytes(&value.to_le_bytes()).unwrap();
        tokio::task::yield_now().await;
    }
    for reader in readers {
        tokio::time::timeout(LONG, reader).await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_wake_tasks() {
    let _watchdog = watchdog("words", Duration::from_secs(50));
    let (_name, owner) = create("change.words");
    const ROUNDS: u32 = 300;
    let echo = tokio::spawn({
        let owner = Arc::clone(&owner);
        async move {
            let block = owner.block().unwrap();
            for seen in 0..ROUNDS {
                let word = block.wait_u32_async(4, seen).await.unwrap();
                block.atomic_u32(0).unwrap().store(word, SeqCst);
                block.wake_u32(0).unwrap();
            }
        }
    });
    let block = owner.block().unwrap();
    for round in 0..ROUNDS {
        block.put(4, &(round + 1)).unwrap();
        block.wake_u32(4).unwrap();
        assert_eq!(block.wait_u32_async(0, round).await.unwrap(), round + 1);
    }
    echo.await.unwrap();
}

#[tokio::test]
async fn one_task_too_many_is_refused_by_name() {
    let _watchdog = watchdog("crowd", Duration::from_secs(50));
    let (name, owner) = create("change.crowd");
    const MOST: usize = 176;
    let waiter = |_| {
        let owner = Arc::clone(&owner);
        tokio::spawn(async move { owner.block().unwrap().changed(0).await })
    };
    let mut waiters: Vec<_> = (0..MOST).map(waiter).collect();
    // All of them sleep.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let refused = tokio::time::timeout(LONG, owner.block().unwrap().changed(0)).await;
    let error = refused.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(error.to_string().contains("176"), "{error}");
    // A process without a slot reads, waits as a thread where that needs none, and wakes all.
    let other = anyipc::open(&name).unwrap();
    waiters.pop().unwrap().abort();
    other.block().unwrap().store_bytes(b"value").unwrap();
    for waiter in waiters {
        assert_eq!(tokio::time::timeout(LONG, waiter).await.unwrap().unwrap().unwrap(), 1);
    }
}

#[tokio::test]
async fn a_dropped_wait_leaves_nothing() {
    let _watchdog = watchdog("dropped", Duration::from_secs(50));
    let (_name, owner) = create("change.dropped");
    let block = owner.block().unwrap();
    let mut watch = block.watch().unwrap();
    for round in 1..=300 {
        let short = Duration::from_micros(round % 7 * 100);
        tokio::time::timeout(short, watch.changed()).await.unwrap_err();
        tokio::time::timeout(short, block.wait_u32_async(0, 0)).await.unwrap_err();
    }
    block.store_bytes(b"value").unwrap();
    assert_eq!(tokio::time::timeout(LONG, watch.changed()).await.unwrap().unwrap(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_forked_child_is_told() {
    let (_name, owner) = create("change.fork");
    let block = owner.block().unwrap();
    block.store_bytes(b"value").unwrap();
    let mut watch = block.watch().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // SAFETY: the child calls nothing that a thread of the parent may have left locked, and ends.
    match unsafe { libc::fork() } {
        0 => {
            let forked = |kind| kind == Some(ErrorKind::Forked);
            fn kind<T>(result: anyipc::Result<T>) -> Option<ErrorKind> {
                result.err().map(|error| error.kind())
            }
            let short = Duration::from_millis(1);
            let said = [
                kind(block.version()),
                kind(block.load_newer_bytes(&mut 1, short)),
                kind(block.try_load_newer_bytes(&mut 1)),
                kind(block.watch()),
                kind(watch.try_wait()),
                kind(watch.wait_timeout(short)),
                kind(block.wait_u32(0, 0, short)),
                kind(block.wake_u32(0)),
                kind(runtime.block_on(watch.changed())),
            ];
            drop(watch);
            // SAFETY: ends the child.
            unsafe { libc::_exit(if said.into_iter().all(forked) { 0 } else { 1 }) };
        }
        child => {
            let mut status = 0;
            // SAFETY: waits for a child of ours.
            unsafe { libc::waitpid(child, &mut status, 0) };
            assert_eq!(status, 0);
        }
    }
    assert_eq!(watch.try_wait().unwrap_err().kind(), ErrorKind::WouldBlock);
    block.store_bytes(b"value").unwrap();
    assert_eq!(watch.wait().unwrap(), 2);
}
