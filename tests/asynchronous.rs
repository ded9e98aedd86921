//! The async calls.
#![cfg(all(feature = "in-process", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::future::Future;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Result};
use support::channels::{alone, async_pair as pair};
use support::message::pattern;
use support::schemes::{self, another, each, url};
use support::watchdog::watched;

/// Runs a test's future in a runtime of several threads.
fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(3)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

/// Runs a test's future in a runtime of one thread: a blocking call hangs every task.
fn run_alone(future: impl Future<Output = ()>) {
    alone().block_on(future);
}

#[test]
fn messages_go_both_ways() {
    each("async", |url| {
        run(echo(url));
        run_alone(echo(url));
    });
}

async fn echo(url: &str) {
    let (mut a, mut b) = pair(url).await;
    let echoing = tokio::spawn(async move {
        let mut buffer = Vec::new();
        while b.recv_into(&mut buffer).await.is_ok() {
            b.send(&buffer).await.unwrap();
        }
    });
    for (seed, len) in [0, 1, 100, 65_536, 65_537, 2 << 20].into_iter().enumerate() {
        let message = pattern(len, seed as u8);
        a.send(&message).await.unwrap();
        assert!(a.recv().await.unwrap() == message);
    }
    for i in 0..2000u32 {
        a.send_with(4, |frame| {
            frame.copy_from_slice(&i.to_le_bytes());
            Some(4)
        })
        .await
        .unwrap();
        assert!(a.recv_with(|message| message == i.to_le_bytes()).await.unwrap());
    }
    assert_eq!(a.stats().messages_received, 2006);
    a.close().await.unwrap();
    echoing.await.unwrap();
}

#[test]
fn batches_arrive_whole_and_in_order() {
    each("batches", |url| {
        run_alone(async {
            let (mut a, mut b) = pair(url).await;
            let messages: Vec<_> = (0..5000).map(|i| pattern(i % 400, i as u8)).collect();
            let expected = messages.clone();
            let sending = tokio::spawn(async move {
                assert_eq!(a.send_many(&messages).await.unwrap(), 5000);
                a
            });
            for message in &expected {
                assert!(b.recv().await.unwrap() == *message);
            }
            drop(sending.await.unwrap());
        });
    });
}

#[test]
fn both_halves_wait_at_once() {
    each("halves", |url| {
        run(async {
            let (a, b) = pair(url).await;
            let (mut to_b, mut from_b) = a.split();
            let (mut to_a, mut from_a) = b.split();
            let stream = |mut to: anyipc::AsyncSender, count: u32| {
                tokio::spawn(async move {
                    for i in 0..count {
                        to.send(&pattern(200 + (i % 7) as usize, i as u8)).await.unwrap();
                    }
                    to.flush().await.unwrap();
                    to
                })
            };
            // Pushed until full, so that senders wait, too.
            while to_b.try_send(b"fill").is_ok() {}
            while to_a.try_send(b"fill").is_ok() {}
            let senders = [stream(to_b, 5000), stream(to_a, 5000)];
            let check = |mut from: anyipc::AsyncReceiver| {
                tokio::spawn(async move {
                    let mut next = 0;
                    while next < 5000u32 {
                        let message = from.recv().await.unwrap();
                        if message != b"fill" {
                            assert_eq!(message, pattern(200 + (next % 7) as usize, next as u8));
                            next += 1;
                        }
                    }
                    from
                })
            };
            let mut got = Vec::new();
            assert_eq!(from_a.try_recv_into(&mut got).unwrap(), 4);
            assert_eq!(from_b.try_recv_into(&mut got).unwrap(), 4);
            let receivers = [check(from_a), check(from_b)];
            for receiver in receivers {
                receiver.await.unwrap();
            }
            for sender in senders {
                sender.await.unwrap();
            }
        });
    });
}

