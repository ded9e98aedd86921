//! No async call blocks its thread when the other side does nothing.
#![cfg(all(target_os = "linux", feature = "in-process", feature = "socket", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::net::{TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{AsyncChannel, ErrorKind};
use rustix::time::{ClockId, clock_gettime};
use support::channels::alone;
use support::schemes::{each, url};
use support::watchdog::watched;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

/// Far more than the millisecond that is meant: the machine may do something else at the same time.
const MOST: Duration = Duration::from_millis(20);
/// How often it may do so before that counts.
const TRIES: usize = 5;
const SHORT: Duration = Duration::from_millis(50);

/// What a call did to its thread.
struct Longest {
    /// The longest time for which it held it, and another task had no turn.
    held: Duration,
    /// The most processor time of one poll: how long it holds its thread on an idle machine.
    worked: Duration,
}

async fn longest(call: impl Future<Output = ()>) -> Longest {
    let gap = Rc::new(Cell::new(Duration::ZERO));
    let longest = Rc::clone(&gap);
    let beside = spawn_local(async move {
        let mut last = Instant::now();
        loop {
            sleep(Duration::from_millis(2)).await;
            longest.set(longest.get().max(last.elapsed()));
            last = Instant::now();
        }
    });
    let (mut poll, mut worked) = (Duration::ZERO, Duration::ZERO);
    let mut call = pin!(call);
    poll_fn(|cx| {
        let (begun, work) = (Instant::now(), processor_time());
        let done = call.as_mut().poll(cx);
        poll = poll.max(begun.elapsed());
        worked = worked.max(processor_time() - work);
        done
    })
    .await;
    sleep(Duration::from_millis(5)).await;
    beside.abort();
    Longest { held: poll.max(gap.get()), worked }
}

/// Of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

fn run(call: impl Future<Output = ()>) -> Longest {
    alone().block_on(LocalSet::new().run_until(longest(call)))
}

/// Fails if the call holds its thread each time that it is tried.
fn never_blocks<F: Future<Output = ()>>(what: &str, call: impl Fn() -> F) {
    let mut times = Vec::new();
    for _ in 0..TRIES {
        let took = run(call()).held;
        if took < MOST {
            return;
        }
        times.push(took);
    }
    panic!("{what} held its thread for {times:?}");
}

/// Both ends of a channel, the second one of a peer that does nothing.
async fn pair(url: &str) -> (AsyncChannel, AsyncChannel) {
    support::channels::async_pair(url).await
}

#[test]
fn connecting_where_nobody_is() {
    each("nobody", |url| {
        never_blocks(url, || async move {
            let begun = Instant::now();
            let error = anyipc::connect_async(format!("{url}?timeout=50ms")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoOwner, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(1));
        });
    });
}

#[test]
fn connecting_to_an_owner_that_does_not_accept() {
    each("deaf", |url| {
        let _owner = anyipc::create(url).unwrap();
        never_blocks(url, || async move {
            let begun = Instant::now();
            let error = anyipc::connect_async(format!("{url}?timeout=50ms")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(1));
            let opener = anyipc::open(format!("{url}?timeout=50ms")).unwrap();
            assert_eq!(opener.connect_async().await.unwrap_err().kind(), ErrorKind::TimedOut);
        });
    });
}

/// A port with a full queue of connections: it answers nothing.
fn full_port() -> (TcpListener, Vec<TcpStream>, String) {
    let listener = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    rustix::net::bind(&listener, &any).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        waiting.push(stream);
    }
    (listener, waiting, address.to_string())
}

#[test]
fn connecting_to_a_port_that_answers_nothing() {
    watched("a full port", || {
        let (_listener, _waiting, address) = full_port();
        let address = &address;
        never_blocks("connect_async", || async move {
            let begun = Instant::now();
            let error =
                anyipc::connect_async(format!("tcp://{address}?timeout=50ms")).await.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::NoOwner), "{error}");
            assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        });
        let mut times = Vec::new();
        let in_time = (0..TRIES).any(|_| {
            let begun = Instant::now();
            assert!(anyipc::connect(format!("tcp://{address}?timeout=50ms")).is_err());
            times.push(begun.elapsed());
            begun.elapsed() < Duration::from_millis(100)
        });
        assert!(in_time, "the blocking call took {times:?}");
        assert!(times.iter().all(|took| *took >= SHORT), "{times:?}");
    });
}

#[test]
fn connecting_to_a_host_that_must_be_looked_up() {
    watched("a look-up", || {
        never_blocks("connect_async", || async {
            let url = "tcp://no-such-host.invalid:1?timeout=200ms&allow_remote=true";
            let begun = Instant::now();
            assert!(anyipc::connect_async(url).await.is_err());
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        });
    });
}

