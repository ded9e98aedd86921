//! Being first: one process owns the name, and all others reach it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::process;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use anyipc::{Capabilities, Channel, Endpoint, ErrorKind, Instance, Role};
use support::place::Scratch;
use support::process::{end_with_parent, say, serve, spawn};
use support::schemes::{between_processes, can, each, url};
use support::watchdog::{watchdog, watched};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(20);

fn owner<C>(instance: Instance<C>) -> Endpoint {
    match instance {
        Instance::First(owner) => owner,
        Instance::Later(_) => panic!("there is an owner"),
    }
}

fn later<C>(instance: Instance<C>) -> C {
    match instance {
        Instance::First(_) => panic!("there is no owner"),
        Instance::Later(channel) => channel,
    }
}

fn hint(url: &str, more: &str) -> String {
    format!("{url}?{more}")
}

#[test]
fn the_first_one_owns_and_all_others_reach_it() {
    each("first", |url| {
        let first = owner(anyipc::first(url).unwrap());
        assert_eq!(first.role(), Role::Owner);
        assert_eq!(first.address().to_string(), url);
        for round in 0..3u8 {
            thread::scope(|scope| {
                let peer = scope.spawn(|| {
                    let mut channel = later(anyipc::first(url).unwrap());
                    channel.send(&[round]).unwrap();
                    channel.recv().unwrap()
                });
                let mut channel = first.accept_timeout(LONG).unwrap();
                assert_eq!(channel.recv().unwrap(), [round]);
                channel.send(&[round + 1]).unwrap();
                assert_eq!(peer.join().unwrap(), [round + 1]);
            });
        }
        first.close().unwrap();
        // The name is free again.
        owner(anyipc::first(url).unwrap()).close().unwrap();
    });
}

