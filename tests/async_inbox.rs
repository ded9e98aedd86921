//! Inboxes in tasks: one task for many peers.
#![cfg(all(feature = "in-process", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::future::Future;
use std::time::{Duration, Instant};

use anyipc::{AsyncChannel, AsyncInbox, ErrorKind, Event, PeerId};
use support::channels::alone;
use support::message::pattern;
use support::schemes::{another, each};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// Runs the test in a runtime of one thread, where a blocking call hangs every task, and in one of
/// several.
fn run<F: Future<Output = ()>>(url: &str, test: impl Fn(String) -> F) {
    alone().block_on(test(another(url)));
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    many.unwrap().block_on(test(another(url)));
}

fn inbox(url: &str) -> AsyncInbox {
    AsyncInbox::new(anyipc::create(url).unwrap()).unwrap()
}

/// One more peer of the inbox.
async fn connect(inbox: &mut AsyncInbox, url: &str) -> (PeerId, AsyncChannel) {
    let (event, channel) = tokio::join!(inbox.next_event(), anyipc::connect_async(url));
    let Event::Connected(id) = event.unwrap() else { panic!("no peer says anything") };
    (id, channel.unwrap())
}

#[test]
fn one_task_serves_many_peers() {
    each("many", |url| {
        run(url, |url| async move {
            let mut inbox = inbox(&url);
            let clients: Vec<_> = (0..12u8)
                .map(|seed| {
                    let url = url.clone();
                    tokio::spawn(async move {
                        let mut channel = anyipc::connect_async(url).await.unwrap();
                        for len in [0, 1, 300, 70_000, 300_000] {
                            let message = pattern(len, seed);
                            channel.send(&message).await.unwrap();
                            assert!(channel.recv().await.unwrap() == message);
                            tokio::task::yield_now().await;
                        }
                        channel.close().await.unwrap();
                    })
                })
                .collect();
            let (mut came, mut left, mut messages) = (0, 0, 0);
            while left < 12 {
                match timeout(LONG, inbox.next_event()).await.unwrap().unwrap() {
                    Event::Connected(_) => came += 1,
                    Event::Message(peer, message) => {
                        messages += 1;
                        inbox.send(peer, &message).await.unwrap();
                    }
                    Event::Disconnected(_, why) => {
                        assert_eq!(why.kind(), ErrorKind::Closed);
                        left += 1;
                    }
                }
            }
            assert_eq!((came, messages), (12, 12 * 5));
            for client in clients {
                client.await.unwrap();
            }
        });
    });
}

#[test]
fn a_sleeping_inbox_wakes_at_once() {
    each("wakes", |url| {
        run(url, |url| async move {
            let mut inbox = inbox(&format!("{url}?wait=block"));
            let (_, quiet) = connect(&mut inbox, &url).await;
            let (_, mut channel) = connect(&mut inbox, &url).await;
            let started = Instant::now();
            let client = tokio::spawn(async move {
                for round in 0..200u32 {
                    channel.send(&round.to_le_bytes()).await.unwrap();
                    assert_eq!(channel.recv().await.unwrap(), round.to_le_bytes());
                }
                channel
            });
            for _ in 0..200 {
                let (peer, message) = inbox.recv().await.unwrap();
                inbox.send(peer, &message).await.unwrap();
            }
            // Were the wake-ups lost, each round would cost a slice of 100 ms.
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
            drop((client.await.unwrap(), quiet));
        });
    });
}

/// Futures that are dropped before, while and after they sleep.
#[test]
fn a_dropped_future_loses_no_event() {
    const MESSAGES: u32 = 600;
    each("dropped", |url| {
        run(url, |url| async move {
            let mut inbox = inbox(&url);
            let clients: Vec<_> = (0..3)
                .map(|_| {
                    let url = url.clone();
                    tokio::spawn(async move {
                        let mut channel = anyipc::connect_async(url).await.unwrap();
                        for number in 0..MESSAGES {
                            channel.send(&number.to_le_bytes()).await.unwrap();
                            if number % 5 == 0 {
                                tokio::time::sleep(Duration::from_micros(100)).await;
                            }
                        }
                        channel.close().await.unwrap();
                    })
                })
                .collect();
            let mut next = std::collections::BTreeMap::new();
            let mut left = 0;
            let started = Instant::now();
            for round in 0.. {
                assert!(started.elapsed() < LONG, "{next:?}");
                let limit = Duration::from_micros(round % 4 * 60);
                let Ok(event) = timeout(limit, inbox.next_event()).await else { continue };
                match event.unwrap() {
                    Event::Connected(peer) => assert_eq!(next.insert(peer, 0), None),
                    Event::Message(peer, message) => {
                        let next = next.get_mut(&peer).unwrap();
                        assert_eq!(message, u32::to_le_bytes(*next));
                        *next += 1;
                    }
                    Event::Disconnected(peer, _) => {
                        assert_eq!(next[&peer], MESSAGES);
                        left += 1;
                        if left == 3 {
                            break;
                        }
                    }
                }
            }
            for client in clients {
                client.await.unwrap();
            }
        });
    });
}