/// Both halves may share a source: an event for one of them must wake that one, and only that one.
#[test]
fn one_half_waits_for_room_and_the_other_for_a_message() {
    each("room", |url| {
        for words_first in [true, false] {
            for runner in [run, run_alone] as [fn(std::pin::Pin<Box<dyn Future<Output = ()>>>); 2] {
                let url = another(url);
                runner(Box::pin(async move { room_and_message(&url, words_first).await }));
            }
        }
    });
}

async fn room_and_message(url: &str, words_first: bool) {
    let (a, mut b) = pair(url).await;
    let (mut to_b, mut from_b) = a.split();
    let long = pattern(8 << 20, 3);
    let expected = long.clone();
    let sending = tokio::spawn(async move { to_b.send(&long).await.map(|()| to_b) });
    let receiving =
        tokio::spawn(async move { (from_b.recv().await.unwrap(), from_b.recv().await) });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(!sending.is_finished() && !receiving.is_finished());
    if words_first {
        b.send(b"word").await.unwrap();
        assert!(!sending.is_finished());
    }
    assert!(b.recv().await.unwrap() == expected);
    let to_b = sending.await.unwrap().unwrap();
    if !words_first {
        assert!(!receiving.is_finished());
        b.send(b"word").await.unwrap();
    }
    drop(b);
    let (word, end) = receiving.await.unwrap();
    assert_eq!((word, end.unwrap_err().kind()), (b"word".to_vec(), ErrorKind::Closed));
    drop(to_b);
}

#[test]
fn a_dropped_future_sends_nothing_or_calls_off() {
    each("cancel", |url| {
        run(async {
            let (mut a, mut b) = pair(url).await;
            let cut =
                tokio::time::timeout(Duration::from_millis(30), a.send(&pattern(4 << 20, 1))).await;
            assert!(cut.is_err());
            let receiver = tokio::spawn(async move { (b.recv().await.unwrap(), b) });
            a.send(b"whole").await.unwrap();
            let (message, mut b) = receiver.await.unwrap();
            assert_eq!(message, b"whole");
            // A dropped receive takes nothing.
            assert!(tokio::time::timeout(Duration::from_millis(30), b.recv()).await.is_err());
            a.send(b"kept").await.unwrap();
            assert_eq!(b.recv().await.unwrap(), b"kept");
        });
    });
}

#[test]
fn the_end_wakes_a_task() {
    each("end", |url| {
        run(async {
            let (a, mut b) = pair(url).await;
            let waiting = tokio::spawn(async move { b.recv().await.unwrap_err().kind() });
            tokio::task::yield_now().await;
            drop(a);
            assert_eq!(waiting.await.unwrap(), ErrorKind::Closed);
            let (a, mut b) = pair(&another(url)).await;
            let waiting =
                tokio::spawn(async move { b.send(&vec![0; 8 << 20]).await.unwrap_err().kind() });
            tokio::task::yield_now().await;
            drop(a);
            assert_eq!(waiting.await.unwrap(), ErrorKind::Closed);
        });
    });
}

/// The in-process transport with receivers that wait for a source that never becomes ready, as if
/// the peer had been killed just before each wake-up.
#[cfg(unix)]
mod lost {
    use std::ffi::CStr;
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use anyipc::transport::{
        Armed, Attempt, Capabilities, Endpoint, Flags, Interest, Key, Name, Operation, Options,
        Peer, RecvHalf, Role, Source, Transport, Wait, Waiter,
    };
    use anyipc::{Error, ErrorKind, Result};
    use anyipc_in_process::{InProcess, InProcessEndpoint};

    #[derive(Debug)]
    pub(crate) struct Lost;
    #[derive(Debug)]
    pub(crate) struct LostEndpoint(InProcessEndpoint);
    #[derive(Debug)]
    pub(crate) struct LostReceiver(
        anyipc_in_process::InProcessReceiver,
        (Arc<UnixStream>, UnixStream),
    );

    impl Transport for Lost {
        type Endpoint = LostEndpoint;

