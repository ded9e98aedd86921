//! Session managers and cleaners remove files under living owners: the owner is told.
#![cfg(all(target_os = "linux", feature = "shared-memory", feature = "message-queue"))]
#![cfg(all(feature = "named-pipe", feature = "posix-queue", feature = "socket"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, Endpoint, Error, ErrorKind, Event, Inbox, Select};
use anyipc_shared_memory::Block;
use support::schemes;
use support::watchdog::watched;

/// An owner looks once a second; the rest is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

fn place() -> PathBuf {
    let base = std::env::var_os("ANYIPC_DIR").map_or("/dev/shm".into(), PathBuf::from);
    base.join(format!("anyipc-{}", rustix::process::geteuid().as_raw()))
}

/// Removes the files of a name with this ending, and counts them. File names contain names of up to
/// 24 characters.
fn remove(name: &str, end: &str) -> usize {
    let files = std::fs::read_dir(place()).unwrap().map(|entry| entry.unwrap().path());
    let ours = files.filter(|file| {
        let file = file.file_name().unwrap().to_str().unwrap();
        file.contains(name) && file.ends_with(end)
    });
    ours.map(|file| std::fs::remove_file(file).unwrap()).count()
}

/// Runs a test beside itself for each transport, with a name for it: each takes more than a second.
fn each(tag: &'static str, test: fn(&str, &str)) {
    let schemes = schemes::with(Capabilities::CROSS_PROCESS | Capabilities::INVENTORY).into_iter();
    let tests = schemes.map(|scheme| {
        thread::spawn(move || {
            let name = format!("{tag}.{scheme}.{}", std::process::id());
            let url = format!("{scheme}://{name}");
            watched(&url.clone(), move || test(&url, &name));
        })
    });
    tests.collect::<Vec<_>>().into_iter().for_each(|test| test.join().unwrap());
}

fn is_told(error: &Error, url: &str) {
    assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
    assert_eq!(error.code().map(|code| code.value()), Some(-5), "{error}");
    let text = error.to_string();
    assert!(text.contains(url) && text.contains("ANYIPC_DIR"), "{text}");
}

fn accept_fails(owner: &Endpoint, url: &str) {
    is_told(&owner.accept_timeout(SOON).unwrap_err(), url);
    // Each later call says so, too.
    is_told(&owner.accept_timeout(SOON).unwrap_err(), url);
}

