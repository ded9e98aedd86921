//! Clients and servers in processes that are killed: what is answered, what fails, what is
//! repeated.
#![cfg(all(feature = "postcard", feature = "tokio"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use anyipc::request::{ClientEvent, Outgoing, Resend, ServerEvent};
use anyipc::{ErrorKind, Failure, Peer};
use support::process::{Process, Role, hear, say, serve as play, spawn_here};
use support::requests::{Ask, Asker, Raw, Running, Told, service};
use support::schemes::{between_processes, url};
use support::settings::setting;
use support::watchdog::watched;
use tokio::runtime::Builder;

const LONG: Duration = Duration::from_secs(30);

fn add(number: u64) -> Ask {
    Ask::Add(number, Vec::new(), 0)
}

const ROLES: &[(&str, Role)] =
    &[("server", server), ("tasks", tasks), ("stuck", stuck), ("endless", endless)];

#[test]
fn child() {
    play(ROLES);
}

/// Serves on two threads until it is killed.
fn server(words: &[&str]) {
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let service = service();
    owner.serve(|_: &Peer, ask| service.answer(ask)).concurrency(2).run().unwrap();
}

/// Serves as tasks until it is killed.
fn tasks(words: &[&str]) {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let owner = anyipc::create(words[0]).unwrap();
        say("ready");
        let service = service();
        let answer = move |_: &Peer, ask: Ask| async move {
            match ask {
                Ask::Wait(_) => std::future::pending().await,
                ask => service.answer(ask),
            }
        };
        owner.serve_async(answer).concurrency(8).run().await.unwrap();
    });
}

/// A client with a call that waits for ever.
fn stuck(words: &[&str]) {
    let client = Asker::connect(words[0]).unwrap();
    let call = client.start(&Ask::Wait(1)).unwrap();
    say("called");
    hear();
    drop(call);
}

/// A client that takes a stream without end.
fn endless(words: &[&str]) {
    let client = Asker::connect(words[0]).unwrap();
    let mut items = client.stream(&add(u64::MAX)).unwrap();
    items.next().unwrap().unwrap();
    say("streams");
    items.for_each(drop);
}

/// Each transport between processes, with an address.
fn each(tag: &str, test: impl Fn(&str) + Send + Copy + 'static) {
    for scheme in between_processes() {
        let url = url(scheme, tag);
        watched(&url.clone(), move || test(&url));
    }
}

fn start(role: &str, url: &str) -> Process {
    let mut server = spawn_here(&format!("{role} {url}"));
    server.expect("ready");
    server
}

/// Without `Resend`, a killed server fails the calls that were sent, and no other.
#[test]
fn a_killed_server_fails_what_was_sent_and_the_next_call_finds_the_next_server() {
    each("killed", |url| {
        let mut server = start("server", url);
        let client = Asker::connect(format!("{url}?timeout=20s")).unwrap();
        assert_eq!(client.call(&add(1)).unwrap().0, 2);
        let stuck: Vec<_> = (0..3).map(|_| client.start(&Ask::Wait(1)).unwrap()).collect();
        server.kill();
        for call in stuck {
            let error = call.wait().unwrap_err();
            // What a killed process leaves may read as an orderly end over sockets.
            let gone = matches!(error.kind(), ErrorKind::PeerGone | ErrorKind::Closed);
            assert!(gone && error.to_string().contains("no answer came"), "{error}");
        }
        server.wait();
        let server = start("tasks", url);
        assert_eq!(client.call(&add(2)).unwrap().0, 3);
        assert_eq!(client.in_flight(), 0);
        server.kill_with(url);
    });
}