        fn schemes(&self) -> &'static [&'static str] {
            &["lost"]
        }
        fn keys(&self) -> &'static [Key] {
            InProcess.keys()
        }
        fn capabilities(&self) -> Capabilities {
            InProcess.capabilities()
        }
        fn create(&self, name: &Name, options: &Options) -> Result<LostEndpoint> {
            InProcess.create(name, options).map(LostEndpoint)
        }
        fn open(&self, name: &Name, options: &Options) -> Result<LostEndpoint> {
            InProcess.open(name, options).map(LostEndpoint)
        }
        fn alloc_lpsz(&self, _: &Name, _: &[u8], _: &Options) -> Result<LostEndpoint> {
            Err(Error::new(Operation::AllocLpsz, ErrorKind::Unsupported))
        }
        fn close(&self, endpoint: LostEndpoint) -> Result<()> {
            InProcess.close(endpoint.0)
        }
    }

    impl Endpoint for LostEndpoint {
        type Sender = anyipc_in_process::InProcessSender;
        type Receiver = LostReceiver;

        fn role(&self) -> Role {
            self.0.role()
        }
        fn try_connect(&self, attempt: &mut Attempt) -> Result<(Self::Sender, LostReceiver, Peer)> {
            let (sender, receiver, peer) = self.0.try_connect(attempt)?;
            let (source, other) = UnixStream::pair().unwrap();
            source.set_nonblocking(true).unwrap();
            Ok((sender, LostReceiver(receiver, (Arc::new(source), other)), peer))
        }
        fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed> {
            self.0.arm(attempt, waiter)
        }
        fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
            self.0.read_lpsz(read)
        }
    }

    impl Wait for LostReceiver {
        fn source(&self) -> Result<Source> {
            Ok(self.1.0.clone())
        }
        fn arm(&mut self, _: Waiter<'_>) -> Result<Armed> {
            Ok(Armed::Source(Interest::Readable))
        }
    }

    impl RecvHalf for LostReceiver {
        fn try_recv_with(&mut self, read: &mut dyn FnMut(Flags, &[u8])) -> Result<()> {
            self.0.try_recv_with(read)
        }
    }
}

#[cfg(unix)]
#[test]
fn a_lost_wake_up_is_made_good() {
    watched("lost", || {
        run_alone(async {
            let url = url("lost", "wake");
            let registry = anyipc::Registry::empty().with(lost::Lost);
            let owner = registry.create(&url).unwrap();
            let (a, b) = tokio::join!(owner.accept_async(), registry.connect_async(&url));
            let (mut a, mut b) = (a.unwrap(), b.unwrap());
            let waiting = tokio::spawn(async move {
                for i in 0..3u8 {
                    let started = Instant::now();
                    let message = tokio::time::timeout(Duration::from_secs(5), b.recv()).await;
                    assert_eq!(message.unwrap().unwrap(), [i]);
                    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
                }
            });
            for i in 0..3u8 {
                // Long enough for the other task to wait.
                tokio::time::sleep(Duration::from_millis(50)).await;
                a.send(&[i]).await.unwrap();
            }
            waiting.await.unwrap();
        });
    });
}