#[test]
fn accepting_where_nobody_comes() {
    each("alone", |url| {
        let owner = anyipc::create(url).unwrap();
        let owner = &owner;
        never_blocks(url, || async move {
            assert!(timeout(SHORT, owner.accept_async()).await.is_err());
        });
    });
}

/// The owner reserves twice the capacity for a channel.
#[cfg(all(feature = "shared-memory", feature = "message-queue"))]
#[test]
fn accepting_into_much_memory() {
    for scheme in ["shm", "mq"] {
        let address = format!("{}?capacity=64MiB", url(scheme, "large"));
        watched(&address.clone(), move || {
            let owner = anyipc::create(&address).unwrap();
            let kept = Cell::new(None);
            let took = run(async {
                let ends = tokio::join!(owner.accept_async(), anyipc::connect_async(&address));
                // To free it takes its time, too.
                kept.set(Some((ends.0.unwrap(), ends.1.unwrap())));
            });
            assert!(took.worked < MOST, "{address}: a poll worked for {:?}", took.worked);
            let (mut accepted, mut opener) = kept.take().unwrap();
            alone().block_on(async {
                opener.send(b"hello").await.unwrap();
                assert_eq!(accepted.recv().await.unwrap(), b"hello");
            });
        });
    }
}

#[test]
fn accepting_one_that_says_nothing() {
    let address = url("tcp", "silent");
    watched(&address.clone(), move || {
        let owner = anyipc::create(&address).unwrap();
        let port = address.strip_prefix("tcp://").unwrap();
        let _silent: Vec<_> = (0..20).map(|_| TcpStream::connect(port).unwrap()).collect();
        let owner = &owner;
        never_blocks("accept_async", || async move {
            assert!(timeout(SHORT, owner.accept_async()).await.is_err());
        });
    });
}

#[test]
fn receiving_from_one_that_sends_nothing() {
    each("mute", |url| {
        never_blocks(url, || async move {
            let (mut ours, _theirs) = pair(url).await;
            assert!(timeout(SHORT, ours.recv()).await.is_err());
            assert!(timeout(SHORT, ours.recv_with(|_| ())).await.is_err());
        });
    });
}

#[test]
fn sending_to_one_that_receives_nothing() {
    each("full", |url| {
        never_blocks(url, || async move {
            // Time for a busy machine to connect, and for `close` to wait.
            let (mut ours, _theirs) = pair(&format!("{url}?timeout=500ms")).await;
            let message = vec![1; 60_000];
            while timeout(SHORT, ours.send(&message)).await.is_ok() {}
            assert!(
                timeout(SHORT, ours.send_with(100_000, |frame| Some(frame.len()))).await.is_err()
            );
            assert!(timeout(SHORT, ours.send_many([&message; 100])).await.is_err());
            let _ = timeout(SHORT, ours.flush()).await;
            let closed =
                timeout(Duration::from_secs(20), ours.close()).await.expect("close is bounded");
            if let Err(error) = closed {
                assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            }
        });
    });
}

#[test]
fn long_messages() {
    each("long", |url| {
        never_blocks(url, || async move {
            let (mut ours, theirs) = pair(url).await;
            let message = vec![1; 8 << 20];
            let mut theirs = theirs.into_sync();
            let peer = thread::spawn(move || {
                let message = theirs.recv().unwrap();
                theirs.send(&message).unwrap();
                theirs.recv().unwrap_err().kind()
            });
            ours.send(&message).await.unwrap();
            assert_eq!(ours.recv().await.unwrap().len(), message.len());
            drop(ours);
            assert_eq!(peer.join().unwrap(), ErrorKind::Closed);
        });
    });
}

#[test]
fn batches_from_a_slow_iterator() {
    each("slow", |url| {
        never_blocks(url, || async move {
            let (mut ours, mut theirs) = pair(&format!("{url}?capacity=64KiB")).await;
            let slow = (0..40).map(|_| {
                thread::sleep(Duration::from_millis(2));
                b"x"
            });
            assert_eq!(ours.send_many(slow).await.unwrap(), 40);
            for _ in 0..40 {
                assert_eq!(theirs.recv().await.unwrap(), b"x");
            }
        });
    });
}

#[cfg(feature = "message-queue")]
#[test]
fn queues() {
    let address = format!("{}?capacity=4KiB", url("mq", "queue"));
    watched(&address.clone(), move || {
        let owner = anyipc::create(&address).unwrap();
        let owner = &owner;
        never_blocks("a queue's calls", || async move {
            let mut queue = owner.queue().unwrap().into_async().unwrap();
            assert!(timeout(SHORT, queue.recv()).await.is_err());
            while timeout(SHORT, queue.send(0, &[1; 100])).await.is_ok() {}
            queue.status().unwrap();
            while queue.try_recv().is_ok() {}
        });
    });
}
