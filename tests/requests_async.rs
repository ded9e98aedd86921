//! Requests of tasks over every transport, in runtimes with one thread and with two.
#![cfg(all(feature = "in-process", feature = "postcard", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use anyipc::request::{AsyncOutgoing, AsyncServer, Cause, Stopper};
use anyipc::{ErrorKind, Failure, Peer, Service, async_trait};
use support::channels::{alone, kind};
use support::requests::{Ask, Asker, Told, service, start};
use support::schemes::{another, each};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(20);

fn add(number: u64) -> Ask {
    Ask::Add(number, Vec::new(), 0)
}

/// Each transport in both runtimes.
fn runs<F, T>(tag: &str, test: F)
where
    F: Fn(String) -> T + Send + Copy + 'static,
    T: Future<Output = ()>,
{
    each(tag, move |url| {
        let two = || Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let runtimes: [fn() -> Runtime; 2] = [alone, two];
        for runtime in runtimes {
            runtime().block_on(async { timeout(3 * LONG, test(another(url))).await.unwrap() });
        }
    });
}

/// Counts what happens to its calls.
#[derive(Default)]
struct Counting {
    begun: AtomicU64,
    dropped: AtomicU64,
    running: AtomicU64,
    most: AtomicU64,
    release: Notify,
}

struct Running<'a>(&'a Counting, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, SeqCst);
        self.0.dropped.fetch_add(u64::from(!self.1), SeqCst);
    }
}

#[async_trait]
impl Service<Ask, Told> for Arc<Counting> {
    async fn call(&self, peer: &Peer, ask: Ask) -> Result<Told, Failure> {
        assert!(peer.hello.sends.is_some());
        self.begun.fetch_add(1, SeqCst);
        self.most.fetch_max(self.running.fetch_add(1, SeqCst) + 1, SeqCst);
        let mut running = Running(self, false);
        let answer = match ask {
            Ask::Add(number, bytes, len) => {
                tokio::task::yield_now().await;
                Ok(Told(number + 1 + bytes.len() as u64, vec![number as u8; len]))
            }
            Ask::Fail(code) => Err(Failure::new(code, "as asked")),
            Ask::Panic => panic!("as asked"),
            Ask::Wait(number) => {
                self.release.notified().await;
                Ok(Told(number, Vec::new()))
            }
            Ask::Begun => Ok(Told(self.begun.load(SeqCst), Vec::new())),
        };
        running.1 = true;
        answer
    }
}

/// Runs a server in a task.
struct Served {
    stopper: Stopper,
    task: JoinHandle<anyipc::Result<()>>,
}

impl Served {
    fn new(server: AsyncServer<Ask>) -> Self {
        Self { stopper: server.stopper(), task: tokio::spawn(server.run()) }
    }

    async fn stop(self) {
        self.stopper.stop();
        timeout(LONG, self.task).await.unwrap().unwrap().unwrap();
    }
}

fn serve(url: &str) -> (Arc<Counting>, Served) {
    let counting = Arc::new(Counting::default());
    let server = anyipc::create(url).unwrap().serve_async(Arc::clone(&counting));
    (counting, Served::new(server))
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let holding = async {
        while !holds() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timeout(LONG, holding).await.is_ok(), "still not so: {what}");
}

#[test]
fn many_tasks_call_at_once_and_each_gets_its_own_answer() {
    runs("tasks", async |url| {
        let (counting, server) = serve(&url);
        let client = Asker::builder(&url).lazy().unwrap();
        let calls: Vec<_> = (0..500)
            .map(|number| {
                let call = client.call_async(&Ask::Add(number, vec![1; number as usize], 100));
                tokio::spawn(call)
            })
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            let told = call.await.unwrap().unwrap();
            assert_eq!(told, Told(2 * number as u64 + 1, vec![number as u8; 100]));
        }
        assert_eq!(counting.begun.load(SeqCst), 500);
        assert_eq!(client.in_flight(), 0);
        server.stop().await;
    });
}

#[test]
fn large_calls_in_small_channels_never_meet_in_a_deadlock() {
    runs("full", async |url| {
        let url = format!("{url}?capacity=4KiB");
        let (_counting, server) = serve(&url);
        let client = Asker::builder(&url).lazy().unwrap();
        let calls: Vec<_> = (0..200)
            .map(|number| tokio::spawn(client.call_async(&Ask::Add(number, vec![1; 3000], 3000))))
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            let told = call.await.unwrap().unwrap();
            assert_eq!(told, Told(number as u64 + 3001, vec![number as u8; 3000]));
        }
        server.stop().await;
    });
}