/// What a future gives when it is polled once, and then dropped.
async fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        std::task::Poll::Ready(match future.as_mut().poll(cx) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

/// A receiver that mixes its calls and drops some of them misses no message.
#[test]
fn a_receiver_that_changes_its_mind_misses_nothing() {
    const MESSAGES: u32 = 3000;
    for alone in [true, false] {
        for wait in ["block", "adaptive"] {
            for scheme in schemes::all() {
                let url = format!("{}?wait={wait}", url(scheme, "moods"));
                let what = url.clone();
                let test = async move {
                    let (mut a, b) = pair(&url).await;
                    let (mut to_a, mut from_a) = b.split();
                    let sending = tokio::spawn(async move {
                        for i in 0..MESSAGES {
                            a.send(&i.to_le_bytes()).await.unwrap();
                            // Single messages, and bursts.
                            if i % 7 < 4 {
                                tokio::task::yield_now().await;
                            }
                            if i % 16 == 0 {
                                a.recv().await.unwrap();
                            }
                        }
                        assert_eq!(a.recv().await.unwrap_err().kind(), ErrorKind::Closed);
                    });
                    let mut buffer = Vec::new();
                    for i in 0..MESSAGES {
                        // It gives up at once, only looks, or first waits in vain.
                        let early = match i % 5 {
                            0 => now_or_never(from_a.recv_into(&mut buffer)).await,
                            1 => Some(from_a.try_recv_into(&mut buffer)).filter(|got| got.is_ok()),
                            2 => tokio::time::timeout(
                                Duration::from_micros(50),
                                from_a.recv_into(&mut buffer),
                            )
                            .await
                            .ok(),
                            _ => None,
                        };
                        match early {
                            Some(got) => got.unwrap(),
                            None => from_a.recv_into(&mut buffer).await.unwrap(),
                        };
                        assert_eq!(buffer, i.to_le_bytes());
                        if i % 16 == 0 {
                            to_a.send(b"go on").await.unwrap();
                        }
                    }
                    drop((to_a, from_a));
                    sending.await.unwrap();
                };
                watched(&what, move || if alone { run_alone(test) } else { run(test) });
            }
        }
    }
}

#[test]
fn many_connect_at_once() {
    each("crowd", |url| {
        run(async {
            let owner = std::sync::Arc::new(anyipc::create(url).unwrap());
            let acceptors: Vec<_> = (0..4)
                .map(|_| {
                    let owner = owner.clone();
                    tokio::spawn(async move {
                        for _ in 0..10 {
                            let mut channel = owner.accept_async().await.unwrap();
                            let message = channel.recv().await.unwrap();
                            channel.send(&message).await.unwrap();
                            assert_eq!(channel.recv().await.unwrap_err().kind(), ErrorKind::Closed);
                        }
                    })
                })
                .collect();
            let clients: Vec<_> = (0..40u8)
                .map(|i| {
                    let url = url.to_owned();
                    tokio::spawn(async move {
                        let mut channel = anyipc::connect_async(&url).await.unwrap();
                        channel.send(&[i]).await.unwrap();
                        assert_eq!(channel.recv().await.unwrap(), [i]);
                    })
                })
                .collect();
            for task in clients.into_iter().chain(acceptors) {
                task.await.unwrap();
            }
        });
    });
}

#[test]
fn connecting_waits_and_gives_up() {
    each("late", |url| {
        run(async {
            let started = Instant::now();
            let error = anyipc::connect_async(format!("{url}?timeout=100ms")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoOwner);
            assert!(started.elapsed() < Duration::from_secs(1));
            let late = url.to_owned();
            let client = tokio::spawn(async move { anyipc::connect_async(&late).await.map(drop) });
            tokio::task::yield_now().await;
            let owner = anyipc::create(url).unwrap();
            owner.accept_async().await.unwrap();
            client.await.unwrap().unwrap();
            let opener = anyipc::open(url).unwrap();
            assert_eq!(opener.accept_async().await.unwrap_err().kind(), ErrorKind::WrongRole);
            let silent = anyipc::open(format!("{url}?timeout=50ms")).unwrap();
            assert_eq!(silent.connect_async().await.unwrap_err().kind(), ErrorKind::TimedOut);
        });
    });
}

#[test]
fn futures_can_move_between_threads() {
    fn send<T: Send>(_: T) {}
    #[allow(unused, reason = "only its type is checked")]
    async fn all(owner: &anyipc::Endpoint, channel: &mut anyipc::AsyncChannel) -> Result<()> {
        send(owner.accept_async());
        send(owner.connect_async());
        send(anyipc::connect_async("inproc://x"));
        send(channel.send(b""));
        send(channel.recv());
        send(channel.recv_with(|_| ()));
        send(channel.flush());
        Ok(())
    }
}
