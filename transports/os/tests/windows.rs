//! What Windows has in place of descriptors: events to wait for, locks on files, pipes with an
//! access list.
#![cfg(windows)]
#![expect(clippy::unwrap_used, reason = "these are tests")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Interest, Operation, Source};
use anyipc_os::{
    Dir, Event, Lock, Pipe, PipeListener, Readiness, Scope, Set, is_held, overwrite, read_text,
    same_file, sleep, sleep_on, try_lock, unlock,
};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

fn name(tag: &str) -> String {
    static SERIAL: AtomicU64 = AtomicU64::new(0);
    format!("os-test-{tag}-{}-{}", std::process::id(), SERIAL.fetch_add(1, Ordering::Relaxed))
}

fn dir() -> Dir {
    Dir::open(Scope::User, Operation::Open).unwrap()
}

/// Reads until something is there.
fn recv(pipe: &Pipe, bytes: &mut [u8]) -> usize {
    loop {
        match pipe.recv(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                assert!(sleep(&pipe.source(), Interest::Readable, LONG));
            }
            got => return got.unwrap(),
        }
    }
}

#[test]
fn any_of_many_events_ends_a_sleep() {
    for count in [1, 2, 64, 65, 200] {
        let events: Vec<_> = (0..count).map(|_| Event::new().unwrap()).collect();
        let sources: Vec<(Source, Interest)> =
            events.iter().map(|event| (event.source(), Interest::Readable)).collect();
        let started = Instant::now();
        assert!(!sleep_on(&sources, SOON));
        assert!(started.elapsed() >= SOON);
        for index in [0, count / 2, count - 1] {
            thread::scope(|scope| {
                scope.spawn(|| events[index].set());
                assert!(sleep_on(&sources, LONG), "{index} of {count}");
            });
            assert!(sleep_on(&sources, Duration::ZERO));
            events[index].reset();
        }
    }
}

#[test]
fn a_task_is_woken() {
    struct Told(Arc<Event>);
    impl Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.set();
        }
    }
    let (event, told) = (Event::new().unwrap(), Event::new().unwrap());
    let waker = Waker::from(Arc::new(Told(Arc::clone(&told))));
    for _ in 0..100 {
        let readiness = Readiness::new(&event.source(), &waker).unwrap();
        assert!(!readiness.poll(&waker));
        event.set();
        assert!(sleep(&told.source(), Interest::Readable, LONG));
        assert!(readiness.poll(&waker));
        event.reset();
        told.reset();
        // Given up in the middle.
        drop(Readiness::new(&event.source(), &waker).unwrap());
    }
    event.set();
    assert!(Readiness::new(&event.source(), &waker).unwrap().poll(&waker), "ready already");
}

#[test]
fn a_set_is_ready_with_any_member_or_its_clock() {
    let set = Set::new().unwrap();
    let (a, b) = (Event::new().unwrap(), Event::new().unwrap());
    set.watch(&a, Interest::Readable).unwrap();
    set.watch(&b, Interest::Readable).unwrap();
    let sleeps = |longest| {
        let ready = sleep(&set.source(), Interest::Readable, longest);
        assert!(set.wake_at(None).is_ok());
        ready
    };
    assert!(!sleeps(SOON));
    b.set();
    assert!(sleeps(LONG));
    set.forget(&b);
    assert!(!sleeps(SOON));
    a.set();
    assert!(sleeps(LONG));
    drop(a);
    assert!(!sleeps(SOON), "closing ends it");
    set.wake_at(Some(Instant::now() + SOON)).unwrap();
    assert!(sleeps(LONG));
    assert!(!sleeps(SOON));
}

#[test]
fn a_waiter_learns_what_is_added_to_its_set() {
    let set = Set::new().unwrap();
    let mut members = Vec::new();
    for _ in 0..100 {
        let told = Event::new().unwrap();
        let waker = Waker::from(Arc::clone(&told));
        let waiting = Readiness::new(&set.source(), &waker).unwrap();
        let member = Event::new().unwrap();
        set.watch(&member, Interest::Readable).unwrap();
        members.push(member);
        // Another thread that waits for it has seen that, and sleeps again.
        set.wake_at(None).unwrap();
        assert!(sleep(&told.source(), Interest::Readable, LONG));
        assert!(waiting.poll(&waker));
        assert!(!sleep(&set.source(), Interest::Readable, Duration::ZERO));
        if members.len() == 10 {
            members.clear();
        }
    }
}