#[test]
fn failures_panics_and_slow_calls_concern_one_call_only() {
    runs("failures", async |url| {
        let (counting, server) = serve(&url);
        let client = Asker::builder(&url).lazy().unwrap();
        let slow = tokio::spawn(client.call_async(&Ask::Wait(5)));
        let error = client.call_async(&Ask::Fail(-7)).await.unwrap_err();
        assert_eq!(Failure::of(&error), Some(&Failure::new(-7, "as asked")));
        let error = client.call_async(&Ask::Panic).await.unwrap_err();
        assert_eq!(Failure::of(&error).unwrap().cause(), Cause::Panicked);
        assert!(error.to_string().contains("as asked"), "{error}");
        assert_eq!(client.call_async(&add(2)).await.unwrap().0, 3);
        eventually("the slow call has begun", || counting.begun.load(SeqCst) == 4).await;
        counting.release.notify_one();
        assert_eq!(slow.await.unwrap().unwrap().0, 5);
        server.stop().await;
    });
}

#[test]
fn a_call_that_is_dropped_or_late_drops_its_handler() {
    runs("cancel", async |url| {
        let (counting, server) = serve(&url);
        let client = Asker::builder(&url).lazy().unwrap();
        assert_eq!(client.call_async(&add(1)).await.unwrap().0, 2);
        // On a busy machine the time may be over before the server has begun.
        let mut time = Duration::from_millis(20);
        while counting.begun.load(SeqCst) < 2 {
            let late = client.call_timeout_async(&Ask::Wait(1), time).await;
            assert_eq!(kind(late), ErrorKind::TimedOut);
            time *= 2;
        }
        let ended = || counting.dropped.load(SeqCst) + 1 == counting.begun.load(SeqCst);
        eventually("the late call is dropped", ended).await;
        let before = counting.begun.load(SeqCst);
        let mut dropped = Box::pin(client.call_async(&Ask::Wait(2)));
        while counting.begun.load(SeqCst) == before {
            assert!(timeout(Duration::from_millis(1), &mut dropped).await.is_err());
        }
        assert!(!ended());
        drop(dropped);
        eventually("the dropped call is dropped", ended).await;
        eventually("no id leaks", || client.in_flight() == 0).await;
        // The end of a client drops its handlers, too.
        let before = counting.begun.load(SeqCst);
        let waiting = tokio::spawn(client.call_async(&Ask::Wait(3)));
        eventually("it has begun", || counting.begun.load(SeqCst) > before).await;
        waiting.abort();
        drop((waiting.await, client));
        eventually("the call of a client that left is dropped", ended).await;
        server.stop().await;
    });
}

#[test]
fn no_more_handlers_run_than_the_server_allows() {
    runs("limit", async |url| {
        let counting = Arc::new(Counting::default());
        let server = anyipc::create(&url).unwrap().serve_async(Arc::clone(&counting));
        let server = Served::new(server.concurrency(3));
        let clients: Vec<_> = (0..3).map(|_| Asker::builder(&url).lazy().unwrap()).collect();
        let calls: Vec<_> = (0..300)
            .map(|number| tokio::spawn(clients[number % 3].call_async(&add(number as u64))))
            .collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().unwrap().0, number as u64 + 1);
        }
        assert_eq!(counting.most.load(SeqCst), 3);
        server.stop().await;
    });
}

#[test]
fn closures_and_boxed_services_answer_and_a_stopped_server_finishes() {
    runs("closures", async |url| {
        let release = Arc::new(Notify::new());
        let begun = Arc::new(AtomicU64::new(0));
        let (waiting, counting) = (Arc::clone(&release), Arc::clone(&begun));
        let closure = move |_: &Peer, ask: Ask| {
            counting.fetch_add(1, SeqCst);
            let waiting = Arc::clone(&waiting);
            async move {
                if let Ask::Wait(_) = ask {
                    waiting.notified().await;
                }
                Ok(Told(7, Vec::new()))
            }
        };
        let boxed: Box<dyn Service<Ask, Told>> = Box::new(closure);
        let server = Served::new(anyipc::serve_async(&url, boxed));
        let client = Asker::builder(&url).lazy().unwrap();
        assert_eq!(client.call_async(&add(1)).await.unwrap().0, 7);
        let slow = tokio::spawn(client.call_async(&Ask::Wait(1)));
        eventually("it has begun", || begun.load(SeqCst) == 2).await;
        server.stopper.stop();
        let refused = client.call_async(&add(1)).await;
        release.notify_one();
        let slow = slow.await.unwrap();
        assert_eq!(kind(refused), ErrorKind::Busy);
        assert!(slow.is_ok_and(|told| told.0 == 7));
        server.stop().await;
    });
}

