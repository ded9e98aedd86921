//! Channels as the traits of the ecosystem: streams and sinks, readers and writers.
#![cfg(all(feature = "in-process", feature = "futures"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::future::Future;
use std::io::{ErrorKind, IoSlice};
use std::pin::Pin;
use std::time::Duration;

use anyipc::Listener;
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use support::channels::{alone, async_pair as pair};
use support::message::pattern;
use support::random::Random;
use support::schemes::{another, each};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

/// Runs the test in a runtime of one thread, where a blocking call hangs every task, and in one of
/// several.
fn run<F: Future<Output = ()>>(url: &str, test: impl Fn(String) -> F) {
    alone().block_on(test(another(url)));
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    many.unwrap().block_on(test(another(url)));
}

#[test]
fn messages_go_both_ways_and_each_direction_ends_alone() {
    each("framed", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (mut a, mut b) = (a.into_framed(), b.into_framed());
            let echoing = tokio::spawn(async move {
                let mut got = Vec::new();
                while let Some(message) = b.next().await {
                    got.push(message.unwrap());
                }
                assert!(b.next().now_or_never().unwrap().is_none(), "it stays at its end");
                // The other direction is open.
                for message in got {
                    b.send(message).await.unwrap();
                }
                b.close().await.unwrap();
                assert!(b.send(Bytes::new()).await.is_err());
            });
            let messages: Vec<_> = [0, 1, 100, 65_537, 300_000, 5, 0]
                .into_iter()
                .enumerate()
                .map(|(seed, len)| Bytes::from(pattern(len, seed as u8)))
                .collect();
            for message in &messages {
                a.send(message.clone()).await.unwrap();
            }
            a.close().await.unwrap();
            for message in &messages {
                assert_eq!(a.next().await.unwrap().unwrap(), message);
            }
            assert!(a.next().await.is_none());
            echoing.await.unwrap();
        });
    });
}

#[test]
fn a_sink_without_room_waits_and_wakes() {
    const MESSAGES: usize = 3000;
    each("sink", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (mut a, mut b) = (a.into_framed(), b.into_framed());
            let sending = tokio::spawn(async move {
                for i in 0..MESSAGES {
                    // Short ones are collected; long ones go out on their own, behind them.
                    let len = if i % 100 == 0 { 100_000 } else { i % 300 };
                    a.feed(Bytes::from(pattern(len, i as u8))).await.unwrap();
                }
                let long = Bytes::from(vec![0; 17 << 20]);
                let error = a.feed(long).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert_eq!(anyipc::ErrorKind::of_io(&error), anyipc::ErrorKind::MessageTooLarge);
                a.flush().await.unwrap();
                a
            });
            for i in 0..MESSAGES {
                let len = if i % 100 == 0 { 100_000 } else { i % 300 };
                let message = timeout(LONG, b.next()).await.unwrap().unwrap().unwrap();
                assert!(message == pattern(len, i as u8), "message {i}");
            }
            drop(sending.await.unwrap());
            assert!(b.next().await.is_none());
        });
    });
}

#[test]
fn what_a_sink_has_taken_arrives_whatever_is_dropped() {
    each("taken", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (mut a, mut b) = (a.into_framed(), b.into_framed());
            let sending = tokio::spawn(async move {
                let mut taken = 0u32;
                for round in 0..2000u64 {
                    let limit = Duration::from_micros(round % 3 * 20);
                    let ready = std::future::poll_fn(|cx| a.poll_ready_unpin(cx));
                    if timeout(limit, ready).await.is_ok() {
                        let mut message = taken.to_le_bytes().to_vec();
                        message.resize(4 + (round % 7) as usize * 3000, 1);
                        a.start_send_unpin(message.into()).unwrap();
                        taken += 1;
                    }
                    let _ = timeout(limit, a.flush()).await;
                }
                a.flush().await.unwrap();
                (taken, a)
            });
            let mut got = 0u32;
            while !sending.is_finished() || got == 0 {
                let next = timeout(Duration::from_micros(300), b.next());
                let Ok(Some(message)) = next.await else { continue };
                assert_eq!(message.unwrap()[..4], got.to_le_bytes());
                got += 1;
            }
            let (taken, a) = sending.await.unwrap();
            drop(a);
            while let Some(message) = b.next().await {
                assert_eq!(message.unwrap()[..4], got.to_le_bytes());
                got += 1;
            }
            assert_eq!(got, taken);
        });
    });
}

#[test]
fn bytes_go_both_ways_and_each_direction_ends_alone() {
    each("io", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (mut a, mut b) = (a.into_io(), b.into_io());
            let answering = tokio::spawn(async move {
                let mut all = Vec::new();
                b.read_to_end(&mut all).await.unwrap();
                assert_eq!(b.read(&mut [0; 8]).await.unwrap(), 0, "it stays at its end");
                b.write_all(&all).await.unwrap();
                // Twice, as some libraries do, and a flush behind it.
                for _ in 0..2 {
                    b.shutdown().await.unwrap();
                    b.flush().await.unwrap();
                }
                assert_eq!(b.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
            });
            let all = pattern(3 << 20, 7);
            let mut random = Random::new(7);
            let mut rest = &all[..];
            while !rest.is_empty() {
                let len = (random.next() as usize % 100_000 + 1).min(rest.len());
                let (first, second) = rest[..len].split_at(len / 3);
                let pieces = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)];
                let written = a.write_vectored(&pieces).await.unwrap();
                assert!(written > 0);
                rest = &rest[written..];
            }
            assert_eq!(a.write(b"").await.unwrap(), 0);
            a.shutdown().await.unwrap();
            // Read in pieces of any length.
            let mut got = Vec::new();
            loop {
                let mut piece = vec![0; random.next() as usize % 50_000 + 1];
                let len = a.read(&mut piece).await.unwrap();
                if len == 0 {
                    break;
                }
                got.extend_from_slice(&piece[..len]);
            }
            assert!(got == all);
            answering.await.unwrap();
        });
    });
}