#[test]
fn locks_are_between_open_files_and_hide_nothing() {
    let (dir, name) = (dir(), name("lock"));
    let a = dir.create_file(&name).unwrap();
    overwrite(&a, b"the owner").unwrap();
    let (b, c) = (dir.open_file(&name).unwrap(), dir.open_file(&name).unwrap());
    assert!(!is_held(&b).unwrap());
    assert!(try_lock(&a, Lock::Exclusive).unwrap());
    assert!(is_held(&b).unwrap());
    assert!(!try_lock(&b, Lock::Shared).unwrap() && !try_lock(&b, Lock::Exclusive).unwrap());
    assert_eq!(read_text(&b, 100).unwrap(), "the owner");
    assert!(same_file(&dir, &name, &b).unwrap());
    drop(a);
    assert!(try_lock(&b, Lock::Shared).unwrap() && try_lock(&c, Lock::Shared).unwrap());
    drop(c);
    assert!(!try_lock(&b, Lock::Exclusive).unwrap(), "its own lock refuses the upgrade");
    unlock(&b);
    assert!(try_lock(&b, Lock::Exclusive).unwrap());
    dir.unlink(&name).unwrap();
}

#[test]
fn a_nameless_file_goes_unless_it_gets_a_name() {
    let (dir, name) = (dir(), name("nameless"));
    let file = dir.nameless_file().unwrap();
    file.write_all_at(b"whole", 0).unwrap();
    dir.link_nameless(&file, &name).unwrap();
    assert_eq!(dir.link_nameless(&file, &name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    drop(file);
    let file = dir.open_file(&name).unwrap();
    assert_eq!(read_text(&file, 100).unwrap(), "whole");
    let status = file.status().unwrap();
    assert!(status.ours && status.private);
    drop(file);
    dir.unlink(&name).unwrap();
    let ours = format!("{}-", std::process::id());
    let left = dir.list().unwrap().into_iter().filter_map(|name| name.into_string().ok());
    assert!(!left.into_iter().any(|name| name.starts_with(&ours) && name.ends_with(".tmp")));
}

#[test]
fn pipes_carry_bytes_both_ways_and_tell_the_end() {
    let path = format!(r"\\.\pipe\anyipc-{}", name("pipe"));
    assert_eq!(Pipe::connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    let listener = PipeListener::new(&path, 1 << 16).unwrap();
    let connect = || {
        let there = Pipe::connect(&path).unwrap();
        loop {
            match listener.accept().unwrap() {
                Some(here) => return (here, there),
                None => thread::yield_now(),
            }
        }
    };
    for round in 0..50 {
        let (here, there) = connect();
        assert_eq!(
            (here.peer().unwrap(), there.peer().unwrap()),
            (std::process::id(), std::process::id())
        );
        let mut bytes = [0; 100];
        assert_eq!(here.send(b"one", b" two").unwrap(), 7);
        assert_eq!((recv(&there, &mut bytes), &bytes[..7]), (7, &b"one two"[..]));
        assert_eq!(there.send(b"three", b"").unwrap(), 5);
        assert_eq!((recv(&here, &mut bytes), &bytes[..5]), (5, &b"three"[..]));
        // What was sent before the end arrives before the end.
        let (leaves, stays) = if round % 2 == 0 { (here, there) } else { (there, here) };
        leaves.send(b"bye", b"").unwrap();
        drop(leaves);
        assert_eq!((recv(&stays, &mut bytes), &bytes[..3]), (3, &b"bye"[..]));
        assert_eq!(recv(&stays, &mut bytes), 0);
        assert_eq!(stays.send(b"x", b"").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_pipes_name_has_one_server() {
    let path = format!(r"\\.\pipe\anyipc-{}", name("one"));
    let _listener = PipeListener::new(&path, 4096).unwrap();
    assert_eq!(PipeListener::new(&path, 4096).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_full_pipe_is_an_error_and_no_wait() {
    let path = format!(r"\\.\pipe\anyipc-{}", name("full"));
    let listener = PipeListener::new(&path, 4096).unwrap();
    let there = Pipe::connect(&path).unwrap();
    while listener.accept().unwrap().is_none() {}
    let started = Instant::now();
    let error = (0..1000).find_map(|_| there.send(&[0; 4096], &[]).err()).unwrap();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert!(started.elapsed() < LONG);
}
