//! Opening an object that comes later, by threads and tasks.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, ErrorKind, Operation, Role};
use support::schemes::{can, each};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(60);

#[test]
fn an_object_is_waited_for() {
    each("open.later", |url| {
        // Over TCP there is nothing to open before the connect.
        let is_named = can(url, Capabilities::INVENTORY) || url.starts_with("inproc");
        let started = Instant::now();
        let early = anyipc::open_timeout(url, SHORT);
        if is_named {
            let error = early.unwrap_err();
            assert_eq!((error.kind(), error.operation()), (ErrorKind::NotFound, Operation::Open));
            assert_eq!(error.code().unwrap().value(), -3);
            assert!(started.elapsed() >= SHORT, "{:?}", started.elapsed());
        }
        let theirs = url.to_owned();
        let waiting = thread::spawn(move || anyipc::open_timeout(theirs, LONG).unwrap());
        thread::sleep(Duration::from_millis(20));
        let owner = anyipc::create(url).unwrap();
        let opener = waiting.join().unwrap();
        assert_eq!(opener.role(), Role::Opener);
        let connecting = thread::spawn(move || opener.connect().unwrap());
        owner.accept_timeout(LONG).unwrap();
        connecting.join().unwrap();
        assert_eq!(
            anyipc::open_timeout("sham://x", LONG).unwrap_err().operation(),
            Operation::Open
        );
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_open_and_wait() {
    each("open.async", |url| {
        support::channels::alone().block_on(async {
            let is_named = can(url, Capabilities::INVENTORY) || url.starts_with("inproc");
            if is_named {
                let error = anyipc::open_async(url).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_eq!(error.operation(), Operation::Open);
                let error = anyipc::open_timeout_async(url, SHORT).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound);
                assert_eq!(error.operation(), Operation::Open);
            }
            let theirs = url.to_owned();
            let waiting = tokio::spawn(anyipc::open_timeout_async(theirs, LONG));
            // One that is dropped leaves nothing.
            drop(tokio::time::timeout(SHORT, anyipc::open_timeout_async(url, LONG)).await);
            let owner = anyipc::create(url).unwrap();
            let opener = waiting.await.unwrap().unwrap();
            let again = anyipc::open_async(url).await.unwrap();
            for opener in [opener, again] {
                let (accepted, connected) =
                    tokio::join!(owner.accept_async(), opener.connect_async());
                drop((accepted.unwrap(), connected.unwrap()));
            }
        });
    });
}
