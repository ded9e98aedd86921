//! What Windows has in place of descriptors: events to wait for, locks on files, pipes with an
//! access list.
#![cfg(windows)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle, RawHandle};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{ErrorKind, Handles, Interest, Operation, Source};
use anyipc_os::{
    Dir, Event, Fd, Lock, Pipe, PipeListener, Readiness, Scope, Set, Token, WakeFifo, hold,
    is_held, overwrite, read_text, same_file, sleep, sleep_on, try_lock, unlock,
};
use windows_sys::Win32::Foundation::{DUPLICATE_SAME_ACCESS, DuplicateHandle, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSecurityDescriptorToStringSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT, SE_KERNEL_OBJECT, SE_OBJECT_TYPE,
};
use windows_sys::Win32::Security::{DACL_SECURITY_INFORMATION, OWNER_SECURITY_INFORMATION};
use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_BACKUP_SEMANTICS;
use windows_sys::Win32::System::Threading::GetCurrentProcess;

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

/// Another handle of the same open file.
fn duplicate_of(file: &Fd) -> OwnedHandle {
    let mut handle = ptr::null_mut();
    // SAFETY: the file is open, `handle` is ours to write, and the new handle has one owner.
    unsafe {
        let process = GetCurrentProcess();
        let options = DUPLICATE_SAME_ACCESS;
        let from = file.as_raw_handle();
        assert_ne!(DuplicateHandle(process, from, process, &mut handle, 0, 0, options), 0);
        OwnedHandle::from_raw_handle(handle)
    }
}

