//! Async channels that change their runtime, or leave it.
#![cfg(all(feature = "in-process", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::time::Duration;

use anyipc::ErrorKind;
use support::channels::{self, alone, async_pair as pair};
use support::schemes::{another, each};

#[test]
fn there_and_back_again() {
    each("sync", |url| {
        let (_owner, a, mut b) = channels::pair(url);
        let error = a.into_async().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("tokio runtime"), "{error}");
        assert_eq!(b.recv().unwrap_err().kind(), ErrorKind::Closed);
        let url = another(url);
        let (_owner, a, mut b) = channels::pair(&url);
        alone().block_on(async move {
            let mut a = a.into_async().unwrap();
            a.send(b"async").await.unwrap();
            let mut a = a.into_sync();
            a.send(b"sync").unwrap();
            a.into_async().unwrap().send(b"async").await.unwrap();
            for expected in ["async", "sync", "async"] {
                assert_eq!(b.recv().unwrap(), expected.as_bytes());
            }
        });
    });
}

/// The first runtime's reactor and timers end with it; the channel does not.
#[test]
fn a_channel_outlives_the_runtime_that_it_waited_in() {
    let short = Duration::from_millis(20);
    each("async-moved", move |url| {
        let (mut a, mut b) = alone().block_on(pair(url));
        for round in 0..3u8 {
            let message = [round];
            alone().block_on(async {
                // Nothing comes, so it has slept once.
                assert!(tokio::time::timeout(short, a.recv()).await.is_err());
                let (got, sent) = tokio::join!(a.recv(), b.send(&message));
                sent.unwrap();
                assert_eq!(got.unwrap(), message);
                b.send(b"left behind").await.unwrap();
            });
            assert_eq!(alone().block_on(a.recv()).unwrap(), b"left behind");
        }
    });
}

/// Each half may wait in a runtime of its own, and later in another one, while the other half still
/// waits.
#[test]
fn halves_wait_in_different_runtimes() {
    let short = Duration::from_millis(20);
    each("async-apart", move |url| {
        let (ours, theirs) = (alone(), alone());
        let (a, mut b) = ours.block_on(pair(url));
        let (mut sender, mut receiver) = a.split();
        let receiving = ours.spawn(async move { receiver.recv().await });
        for runtime in [&ours, &theirs, &ours, &theirs] {
            // Until there is no room, and it sleeps.
            runtime.block_on(async {
                while let Ok(sent) = tokio::time::timeout(short, sender.send(&[7; 1000])).await {
                    sent.unwrap();
                }
            });
        }
        theirs.block_on(b.send(b"for the one that waited")).unwrap();
        assert_eq!(ours.block_on(receiving).unwrap().unwrap(), b"for the one that waited");
    });
}