#[test]
fn a_waiting_owner_is_told() {
    each("gone", |url, name| {
        let owner = anyipc::create(url).unwrap();
        assert_eq!(
            owner.accept_timeout(Duration::from_millis(1200)).unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        assert!(remove(name, "") >= 2);
        accept_fails(&owner, url);
        // Another owner takes the name; it stays another's.
        let other = anyipc::create(url).unwrap();
        accept_fails(&owner, url);
        assert_eq!(owner.close().unwrap_err().code().map(|code| code.value()), Some(-5));
        let connecting = thread::spawn({
            let url = url.to_owned();
            move || anyipc::connect(&url).unwrap()
        });
        other.accept_timeout(SOON).unwrap();
        connecting.join().unwrap();
    });
}

#[test]
fn what_leads_to_the_owner_counts_as_its_name() {
    each("listener", |url, name| {
        let owner = anyipc::create(url).unwrap();
        assert_eq!(remove(name, ".sock") + remove(name, ".fifo"), 1);
        accept_fails(&owner, url);
    });
}

#[test]
fn a_select_finds_the_owner_ready_to_tell() {
    each("sel", |url, name| {
        let owner = anyipc::create(url).unwrap();
        let mut acceptor = owner.acceptor().unwrap();
        let mut select = Select::new().unwrap();
        remove(name, "");
        assert_eq!(select.wait_timeout(&mut [&mut acceptor], SOON).unwrap(), 0);
        is_told(&acceptor.try_accept().unwrap_err(), url);
    });
}

#[test]
fn an_inbox_is_told_and_goes_on() {
    each("inbox", |url, name| {
        let mut inbox = Inbox::new(anyipc::create(url).unwrap()).unwrap();
        let connecting = thread::spawn({
            let url = url.to_owned();
            move || anyipc::connect(&url).unwrap()
        });
        let Event::Connected(peer) = inbox.next_event_timeout(SOON).unwrap() else {
            panic!("no connection")
        };
        let mut channel = connecting.join().unwrap();
        remove(name, "");
        is_told(&inbox.recv_timeout(SOON).unwrap_err(), url);
        channel.send(b"still here").unwrap();
        assert_eq!(
            inbox.recv_timeout(Duration::from_millis(500)).unwrap(),
            (peer, b"still here".to_vec())
        );
        inbox.send(peer, b"so am I").unwrap();
        assert_eq!(channel.recv().unwrap(), b"so am I");
        let mut select = Select::new().unwrap();
        assert_eq!(select.wait_timeout(&mut [&mut inbox], SOON).unwrap(), 0);
        is_told(&inbox.try_recv().unwrap_err(), url);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_is_told() {
    each("task", |url, name| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let owner = anyipc::create(url).unwrap();
        remove(name, "");
        is_told(&runtime.block_on(owner.accept_async()).unwrap_err(), url);
    });
}

#[test]
fn a_value_is_not_stored_where_nobody_finds_it() {
    watched("block", || {
        let name = format!("block.{}", std::process::id());
        let url = format!("shm://{name}?size=64");
        let owner = anyipc::create(&url).unwrap();
        let block: &Block = owner.get().unwrap();
        block.store_bytes(b"one").unwrap();
        remove(&name, ".block");
        let start = Instant::now();
        let error = loop {
            match block.store_bytes(b"two") {
                Ok(()) => assert!(start.elapsed() < SOON, "no error was reported"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Removed, "{error}");
        // From now on always.
        assert_eq!(block.store_bytes(b"three").unwrap_err().kind(), ErrorKind::Removed);
        assert_eq!(block.load_bytes().unwrap().unwrap(), b"two");
        // The owner's listener is there, but its block is not.
        assert_eq!(owner.accept_timeout(SOON).unwrap_err().kind(), ErrorKind::Removed);
    });
}

/// Removes the files of a queue, of either transport.
fn queue_of(url: &str, name: &str) -> (Endpoint, anyipc::Queue) {
    let owner = anyipc::create(url).unwrap();
    let queue = owner.queue().unwrap();
    assert!(remove(name, "") >= 2);
    (owner, queue)
}

fn each_queue(tag: &'static str, test: fn(&str, &str)) {
    support::schemes::room_for_kernel_queues();
    for scheme in ["mq", "posix-mq"] {
        let name = format!("{tag}{}.{}", scheme.len(), std::process::id());
        let url = format!("{scheme}://{name}");
        watched(&url.clone(), move || test(&url, &name));
    }
}

#[test]
fn handles_of_a_queue_that_wait_are_told() {
    each_queue("q", |url, name| {
        let (owner, mut queue) = queue_of(url, name);
        let mut other = owner.queue().unwrap();
        // What is there is received first.
        other.send(0, b"there").unwrap();
        assert_eq!(queue.recv_timeout(SOON).unwrap().1, b"there");
        is_told(&queue.recv_timeout(SOON).unwrap_err(), url);
        is_told(&other.recv().unwrap_err(), url);
        while queue.try_send(0, b"until it is full").is_ok() {}
        is_told(&other.send(0, b"never").unwrap_err(), url);
        assert_eq!(other.recv().unwrap().1, b"until it is full");
    });
}

#[test]
fn a_select_finds_a_queue_ready_to_tell() {
    each_queue("qsel", |url, name| {
        let (_owner, mut queue) = queue_of(url, name);
        let mut select = Select::new().unwrap();
        assert_eq!(select.wait_timeout(&mut [&mut queue], SOON).unwrap(), 0);
        is_told(&queue.try_recv().unwrap_err(), url);
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_that_waits_for_a_queue_is_told() {
    each_queue("qtask", |url, name| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_owner, queue) = queue_of(url, name);
        let error =
            runtime.block_on(async { queue.into_async().unwrap().recv().await.unwrap_err() });
        is_told(&error, url);
    });
}
