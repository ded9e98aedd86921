//! Many peers at once, many messages, a fork, and `SIGPIPE`.
#![cfg(all(target_os = "linux", not(anyipc_as_macos)))]
#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyipc_core::{Attempt, Endpoint as _, ErrorKind, Flags, RecvHalf, SendHalf, Transport};
use anyipc_named_pipe::{NamedPipe, PipeReceiver};
use common::{
    WAIT_LOOP, create, failed, files, hello, meet, name, open, options, pair, recv, send,
};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn fifty_clients_at_once() {
    const CLIENTS: usize = 50;
    const MESSAGES: u64 = 200;
    let name = name("fifty");
    let owner = create(&name);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let name = &name;
            scope.spawn(move || {
                let (mut sender, mut receiver, _) = meet(&open(name)).unwrap();
                for i in 0..MESSAGES {
                    let text = format!("{client}/{i}");
                    send(&mut sender, text.as_bytes()).unwrap();
                    assert_eq!(recv(&mut receiver).unwrap(), text.as_bytes());
                }
            });
        }
        for _ in 0..CLIENTS {
            let (mut sender, mut receiver, _) = meet(&owner).unwrap();
            scope.spawn(move || {
                let mut count = 0;
                let end = loop {
                    match recv(&mut receiver) {
                        Ok(text) => send(&mut sender, &text).unwrap(),
                        Err(error) => break error,
                    }
                    count += 1;
                };
                assert_eq!((count, end.kind()), (MESSAGES, ErrorKind::Closed));
            });
        }
    });
    assert_eq!(owner.rejections().count, 0, "{:?}", owner.rejections().last);
    assert_eq!(files(&name).len(), 2);
    drop(owner);
    assert!(files(&name).is_empty());
}

/// A different text for each message. Some are far longer than what a FIFO takes at once.
fn text(sender: u64, i: u64) -> String {
    let long = if i.is_multiple_of(97) { 30_000 } else { (i % 50) as usize };
    format!("C:\\Users\\{sender}\\{i}\\{}.exe", "x".repeat(long))
}

#[test]
fn eight_senders_ten_thousand_texts_each() {
    const SENDERS: u64 = 8;
    const TEXTS: u64 = 10_000;
    let name = name("texts");
    let owner = create(&name);
    let check = |mut receiver: PipeReceiver| {
        let first = String::from_utf8(recv(&mut receiver).unwrap()).unwrap();
        let sender: u64 = first.split('\\').nth(2).unwrap().parse().unwrap();
        assert_eq!(first, text(sender, 0));
        for i in 1..TEXTS {
            assert!(
                recv(&mut receiver).unwrap() == text(sender, i).as_bytes(),
                "text {i} of {sender}"
            );
        }
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::Closed);
        sender
    };
    let mut seen: Vec<_> = thread::scope(|scope| {
        for sender in 0..SENDERS {
            let name = &name;
            scope.spawn(move || {
                let (mut half, _receiver, _) = meet(&open(name)).unwrap();
                for i in 0..TEXTS {
                    send(&mut half, text(sender, i).as_bytes()).unwrap();
                }
            });
        }
        let channels: Vec<_> = (0..SENDERS).map(|_| meet(&owner).unwrap()).collect();
        let readers: Vec<_> = channels
            .into_iter()
            .map(|(_, receiver, _)| scope.spawn(move || check(receiver)))
            .collect();
        readers.into_iter().map(|reader| reader.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (0..SENDERS).collect::<Vec<_>>());
}

#[test]
fn messages_allocate_nothing() {
    let name = name("alloc");
    let owner = create(&name);
    let ((mut sender, ..), (_, mut receiver, _)) = pair(&owner, &name);
    let mut rounds = |count: u64| {
        let payload = [7; 5000];
        for i in 0..count {
            let len = (i % 5000) as usize;
            sender.try_send(Flags::NONE, &payload[..len]).unwrap();
            sender.try_send_with(100, Flags::NONE, &mut |frame| Some(frame.len())).unwrap();
            sender.cork();
            for _ in 0..5 {
                sender.try_send(Flags::NONE, b"together").unwrap();
            }
            sender.try_flush().unwrap();
            receiver.try_recv_with(&mut |_, frame| assert_eq!(frame.len(), len)).unwrap();
            receiver.try_recv_with(&mut |_, frame| assert_eq!(frame.len(), 100)).unwrap();
            for _ in 0..5 {
                receiver.try_recv_with(&mut |_, frame| assert_eq!(frame, b"together")).unwrap();
            }
            assert!(
                receiver.try_recv_with(&mut |_, _| {}).is_err_and(|error| error.is_would_block())
            );
        }
    };
    rounds(5000);
    let before = COUNT.get();
    rounds(10_000);
    assert_eq!(COUNT.get() - before, 0);
}

#[test]
fn corked_frames_go_out_together_and_only_then() {
    let name = name("cork");
    let owner = create(&name);
    let ((mut sender, ..), (_, mut receiver, _)) = pair(&owner, &name);
    sender.cork();
    for i in 0..100u8 {
        sender.try_send(Flags::NONE, &[i]).unwrap();
    }
    assert!(failed(receiver.try_recv_with(&mut |_, _| {})).is_would_block());
    sender.try_flush().unwrap();
    for i in 0..100u8 {
        receiver.try_recv_with(&mut |_, frame| assert_eq!(frame, [i])).unwrap();
    }
    // More than the half holds.
    sender.cork();
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..100usize {
                assert_eq!(recv(&mut receiver).unwrap(), vec![i as u8; i * 500]);
            }
        });
        for i in 0..100usize {
            WAIT_LOOP.send(&mut sender, Flags::NONE, &vec![i as u8; i * 500]).unwrap();
        }
        WAIT_LOOP.flush(&mut sender).unwrap();
    });
}