/// Owner and access list of an open object, in the system's text form.
fn access_list(handle: RawHandle, kind: SE_OBJECT_TYPE) -> String {
    let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;
    let (mut descriptor, mut text, mut len) = (ptr::null_mut(), ptr::null_mut(), 0);
    // SAFETY: the handle is open, the places are ours to write, and what the system allocated is
    // read and freed once.
    unsafe {
        let code = GetSecurityInfo(
            handle,
            kind,
            what,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &mut descriptor,
        );
        assert_eq!(code, 0);
        let done = ConvertSecurityDescriptorToStringSecurityDescriptorW(
            descriptor,
            SDDL_REVISION_1,
            what,
            &mut text,
            &mut len,
        );
        assert_ne!(done, 0);
        let list = String::from_utf16(std::slice::from_raw_parts(text, len as usize)).unwrap();
        LocalFree(text.cast());
        LocalFree(descriptor);
        list.trim_end_matches('\0').to_owned()
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
    hold(&a).unwrap();
    assert!(is_held(&b).unwrap());
    assert!(!try_lock(&b, Lock::Shared).unwrap() && !try_lock(&b, Lock::Exclusive).unwrap());
    assert_eq!(read_text(&b, 100).unwrap(), "the owner");
    assert!(same_file(&dir, &name, &b).unwrap());
    // A mapping has a duplicate of the handle, too.
    let duplicate = duplicate_of(&a);
    drop(a);
    assert!(!is_held(&b).unwrap());
    assert!(try_lock(&b, Lock::Shared).unwrap() && try_lock(&c, Lock::Shared).unwrap());
    drop(duplicate);
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
    let second = dir.nameless_file().unwrap();
    second.write_all_at(b"second", 0).unwrap();
    let token = second.token().unwrap().clone();
    assert_eq!(read_text(&dir.open_nameless(&token).unwrap(), 100).unwrap(), "second");
    drop((file, second));
    assert_eq!(dir.open_nameless(&token).unwrap_err().kind(), io::ErrorKind::NotFound);
    dir.unlink(&name).unwrap();
}

#[test]
fn a_removed_name_is_free_at_once() {
    let (dir, name) = (dir(), name("removed"));
    for _ in 0..100 {
        let file = dir.create_file(&name).unwrap();
        let other = dir.open_file(&name).unwrap();
        dir.unlink(&name).unwrap();
        assert_eq!(dir.stat(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(dir.unlink(&name).unwrap_err().kind(), io::ErrorKind::NotFound);
        file.write_all_at(b"still ours", 0).unwrap();
        assert_eq!(read_text(&other, 100).unwrap(), "still ours");
    }
    std::fs::create_dir(dir.path().join(&name)).unwrap();
    assert_eq!(dir.unlink(&name).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    std::fs::remove_dir(dir.path().join(&name)).unwrap();
    let left = dir.list().unwrap().into_iter().filter_map(|name| name.into_string().ok());
    assert_eq!(left.filter(|left| left.starts_with(&name)).count(), 0);
}

/// `ANYIPC_TEST_NETWORK` is a directory on a drive that the system calls a network drive.
#[test]
fn a_network_drive_is_refused() {
    let Some(base) = std::env::var_os("ANYIPC_TEST_NETWORK") else {
        println!("ANYIPC_TEST_NETWORK is not set: no network drive is tested");
        return;
    };
    let error = Dir::under(base.as_ref(), Operation::Create).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("network drive"), "{error}");
}

#[test]
fn a_named_event_is_one_for_all_that_know_its_token() {
    let token = Token::random().unwrap();
    assert_eq!(Event::open(&token).unwrap_err().kind(), io::ErrorKind::NotFound);
    let made = Event::named(&token).unwrap();
    let opened = Event::open(&token).unwrap();
    assert!(!made.is_set());
    opened.set();
    assert!(made.is_set());
    made.reset();
    assert!(!opened.is_set());
    drop(made);
    Event::open(&token).unwrap();
    drop(opened);
    assert_eq!(Event::open(&token).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_wake_fifo_wakes_and_hostile_text_is_refused() {
    let (dir, name) = (dir(), name("wake"));
    assert_eq!(WakeFifo::open(&dir, &name).unwrap_err().kind(), io::ErrorKind::NotFound);
    let ours = WakeFifo::make(&dir, &name).unwrap();
    let theirs = WakeFifo::open(&dir, &name).unwrap();
    assert!(!ours.drain());
    theirs.wake();
    theirs.wake();
    assert!(ours.drain() && !ours.drain());
    // Replaced: the old one wakes nobody any more.
    let ours = WakeFifo::make(&dir, &name).unwrap();
    theirs.wake();
    assert!(!ours.drain());
    let token = read_text(&dir.open_file(&name).unwrap(), 100).unwrap();
    let hostile: [&[u8]; 7] = [
        b"",
        b"not a token",
        &[0; Token::LEN],
        &[0xff; Token::LEN],
        &[b'a'; Token::LEN + 1],
        br"\..\..\Session\1\BaseNamedObjects",
        token[1..].as_bytes(),
    ];
    for text in hostile {
        overwrite(&dir.open_file(&name).unwrap(), text).unwrap();
        let error = WakeFifo::open(&dir, &name).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}");
    }
    overwrite(&dir.open_file(&name).unwrap(), token.as_bytes()).unwrap();
    WakeFifo::open(&dir, &name).unwrap().wake();
    assert!(ours.drain());
    drop(ours);
    assert_eq!(WakeFifo::open(&dir, &name).unwrap_err().kind(), io::ErrorKind::NotFound);
    dir.unlink(&name).unwrap();
}

/// The access list of each kind of object, as the system has it: nobody but this user, the system
/// and the machine's administrators is in it.
#[test]
fn every_object_is_for_this_user_only() {
    let (dir, name) = (dir(), name("access"));
    let mut lists = Vec::new();
    let mut look = |what: &str, handle: &dyn AsRawHandle, kind| {
        lists.push((what.to_owned(), access_list(handle.as_raw_handle(), kind)));
    };
    let named = dir.create_file(&name).unwrap();
    look("file", &named, SE_FILE_OBJECT);
    look("nameless file", &dir.nameless_file().unwrap(), SE_FILE_OBJECT);
    let fifo_name = format!("{name}-wake");
    let fifo = WakeFifo::make(&dir, &fifo_name).unwrap();
    look("wake FIFO's file", &dir.open_file(&fifo_name).unwrap(), SE_FILE_OBJECT);
    let directory = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(dir.path())
        .unwrap();
    look("directory", &directory, SE_FILE_OBJECT);
    let mut event = |what, event: &dyn Handles| {
        event.each(&mut |handle| look(what, &**handle, SE_KERNEL_OBJECT));
    };
    event("nameless event", &*Event::new().unwrap());
    event("named event", &*Event::named(&Token::random().unwrap()).unwrap());
    event("wake FIFO", &fifo);
    let at = format!("{name}-pipe");
    let _listener = PipeListener::at(&dir, &at, 4096).unwrap();
    let pipe = read_text(&dir.open_file(&at).unwrap(), 100).unwrap();
    let pipe = std::fs::OpenOptions::new().read(true).write(true).open(pipe).unwrap();
    look("pipe", &pipe, SE_KERNEL_OBJECT);
    assert_eq!(lists.len(), 8);
    for (what, list) in lists {
        println!("{what}: {list}");
        // D: flags, then (type;flags;rights;;;trustee) for each entry.
        let (owner, entries) = list.split_once("D:").unwrap();
        let user = owner.strip_prefix("O:").unwrap();
        let entries: Vec<_> = entries.split('(').skip(1).collect();
        assert!(!entries.is_empty(), "{what}: everyone");
        for entry in entries {
            let trustee = entry.trim_end_matches(')').rsplit(';').next().unwrap();
            assert!([user, "SY", "BA"].contains(&trustee), "{what}: {list}");
        }
    }
    for file in [name, fifo_name, at] {
        dir.unlink(&file).unwrap();
    }
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
fn what_a_full_pipe_has_no_room_for_follows_later() {
    const PIECE: usize = 1000;
    let (dir, name) = (dir(), name("later"));
    let listener = PipeListener::at(&dir, &name, 4096).unwrap();
    let there = Pipe::at(&dir, &name).unwrap();
    let here = loop {
        match listener.accept().unwrap() {
            Some(here) => break here,
            None => thread::yield_now(),
        }
    };
    for round in 0..20u8 {
        let mut sent = 0;
        let error = loop {
            match there.send_later(&[round; 7], &[round; PIECE - 7]) {
                Ok(PIECE) => sent += PIECE,
                Ok(count) => panic!("{count} of {PIECE}"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!((4096..1 << 20).contains(&sent), "{sent}");
        let mut bytes = [0; PIECE];
        while sent > 0 {
            let got = recv(&here, &mut bytes);
            assert!(got > 0 && bytes[..got].iter().all(|byte| *byte == round));
            sent -= got;
        }
    }
    drop(here);
    assert_eq!(there.send_later(b"x", b"").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    // A file that leads to no pipe of ours.
    for text in ["", r"\\.\pipe\other", r"\\.\pipe\anyipc-..\x"] {
        overwrite(&dir.open_file(&name).unwrap(), text.as_bytes()).unwrap();
        assert_eq!(Pipe::at(&dir, &name).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
    dir.unlink(&name).unwrap();
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