#[test]
fn streams_of_tasks_arrive_whole_and_end_with_the_client() {
    runs("streams", async |url| {
        let ended = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&ended);
        struct Ends(Arc<AtomicU64>);
        impl Drop for Ends {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        let handler = move |_: &Peer, ask: Ask, mut out: AsyncOutgoing<Told>| {
            let ends = Ends(Arc::clone(&count));
            async move {
                let _ends = ends;
                let Ask::Add(count, _, len) = ask else {
                    return Err(Failure::new(3, "no count"));
                };
                for number in 0..count {
                    out.send(&Told(number, vec![number as u8; len])).await?;
                }
                Ok(())
            }
        };
        let server = anyipc::create(&url).unwrap().serve_stream_async(handler);
        let server = Served::new(server);
        let client = Asker::builder(&url).lazy().unwrap();
        for (count, len) in [(0, 0), (1, 0), (500, 10), (60, 5000)] {
            let ask = Ask::Add(count, Vec::new(), len);
            let mut items = client.stream_async(&ask).await.unwrap();
            let mut expected = 0;
            while let Some(item) = items.next_async().await {
                assert_eq!(item.unwrap(), Told(expected, vec![expected as u8; len]));
                expected += 1;
            }
            assert_eq!(expected, count);
        }
        let mut failing = client.stream_async(&Ask::Begun).await.unwrap();
        let error = failing.next_async().await.unwrap().unwrap_err();
        assert_eq!(Failure::of(&error).unwrap().code(), 3);
        assert!(failing.next_async().await.is_none());
        assert_eq!(kind(client.call_async(&add(1)).await), ErrorKind::Unsupported);
        let before = ended.load(SeqCst);
        let mut endless = client.stream_async(&add(u64::MAX)).await.unwrap();
        endless.next_async().await.unwrap().unwrap();
        assert_eq!(ended.load(SeqCst), before);
        drop(endless);
        eventually("the handler is dropped", || ended.load(SeqCst) == before + 1).await;
        server.stop().await;
    });
}

#[test]
fn threads_and_tasks_share_a_client() {
    each("mixed", |url| {
        let _server = start(url, service(), 2);
        let client = Asker::connect(url).unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        thread::scope(|scope| {
            for thread in 0..3 {
                let client = client.clone();
                scope.spawn(move || {
                    for call in 0..200 {
                        let number = thread * 1000 + call;
                        assert_eq!(client.call(&add(number)).unwrap().0, number + 1);
                    }
                });
            }
            for task in 3..6 {
                let client = client.clone();
                runtime.spawn(async move {
                    for call in 0..200 {
                        let number = task * 1000 + call;
                        assert_eq!(client.call_async(&add(number)).await.unwrap().0, number + 1);
                    }
                });
            }
        });
        // The end of the runtime, and of the task that led, leaves the threads a client that works.
        drop(runtime);
        assert_eq!(client.call(&add(1)).unwrap().0, 2);
        assert_eq!(alone().block_on(client.call_async(&add(2))).unwrap().0, 3);
        assert_eq!(client.call(&add(3)).unwrap().0, 4);
    });
}

#[test]
fn begun_calls_are_futures_and_a_server_may_come_later_and_again() {
    runs("later", async |url| {
        let client = Asker::builder(format!("{url}?timeout=20s")).lazy().unwrap();
        let early = tokio::spawn(client.call_async(&add(1)));
        sleep(Duration::from_millis(5)).await;
        let (_, server) = serve(&url);
        assert_eq!(early.await.unwrap().unwrap().0, 2);
        server.stop().await;
        let (_, server) = serve(&url);
        // The old owner may be found gone only now.
        while let Err(error) = client.call_async(&add(2)).await {
            assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone), "{error}");
        }
        server.stop().await;
        let absent = Asker::builder(format!("{url}?timeout=500ms")).lazy().unwrap();
        assert_eq!(kind(absent.call_async(&add(1)).await), ErrorKind::NoOwner);
        let (_, server) = serve(&url);
        assert_eq!(absent.call_async(&add(1)).await.unwrap().0, 2);
        let pending = tokio::task::spawn_blocking(move || {
            let pending = client.start(&add(4)).or_else(|_| client.start(&add(4))).unwrap();
            (client, pending)
        });
        let (_client, pending) = pending.await.unwrap();
        assert_eq!(pending.await.unwrap().0, 5);
        server.stop().await;
    });
}

#[cfg(feature = "tower")]
#[test]
fn towers_services_fit_both_sides() {
    use std::future::{Ready, poll_fn, ready};
    use std::task::{Context, Poll};

    use anyipc::request::TowerService;
    use tower_service::Service as _;

    #[derive(Clone)]
    struct Doubling;
    impl tower_service::Service<Ask> for Doubling {
        type Response = Told;
        type Error = String;
        type Future = Ready<Result<Told, String>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), String>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, ask: Ask) -> Self::Future {
            ready(match ask {
                Ask::Add(number, ..) => Ok(Told(2 * number, Vec::new())),
                _ => Err("no number".into()),
            })
        }
    }
    runs("tower", async |url| {
        let server = anyipc::create(&url).unwrap().serve_async(TowerService(Doubling));
        let server = Served::new(server);
        let mut client = Asker::builder(&url).lazy().unwrap();
        poll_fn(|cx| client.poll_ready(cx)).await.unwrap();
        // As tower's layers call it; by its name alone it is the blocking call.
        let mut call = |ask| tower_service::Service::call(&mut client, ask);
        assert_eq!(call(add(21)).await.unwrap().0, 42);
        let error = call(Ask::Begun).await.unwrap_err();
        assert_eq!(Failure::of(&error).unwrap().text(), "no number");
        server.stop().await;
    });
}