/// Owners come and go all the time: a call finds one that has just left, again and again.
#[test]
fn many_at_once_have_one_owner_and_no_error() {
    const CALLS: usize = 60;
    const RACERS: usize = 6;
    each("many", |url| {
        let owners = AtomicUsize::new(0);
        let calls = AtomicUsize::new(0);
        thread::scope(|scope| {
            for racer in 0..RACERS {
                let (owners, calls) = (&owners, &calls);
                scope.spawn(move || {
                    while calls.fetch_add(1, SeqCst) < CALLS {
                        match anyipc::first(hint(url, "timeout=20s")) {
                            Ok(Instance::First(owner)) => {
                                assert_eq!(owners.fetch_add(1, SeqCst), 0, "two are first");
                                // Serves some, and leaves while others knock.
                                for _ in 0..racer {
                                    let _ = owner.accept_timeout(Duration::from_millis(5));
                                }
                                owners.fetch_sub(1, SeqCst);
                            }
                            Ok(Instance::Later(channel)) => drop(channel),
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
    });
}

#[test]
fn an_owner_that_does_not_accept_is_named_in_time() {
    each("deaf", |url| {
        let first = owner(anyipc::first(url).unwrap());
        let error = anyipc::first(hint(url, "timeout=100ms")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        let text = error.to_string();
        let pid = format!("process {},", process::id());
        assert!(text.contains("does not accept"), "{text}");
        assert_eq!(text.contains(&pid), can(url, Capabilities::INVENTORY), "{text}");
        drop(first);
    });
}

#[test]
fn a_bad_address_is_no_reason_to_wait() {
    let kind = |address: &str| anyipc::first(address).unwrap_err().kind();
    assert_eq!(kind("nonsense"), ErrorKind::InvalidAddress);
    assert_eq!(kind("nonsense://x"), ErrorKind::InvalidAddress);
    assert_eq!(kind("inproc://x?wait=hard"), ErrorKind::InvalidOption);
}

#[cfg(feature = "postcard")]
#[test]
fn a_typed_one_reaches_only_an_owner_of_its_types() {
    each("typed", |url| {
        let first = owner(anyipc::first_typed::<u32, String>(url).unwrap());
        thread::scope(|scope| {
            let peer = scope.spawn(|| {
                let other = anyipc::first_typed::<u64, String>(url).unwrap_err();
                assert_eq!(other.kind(), ErrorKind::Mismatch, "{other}");
                let mut channel = later(anyipc::first_typed::<u32, String>(url).unwrap());
                channel.send(&7).unwrap();
                channel.recv().unwrap()
            });
            let mut channel = first.accept_typed_timeout::<str, u32>(LONG).unwrap();
            assert_eq!(channel.recv().unwrap(), 7);
            channel.send("seven").unwrap();
            assert_eq!(peer.join().unwrap(), "seven");
        });
    });
}

#[cfg(all(feature = "postcard", feature = "tokio"))]
#[test]
fn tasks_are_first_or_later_as_threads_are() {
    each("tasks", |url| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let first = owner(anyipc::first_async(url).await.unwrap());
            let served = async {
                let mut channel = first.accept_async().await.unwrap();
                let message = channel.recv().await.unwrap();
                channel.send(&message).await.unwrap();
                first.accept_typed_async::<(), u32>().await.unwrap().recv().await.unwrap()
            };
            let (number, ()) = tokio::join!(served, async {
                let mut channel = later(anyipc::first_async(url).await.unwrap());
                channel.send(b"hello").await.unwrap();
                assert_eq!(channel.recv().await.unwrap(), b"hello");
                let mut typed = later(anyipc::first_typed_async::<u32, ()>(url).await.unwrap());
                typed.send(&7).await.unwrap();
                typed.close().await.unwrap();
            });
            assert_eq!(number, 7);
            let error = anyipc::first_async(hint(url, "timeout=50ms")).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
            // A dropped future keeps nothing.
            drop(first);
            for _ in 0..5 {
                let call = anyipc::first_async(url);
                let _ = tokio::time::timeout(Duration::from_micros(50), call).await;
            }
            owner(anyipc::first_async(hint(url, "timeout=20s")).await.unwrap());
        });
    });
}

#[cfg(feature = "shared-memory")]
#[test]
fn a_block_that_outlived_its_owner_is_taken_over() {
    watched("a block", || {
        let url = url("shm", "block") + "?size=64";
        let first = owner(anyipc::first(&url).unwrap());
        first.block().unwrap().write_at(0, b"index").unwrap();
        let holder = anyipc::open(&url).unwrap();
        drop(first);
        let next = owner(anyipc::first(&url).unwrap());
        let mut bytes = [0; 5];
        next.block().unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"index");
        drop(holder);
    });
}

#[test]
fn a_killed_first_is_followed_by_the_next() {
    for scheme in between_processes() {
        let _watch = watchdog("a killed first", LONG * 3);
        let place = Scratch::new("killed");
        let url = url(scheme, "killed");
        for _ in 0..3 {
            let mut first = spawn(place.path(), &format!("racer {url}"));
            first.expect("first");
            let mut second = spawn(place.path(), &format!("racer {url}"));
            second.expect("later");
            first.kill();
            first.wait();
            let mut third = spawn(place.path(), &format!("racer {url}"));
            third.expect("first");
            third.kill();
            third.wait();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_stopped_first_is_named_in_time() {
    for scheme in between_processes() {
        let _watch = watchdog("a stopped first", LONG * 3);
        let place = Scratch::new("stopped");
        let url = url(scheme, "stopped");
        let mut first = spawn(place.path(), &format!("racer {url}"));
        first.expect("first");
        first.stop();
        let mut second = spawn(place.path(), &format!("racer {url}?timeout=300ms"));
        let said = second.hear();
        assert!(said.contains("timed_out") && said.contains("stopped"), "{said}");
        let named = said.contains(&format!("process {},", first.pid()));
        assert_eq!(named, can(&url, Capabilities::INVENTORY), "{said}");
        first.resume();
        let mut third = spawn(place.path(), &format!("racer {url}"));
        third.expect("later");
    }
}

/// Is first, and accepts; or says what it is instead.
fn racer(arguments: &[&str]) {
    end_with_parent();
    match anyipc::first(arguments[0]) {
        Ok(Instance::First(owner)) => {
            say("first");
            let mut channels: Vec<Channel> = Vec::new();
            loop {
                channels.extend(owner.accept());
            }
        }
        Ok(Instance::Later(_channel)) => {
            say("later");
            support::process::linger();
        }
        Err(error) => say(&format!("{} {error}", error.kind().as_str())),
    }
}

#[test]
fn child() {
    serve(&[("racer", racer)]);
}