#[test]
fn other_tasks_answer_and_may_be_dropped() {
    each("tasks", |url| {
        run(url, |url| async move {
            let mut inbox = inbox(&url);
            let (peer, mut channel) = connect(&mut inbox, &url).await;
            let (answers, _inbox) = inbox.split();
            let tasks: Vec<_> = (0..6u8)
                .map(|seed| {
                    let answers = answers.clone();
                    tokio::spawn(async move {
                        let mut sent = 0;
                        for round in 0..10u8 {
                            let long = pattern(120_000, seed);
                            // Every other one is impatient, and dropped amid its message.
                            let limit = match (seed + round) % 2 {
                                0 => Duration::from_micros(u64::from(round) * 100),
                                _ => LONG,
                            };
                            match timeout(limit, answers.send(peer, &long)).await {
                                Ok(done) => done.unwrap(),
                                Err(_) => continue,
                            }
                            sent += 1;
                        }
                        answers.send(peer, &[seed; 10]).await.unwrap();
                        sent
                    })
                })
                .collect();
            let (mut last, mut got) = (0, [0; 6]);
            while last < 6 {
                let message = timeout(LONG, channel.recv()).await.unwrap().unwrap();
                let seed = (0..6u8).find(|seed| message == pattern(120_000, *seed));
                match seed {
                    Some(seed) => got[usize::from(seed)] += 1,
                    None => {
                        assert!(message.len() == 10, "{} bytes", message.len());
                        last += 1;
                    }
                }
            }
            for (seed, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap(), got[seed]);
            }
        });
    });
}

#[test]
fn the_end_of_a_connection_ends_what_waits_to_send() {
    each("ends", |url| {
        run(url, |url| async move {
            let mut inbox = inbox(&url);
            let (full, channel) = connect(&mut inbox, &url).await;
            while inbox.try_send(full, &[7; 1000]).is_ok() {}
            let (answers, mut inbox) = inbox.split();
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let answers = answers.clone();
                    tokio::spawn(async move { answers.send(full, &[0; 15 << 20]).await })
                })
                .collect();
            // They sleep.
            assert!(timeout(SHORT, inbox.next_event()).await.is_err());
            assert!(waiting.iter().all(|task| !task.is_finished()));
            assert!(inbox.disconnect(full));
            for task in waiting {
                let ended = timeout(LONG, task).await.unwrap().unwrap();
                assert_eq!(ended.unwrap_err().kind(), ErrorKind::PeerGone);
            }
            drop(channel);
        });
    });
}

#[test]
fn a_broadcast_waits_for_all_at_once() {
    each("all", |url| {
        run(url, |url| async move {
            let mut inbox = inbox(&url);
            let (late, mut late_channel) = connect(&mut inbox, &url).await;
            let mut readers = Vec::new();
            for _ in 0..3 {
                let (_, mut channel) = connect(&mut inbox, &url).await;
                readers.push(tokio::spawn(async move { (channel.recv().await, channel) }));
            }
            // Longer than any channel. One peer receives when the others are done.
            let long = vec![5; 15 << 20];
            let expected = long.clone();
            let all = tokio::spawn(async move {
                let mut channels = Vec::new();
                for reader in readers {
                    let (got, channel) = reader.await.unwrap();
                    assert!(got.unwrap() == expected);
                    channels.push(channel);
                }
                assert!(late_channel.recv().await.unwrap() == expected);
                (late_channel, channels)
            });
            let failed = inbox.broadcast_timeout(&long, LONG).await;
            assert!(failed.is_empty(), "{failed:?}");
            let (late_channel, mut channels) = all.await.unwrap();
            let failed = inbox.broadcast_timeout(&long, SHORT).await;
            assert_eq!(failed.len(), 4);
            assert!(failed.iter().all(|(_, why)| why.kind() == ErrorKind::TimedOut), "{failed:?}");
            // Nothing of that arrives, nor of one that is dropped.
            assert!(timeout(SHORT, inbox.broadcast_timeout(&long, LONG)).await.is_err());
            drop(late_channel);
            let failed = tokio::spawn(async move { inbox.broadcast_timeout(b"next", LONG).await });
            for channel in &mut channels {
                assert_eq!(channel.recv().await.unwrap(), b"next");
            }
            assert!(failed.await.unwrap().iter().all(|(id, _)| *id == late));
        });
    });
}

#[test]
fn there_and_back_again() {
    each("sync", |url| {
        let owner = anyipc::create(url).unwrap();
        let sync = anyipc::Inbox::new(owner).unwrap();
        let url = url.to_owned();
        let client = std::thread::spawn(move || {
            let mut channel = anyipc::connect(url).unwrap();
            for round in 0..3u8 {
                channel.send(&[round]).unwrap();
                assert_eq!(channel.recv().unwrap(), [round]);
            }
        });
        let mut sync = alone().block_on(async move {
            let mut inbox = sync.into_async().unwrap();
            let (peer, message) = inbox.recv().await.unwrap();
            inbox.send(peer, &message).await.unwrap();
            inbox.into_sync()
        });
        let (peer, message) = sync.recv_timeout(LONG).unwrap();
        sync.send(peer, &message).unwrap();
        alone().block_on(async move {
            let mut inbox = sync.into_async().unwrap();
            let (peer, message) = inbox.recv().await.unwrap();
            inbox.send(peer, &message).await.unwrap();
        });
        client.join().unwrap();
    });
}