#[test]
fn the_goodbye_always_has_room() {
    for (len, options_of) in
        [(0, ""), (1, "4KiB"), (100, ""), (5000, "64KiB"), (60_000, ""), (4000, "4KiB")]
    {
        let name = name(&format!("goodbye-{len}"));
        let pairs: &[_] = if options_of.is_empty() { &[] } else { &[("capacity", options_of)] };
        let owner = NamedPipe.create(&name, &options(pairs)).unwrap();
        let ((mut sender, ..), (_, mut receiver, _)) = pair(&owner, &name);
        let mut sent = 0;
        while sender.try_send(Flags::NONE, &vec![sent as u8; len]).is_ok() {
            sent += 1;
        }
        drop(sender);
        for i in 0..sent {
            assert!(recv(&mut receiver).unwrap() == vec![i as u8; len], "{len}: {i} of {sent}");
        }
        assert_eq!(failed(recv(&mut receiver)).kind(), ErrorKind::Closed, "{len}");
    }
}

#[test]
fn a_forked_child_holds_nothing() {
    let name = name("fork");
    let owner = create(&name);
    let opener = open(&name);
    let ((mut sender, mut receiver, _), (mut there, mut other, _)) = pair(&owner, &name);
    let mut begun = Attempt::new(hello());
    assert!(failed(opener.try_connect(&mut begun)).is_would_block());
    assert_eq!(files(&name).len(), 6);
    // SAFETY: the child calls only what this crate promises to work there, and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let forked = |kind: ErrorKind| kind == ErrorKind::Forked;
        let right = forked(failed(sender.try_send(Flags::NONE, b"x")).kind())
            && forked(failed(sender.try_flush()).kind())
            && forked(failed(receiver.try_recv_with(&mut |_, _| {})).kind())
            && forked(failed(owner.try_connect(&mut Attempt::new(hello()))).kind())
            && forked(failed(opener.try_connect(&mut begun)).kind())
            && forked(failed(owner.read_lpsz(&mut |_| {})).kind());
        drop((sender, receiver, begun, opener, owner));
        // SAFETY: always allowed.
        unsafe { libc::_exit(i32::from(!right)) }
    }
    let mut status = 0;
    // SAFETY: the status is ours.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child was not told, or died");
    assert_eq!(files(&name).len(), 6, "the child removed what is the parent's");
    send(&mut sender, b"still here").unwrap();
    assert_eq!(recv(&mut other).unwrap(), b"still here");
    send(&mut there, b"so are we").unwrap();
    assert_eq!(recv(&mut receiver).unwrap(), b"so are we");
    drop(begun);
    drop((sender, receiver));
    assert_eq!(failed(recv(&mut other)).kind(), ErrorKind::Closed);
}

const WAKE: &str = "ANYIPC_TEST_SIGNAL";

#[test]
fn writing_without_a_reader_is_no_signal() {
    if std::env::var_os(WAKE).is_none() {
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writing_without_a_reader_is_no_signal", "--test-threads=1"])
            .env(WAKE, "1")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{ended:?}");
        return;
    }
    // SAFETY: no handler is installed. The signal kills the process, as in programs not written in
    // Rust.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let name = name("signal");
    let owner = create(&name);
    for round in 0..50u64 {
        let ((mut sender, mut receiver, _), (mut there, other, _)) = pair(&owner, &name);
        let going = thread::spawn(move || {
            thread::sleep(Duration::from_micros(round * 37));
            drop(other);
            // A rest and a goodbye without a reader.
            for _ in 0..20 {
                let _ = there.try_send(Flags::NONE, &[1; 30_000]);
            }
            drop(there);
        });
        let error = loop {
            if let Err(error) = send(&mut sender, &[2; 3000]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Closed);
        while recv(&mut receiver).is_ok() {}
        drop(receiver);
        going.join().unwrap();
    }
    // The owner leaves while a connector asks for it.
    let opener = open(&name);
    let mut begun = Attempt::new(hello());
    assert!(failed(opener.try_connect(&mut begun)).is_would_block());
    drop(owner);
    assert_eq!(failed(opener.try_connect(&mut begun)).kind(), ErrorKind::NoOwner);
    assert_eq!(failed(opener.try_connect(&mut begun)).kind(), ErrorKind::NoOwner);
}
