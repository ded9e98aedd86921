//! `plain://` through the facade: messages of any length, values as JSON, threads, tasks and
//! inboxes, and what it refuses. The other side is a bare socket of the standard library.
#![cfg(all(feature = "plain-socket", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyipc::{ErrorKind, Inbox, Registry};
use support::watchdog::watched;

/// A path that no other test has, without a file.
fn path(tag: &str) -> PathBuf {
    std::env::temp_dir().join(support::schemes::unique(tag))
}

fn url(path: &std::path::Path, options: &str) -> String {
    format!("plain://{}{options}", path.display())
}

#[test]
fn long_messages_go_both_ways_whole() {
    watched("plain long", || {
        for frames in ["lines", "length32be", "content-length"] {
            let path = path("long");
            let owner = anyipc::create(url(&path, &format!("?frames={frames}"))).unwrap();
            let address = owner.address().clone();
            let there = thread::spawn(move || {
                let mut channel = anyipc::connect(address).unwrap();
                let message = channel.recv().unwrap();
                channel.send(&message).unwrap();
                channel.recv().unwrap_err().kind()
            });
            let mut channel = owner.accept().unwrap();
            let message = vec![b'x'; 3 << 20];
            channel.send(&message).unwrap();
            assert!(channel.recv().unwrap() == message, "{frames}");
            channel.close().unwrap();
            assert_eq!(there.join().unwrap(), ErrorKind::Closed);
            owner.close().unwrap();
            assert!(!path.exists());
        }
    });
}

#[test]
fn a_long_message_that_is_given_up_ends_the_direction_by_name() {
    watched("plain given up", || {
        let path = path("given.up");
        let owner = anyipc::create(url(&path, "?frames=length32le")).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut channel = owner.accept().unwrap();
        let long = vec![7; 4 << 20];
        let error = channel.send_timeout(&long, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        // What follows could not be told from the rest of it.
        let error = channel.send(b"next").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        // The other direction goes on.
        stream.write_all(b"\x02\0\0\0ok").unwrap();
        assert_eq!(channel.recv().unwrap(), b"ok");
        drop(channel);
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        assert!(got.starts_with(&(4_u32 << 20).to_le_bytes()) && got.len() < long.len());
        // Short ones are sent whole or not at all.
        let _stream = UnixStream::connect(&path).unwrap();
        let mut channel = owner.accept().unwrap();
        while channel.send_timeout(&[7; 30_000], Duration::from_millis(20)).is_ok() {}
        assert_eq!(channel.try_send(&[7; 30_000]).unwrap_err().kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_message_over_the_limit_ends_the_channel() {
    watched("plain limit", || {
        let path = path("limit");
        let owner = anyipc::create(url(&path, "?max_message=1000")).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut channel = owner.accept().unwrap();
        assert_eq!(channel.send(&[b'x'; 1001]).unwrap_err().kind(), ErrorKind::MessageTooLarge);
        stream.write_all(&[&[b'x'; 1000][..], b"\n", &[b'x'; 1001], b"\n"].concat()).unwrap();
        assert_eq!(channel.recv().unwrap().len(), 1000);
        assert_eq!(channel.recv().unwrap_err().kind(), ErrorKind::Corrupt);
    });
}

#[cfg(feature = "json")]
#[test]
fn values_are_lines_of_json() {
    watched("plain json", || {
        let path = path("json");
        let owner = anyipc::create(url(&path, "")).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        let mut channel = owner.accept().unwrap().typed::<Vec<String>, (u32, bool)>().unwrap();
        channel.send(&vec!["two\nlines".into()]).unwrap();
        stream.write_all(b"[3, true]\r\n").unwrap();
        assert_eq!(channel.recv().unwrap(), (3, true));
        drop(channel);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "[\"two\\nlines\"]\n");
    });
}

#[test]
fn an_inbox_serves_many_and_is_told_of_bad_ones() {
    watched("plain inbox", || {
        let path = path("inbox");
        let owner = anyipc::create(url(&path, "")).unwrap();
        let mut inbox = Inbox::new(owner).unwrap();
        let clients: Vec<_> = (0..5)
            .map(|number| {
                let path = path.clone();
                thread::spawn(move || {
                    let mut stream = UnixStream::connect(path).unwrap();
                    writeln!(stream, "{number}").unwrap();
                    if number == 4 {
                        stream.write_all(b"half").unwrap();
                        return;
                    }
                    let mut answer = [0; 2];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(answer, [b'0' + number, b'\n']);
                })
            })
            .collect();
        for _ in 0..5 {
            let (peer, message) = inbox.recv().unwrap();
            // The one that said half a message has left by then, perhaps.
            let _ = inbox.send(peer, &message);
        }
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[cfg(feature = "tokio")]
#[test]
fn tasks_wait_for_sockets() {
    watched("plain tasks", || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let path = path("tasks");
            let owner = anyipc::create(url(&path, "?frames=content-length")).unwrap();
            let address = owner.address().clone();
            let there = tokio::spawn(async move {
                let mut channel = anyipc::connect_async(address).await.unwrap();
                for _ in 0..100 {
                    let message = channel.recv().await.unwrap();
                    channel.send(&message).await.unwrap();
                }
            });
            let mut channel = owner.accept_async().await.unwrap();
            for round in 0..100_usize {
                let message = vec![round as u8; round * 3000];
                channel.send(&message).await.unwrap();
                assert!(channel.recv().await.unwrap() == message, "{round}");
            }
            there.await.unwrap();
        });
    });
}

#[test]
fn paths_are_for_plain_alone_and_types_for_others() {
    for scheme in ["shm", "local", "tcp", "inproc"] {
        let address = format!("{scheme}:///tmp/x").parse().unwrap();
        let Err(error) = Registry::new().resolve(&address) else { panic!("{scheme}") };
        let left_out = error.kind() == ErrorKind::InvalidAddress;
        assert!(left_out || error.to_string().contains("plain:// takes both"), "{error}");
    }
    let error = anyipc::create("plain://x?codec=postcard").map(drop).unwrap_err();
    assert!(error.to_string().contains("codec=json"), "{error}");
    let unique = anyipc::create(url(&path("unique"), "?unique")).unwrap();
    assert!(unique.address().name().is_path());
    let path = PathBuf::from(unique.address().name().as_str());
    assert!(path.exists());
    drop(unique);
    assert!(!path.exists());
    let error = anyipc::alloc_lpsz("plain://x", "text").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(anyipc::open("plain://anyipc.nobody").unwrap_err().kind(), ErrorKind::NotFound);
}