/// Servers are killed while threads and tasks call: each call has its own answer in the end.
#[test]
fn with_at_least_once_every_call_is_answered_over_kills() {
    each("resend", |url| {
        let kills = setting("ANYIPC_REQUEST_KILLS", 3);
        let lost: &AtomicU64 = Box::leak(Box::default());
        let client = Asker::builder(format!("{url}?timeout=30s"))
            .resend(Resend::AtLeastOnce)
            .on_event(|event| match event {
                ClientEvent::Resent(count) => assert!(count > 0),
                ClientEvent::Lost(_) => drop(lost.fetch_add(1, SeqCst)),
                _ => {}
            })
            .lazy()
            .unwrap();
        let done = AtomicBool::new(false);
        let answered = AtomicU64::new(0);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        thread::scope(|scope| {
            for caller in 0..3u64 {
                let (client, done, answered) = (client.clone(), &done, &answered);
                scope.spawn(move || {
                    for call in 0.. {
                        let ask = Ask::Add(caller << 32 | call, vec![2; 300], 40);
                        let told = client.call(&ask).unwrap();
                        assert_eq!(told.0, (caller << 32 | call) + 301);
                        answered.fetch_add(1, SeqCst);
                        if done.load(SeqCst) {
                            break;
                        }
                    }
                });
            }
            let task = client.clone();
            let tasks = runtime.spawn(async move {
                for call in 0..200u64 {
                    assert_eq!(task.call_async(&add(call)).await.unwrap().0, call + 1);
                }
            });
            for kill in 0..kills {
                let mut server = start(if kill % 2 == 0 { "server" } else { "tasks" }, url);
                let before = answered.load(SeqCst);
                while answered.load(SeqCst) < before + 50 {
                    thread::yield_now();
                }
                server.kill();
                server.wait();
            }
            let last = start("server", url);
            runtime.block_on(tasks).unwrap();
            done.store(true, SeqCst);
            while answered.load(SeqCst) == 0 || client.in_flight() > 0 {
                thread::yield_now();
            }
            last.kill_with(url);
        });
        assert!(lost.load(SeqCst) >= kills, "{lost:?}");
        drop(runtime);
    });
}

/// The calls of a killed client end, and those of the others go on.
#[test]
fn a_killed_client_is_noticed_and_harms_no_other() {
    each("client", |url| {
        let (told, events) = channel();
        let (cancelled, streams) = channel();
        let server = anyipc::create(url)
            .unwrap()
            .serve_stream(move |_: &Peer, _: Ask, out: &mut Outgoing<Told>| {
                for number in 0.. {
                    if let Err(error) = out.send(&Told(number, vec![0; 100])) {
                        let _ = cancelled.send(error.kind());
                        return Err(Failure::from(error));
                    }
                    if number == 3 && out.time_left().is_some() {
                        break;
                    }
                }
                Ok(())
            })
            .concurrency(2)
            .on_event(move |event| {
                if let ServerEvent::Left(_, error) = event {
                    let _ = told.send(error.kind());
                }
            });
        let server = Running::new(server);
        let mut victim = spawn_here(&format!("endless {url}"));
        victim.expect("streams");
        victim.kill();
        let left = events.recv_timeout(LONG).unwrap();
        assert!(matches!(left, ErrorKind::PeerGone | ErrorKind::Closed), "{left:?}");
        assert_eq!(streams.recv_timeout(LONG).unwrap(), ErrorKind::Closed);
        let client = Asker::connect(url).unwrap();
        let items = client.stream_timeout(&add(1), LONG).unwrap();
        assert_eq!(items.map(Result::unwrap).count(), 4);
        drop(server);
        victim.wait();
    });
}

/// A stopped server holds up only calls without a limit, and loses none.
#[cfg(target_os = "linux")]
#[test]
fn a_stopped_server_loses_nothing() {
    use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
    each("stopped", |url| {
        let server = start("server", url);
        let pid = Pid::from_raw(server.pid() as i32).unwrap();
        let client = Asker::connect(url).unwrap();
        client.call(&add(1)).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        // The signal stops it some time later.
        waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        let late = client.call_timeout(&add(2), Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let other = client.clone();
        let waiting = thread::spawn(move || other.call(&add(3)));
        kill_process(pid, Signal::CONT).unwrap();
        assert_eq!(waiting.join().unwrap().unwrap().0, 4);
        assert_eq!(client.call(&add(4)).unwrap().0, 5);
        assert_eq!(client.in_flight(), 0);
        server.kill_with(url);
    });
}

/// A client that is killed in the middle of its calls leaves nothing behind at the server.
#[test]
fn a_server_of_tasks_drops_the_calls_of_killed_clients() {
    each("dropped", |url| {
        let server = start("tasks", url);
        let watcher = Asker::connect(url).unwrap();
        for _ in 0..3 {
            let mut victim = spawn_here(&format!("stuck {url}"));
            victim.expect("called");
            victim.kill();
            victim.wait();
            watcher.call_timeout(&Ask::Begun, LONG).unwrap();
        }
        // Garbage from a process that then dies is no different.
        let mut bad: anyipc::TypedChannel<Raw, support::requests::RawTold> =
            anyipc::open(url).unwrap().connect_typed().unwrap();
        let _ = bad.send(&Raw(vec![9; 40]));
        drop(bad);
        watcher.call_timeout(&Ask::Begun, LONG).unwrap();
        server.kill_with(url);
    });
}