/// The caller of a dropped write may write something else.
#[test]
fn a_dropped_write_has_written_nothing() {
    each("dropped", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (mut a, mut b) = (a.into_io(), b.into_io());
            let writing = tokio::spawn(async move {
                let mut written = Vec::new();
                for round in 0..1500u64 {
                    let bytes = vec![round as u8; 3000 + round as usize % 5000];
                    let limit = Duration::from_micros(round % 5 * 30);
                    if let Ok(done) = timeout(limit, a.write(&bytes)).await {
                        written.extend_from_slice(&bytes[..done.unwrap()]);
                    }
                    if round % 3 == 0 {
                        a.flush().await.unwrap();
                    }
                }
                a.shutdown().await.unwrap();
                written
            });
            let mut read = Vec::new();
            let mut piece = vec![0; 3000];
            loop {
                let limit = Duration::from_micros(read.len() as u64 % 7 * 100);
                match timeout(limit, b.read(&mut piece)).await {
                    Ok(len) => match len.unwrap() {
                        0 => break,
                        len => read.extend_from_slice(&piece[..len]),
                    },
                    Err(_) => tokio::task::yield_now().await,
                }
            }
            let written = writing.await.unwrap();
            assert_eq!(read.len(), written.len());
            assert!(read == written);
        });
    });
}

/// Two sides that both write before they read: each write waits, the reads go on meanwhile.
#[test]
fn halves_read_and_write_in_two_tasks() {
    each("copy", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (mut from_a, mut to_a) = tokio::io::split(a.into_io());
            let (mut from_b, mut to_b) = tokio::io::split(b.into_io());
            let echoing = tokio::spawn(async move {
                tokio::io::copy(&mut from_b, &mut to_b).await.unwrap();
                to_b.shutdown().await.unwrap();
            });
            let writing = tokio::spawn(async move {
                to_a.write_all(&pattern(4 << 20, 3)).await.unwrap();
                to_a.shutdown().await.unwrap();
            });
            let mut got = Vec::new();
            timeout(LONG, from_a.read_to_end(&mut got)).await.unwrap().unwrap();
            assert!(got == pattern(4 << 20, 3));
            writing.await.unwrap();
            echoing.await.unwrap();
        });
    });
}

#[test]
fn the_traits_of_futures_read_and_write_the_same() {
    use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
    each("twin", |url| {
        run(url, |url| async move {
            let (a, b) = pair(&url).await;
            let (a, mut b) = (a.into_io(), b.into_io());
            let echoing = tokio::spawn(async move {
                let mut all = Vec::new();
                futures_util::io::AsyncReadExt::read_to_end(&mut b, &mut all).await.unwrap();
                futures_util::io::AsyncWriteExt::write_all(&mut b, &all).await.unwrap();
                futures_util::io::AsyncWriteExt::close(&mut b).await.unwrap();
            });
            let (mut reader, mut writer) = futures_util::io::AsyncReadExt::split(a);
            writer.write_all(&pattern(1 << 20, 1)).await.unwrap();
            writer.flush().await.unwrap();
            writer.close().await.unwrap();
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            assert!(got == pattern(1 << 20, 1));
            echoing.await.unwrap();
        });
    });
}

#[test]
fn a_listener_goes_on_whatever_its_connectors_do() {
    each("listener", |url| {
        run(url, |url| async move {
            let listener = Listener::bind(&url).unwrap();
            let mut incoming = listener.clone().incoming();
            // A stream that is polled and left alone keeps what it has begun.
            assert!(timeout(Duration::from_millis(20), incoming.next()).await.is_err());
            let connectors: Vec<_> = (0..8u8)
                .map(|seed| {
                    let url = url.clone();
                    tokio::spawn(async move {
                        if seed % 3 == 0 {
                            // One that gives up at once.
                            let connecting = anyipc::connect_async(&url);
                            let _ = timeout(Duration::from_micros(1), connecting).await;
                        }
                        let mut channel = anyipc::connect_async(url).await.unwrap().into_framed();
                        channel.send(vec![seed].into()).await.unwrap();
                        assert_eq!(channel.next().await.unwrap().unwrap(), [seed][..]);
                    })
                })
                .collect();
            let mut served = 0;
            while served < 8 {
                let channel = timeout(LONG, incoming.next()).await.unwrap().unwrap().unwrap();
                let mut channel = channel.into_framed();
                assert_eq!(channel.address().to_string(), url);
                // A connector may be dropped after it was let in.
                if let Some(Ok(message)) = channel.next().await {
                    channel.send(message).await.unwrap();
                    served += 1;
                }
            }
            for connector in connectors {
                connector.await.unwrap();
            }
            let opener = anyipc::open(&url).unwrap();
            let error = Listener::new(opener).unwrap_err();
            assert_eq!(std::io::Error::from(error).kind(), ErrorKind::InvalidInput);
        });
    });
}

#[test]
fn adaptors_can_move_between_threads() {
    fn check<T: Send + Unpin + 'static>(_: Pin<&mut T>) {}
    alone().block_on(async {
        let (a, b) = pair(&support::schemes::url("inproc", "types")).await;
        check(Pin::new(&mut a.into_framed()));
        check(Pin::new(&mut b.into_io()));
        let listener = Listener::bind(support::schemes::url("inproc", "types")).unwrap();
        check(Pin::new(&mut listener.incoming()));
    });
}
