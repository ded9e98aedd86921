//! Channels of every transport, through the facade.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, ErrorKind, Result};
use support::channels::{pair, pair_with};
use support::message::pattern;
use support::schemes::{another, can, each, url};

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn messages_of_any_length_arrive_whole() {
    each("lengths", |url| {
        let (_owner, mut a, mut b) = pair(url);
        let lengths =
            [0, 1, 7, 8, 63, 64, 65, 4095, 4096, 40_000, 65_535, 65_536, 65_537, 300_001, 3 << 20];
        let echo = thread::spawn(move || {
            let mut buffer = Vec::new();
            for _ in lengths {
                b.recv_into(&mut buffer).unwrap();
                b.send(&buffer).unwrap();
            }
        });
        for (seed, len) in lengths.into_iter().enumerate() {
            let message = pattern(len, seed as u8);
            a.send(&message).unwrap();
            assert!(a.recv().unwrap() == message, "{len} bytes");
        }
        echo.join().unwrap();
        let (sent, stats) = (lengths.iter().sum::<usize>() as u64, a.stats());
        assert_eq!((stats.messages_sent, stats.messages_received), (15, 15));
        assert_eq!((stats.bytes_sent, stats.bytes_received), (sent, sent));
    });
}

#[test]
fn every_way_to_send_meets_every_way_to_receive() {
    each("ways", |url| {
        let (_owner, mut a, mut b) = pair(url);
        a.send(b"1").unwrap();
        a.try_send(b"2").unwrap();
        a.send_timeout(b"3", Duration::from_secs(1)).unwrap();
        a.send_with(10, |frame| {
            assert_eq!(frame.len(), 10);
            frame[0] = b'4';
            Some(1)
        })
        .unwrap();
        a.send_with(10, |_| None).unwrap();
        assert_eq!(a.send_many([b"5", b"6", b"7"]).unwrap(), 3);
        a.flush().unwrap();
        assert_eq!(b.recv().unwrap(), b"1");
        assert_eq!(b.try_recv().unwrap(), b"2");
        assert_eq!(b.recv_timeout(Duration::from_secs(1)).unwrap(), b"3");
        assert_eq!(b.recv_with(<[u8]>::to_vec).unwrap(), b"4");
        let mut buffer = b"old".to_vec();
        assert_eq!(b.recv_into(&mut buffer).unwrap(), 1);
        assert_eq!(buffer, b"5");
        assert_eq!(b.try_recv_into(&mut buffer).unwrap(), 1);
        assert_eq!(buffer, b"6");
        assert!(b.try_recv_with(|message| message == b"7").unwrap());
        assert_eq!(kind(b.try_recv()), ErrorKind::WouldBlock);
        assert_eq!(a.stats().messages_sent, 7);
    });
}

#[test]
fn a_batch_that_is_broken_off_goes_out_with_the_next_message() {
    each("broken", |url| {
        let (_owner, mut a, mut b) = pair(url);
        let messages = (0..3u8).map(|i| if i < 2 { [i] } else { panic!("no more") });
        let sent = catch_unwind(AssertUnwindSafe(|| a.send_many(messages)));
        assert!(sent.is_err());
        // It sleeps, and would not be woken for a part of a batch.
        let receiving = thread::spawn(move || [b.recv(), b.recv(), b.recv()].map(Result::unwrap));
        a.send_with(1, |frame| {
            frame[0] = 2;
            Some(1)
        })
        .unwrap();
        assert_eq!(receiving.join().unwrap(), [[0], [1], [2]]);
    });
}

#[test]
fn filling_in_place_works_above_one_frame() {
    each("fill", |url| {
        let (_owner, mut a, mut b) = pair(url);
        let receiver = thread::spawn(move || (b.recv().unwrap().len(), b.recv().unwrap()));
        a.send_with(1 << 20, |_| None).unwrap();
        a.send_with(1 << 20, |frame| Some(frame.len() - 1)).unwrap();
        for max in [5, 1 << 20] {
            let error = a.send_with(max, |frame| Some(frame.len() + 1)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
        }
        a.send(b"end").unwrap();
        assert_eq!(receiver.join().unwrap(), ((1 << 20) - 1, b"end".to_vec()));
    });
}

#[test]
fn the_lesser_limit_of_both_sides_holds() {
    each("limit", |url| {
        let (_owner, mut a, mut b) =
            pair_with(&format!("{url}?max_message=1KiB"), &format!("{url}?max_message=1MiB"));
        assert_eq!((a.max_message(), b.max_message()), (1024, 1024));
        for channel in [&mut a, &mut b] {
            channel.send(&[1; 1024]).unwrap();
            let error = channel.send(&[1; 1025]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
            let text = error.to_string();
            assert!(text.contains("1025 bytes") && text.contains("max_message=1024"), "{text}");
            assert_eq!(
                kind(channel.send_with(1025, |_| unreachable!())),
                ErrorKind::MessageTooLarge
            );
        }
        assert_eq!(a.recv().unwrap().len(), 1024);
        assert_eq!(b.recv().unwrap().len(), 1024);
    });
}

#[test]
fn try_send_takes_one_frame() {
    each("frame", |url| {
        let (_owner, mut a, mut b) = pair(url);
        let longest = a.max_frame();
        assert!((1000..=a.max_message()).contains(&longest), "{longest}");
        a.try_send(&pattern(longest, 1)).unwrap();
        assert!(b.recv().unwrap() == pattern(longest, 1));
        assert!(a.max_frame() >= longest);
        let error = a.try_send(&vec![0; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
        assert!(error.to_string().contains("one frame"), "{error}");
        let mut sent = 0;
        let full = loop {
            match a.try_send(&pattern(1000, sent as u8)) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert!(sent > 10);
        for seed in 0..sent {
            assert_eq!(b.recv().unwrap(), pattern(1000, seed as u8));
        }
        assert_eq!(kind(b.try_recv()), ErrorKind::WouldBlock);
    });
}

#[test]
fn timeouts_are_kept() {
    each("timeout", |url| {
        for wait in ["spin", "block", "adaptive"] {
            let url = format!("{}?wait={wait}", another(url));
            let (_owner, mut a, _b) = pair(&url);
            let started = Instant::now();
            let error = a.recv_timeout(Duration::from_millis(100)).unwrap_err();
            let waited = started.elapsed();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains(&url), "{error}");
            assert!(
                waited >= Duration::from_millis(99) && waited < Duration::from_secs(1),
                "{waited:?}"
            );
        }
    });
}

#[test]
fn what_timed_out_leaves_no_part() {
    each("part", |url| {
        // More than any transport holds.
        let (_owner, mut a, mut b) = pair(url);
        for _ in 0..3 {
            let error =
                a.send_timeout(&pattern(12 << 20, 9), Duration::from_millis(20)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
        }
        let receiver = thread::spawn(move || (b.recv().unwrap(), b.recv().unwrap().len(), b));
        a.send(b"whole").unwrap();
        a.send(&pattern(12 << 20, 1)).unwrap();
        let (first, second, _b) = receiver.join().unwrap();
        assert_eq!((first.as_slice(), second), (&b"whole"[..], 12 << 20));
        assert_eq!(a.stats().messages_sent, 2);
    });
}

#[test]
fn every_way_to_wait_plays_ping_pong() {
    each("wait", |url| {
        for wait in ["spin", "block", "adaptive"] {
            let url = format!("{}?wait={wait}", another(url));
            let (_owner, mut a, mut b) = pair(&url);
            let echo = thread::spawn(move || {
                while let Ok(message) = b.recv() {
                    b.send(&message).unwrap();
                }
            });
            for i in 0..2000u32 {
                a.send(&i.to_le_bytes()).unwrap();
                assert_eq!(a.recv().unwrap(), i.to_le_bytes());
            }
            a.close().unwrap();
            echo.join().unwrap();
        }
    });
}

#[test]
fn many_requests_may_be_on_their_way() {
    each("pipelined", |url| {
        for wait in ["block", "adaptive", "spin"] {
            let query = format!("?wait={wait}");
            let (_owner, mut client, mut server) = pair(&format!("{}{query}", another(url)));
            let echo = thread::spawn(move || {
                while let Ok(request) = server.recv() {
                    server.send(&request).unwrap();
                }
            });
            // Both sides send while neither receives; only the channel's room keeps them going.
            for seed in 0..50 {
                client.send(&pattern(1024, seed)).unwrap();
            }
            for seed in 0..50 {
                assert_eq!(client.recv().unwrap(), pattern(1024, seed), "{wait}");
            }
            drop(client);
            echo.join().unwrap();
        }
    });
}

#[test]
fn halves_work_in_two_threads() {
    each("split", |url| {
        let (_owner, a, mut b) = pair(url);
        let (mut sender, mut receiver) = a.split();
        let echo = thread::spawn(move || {
            let mut buffer = Vec::new();
            while b.recv_into(&mut buffer).is_ok() {
                b.send(&buffer).unwrap();
            }
        });
        let writer = thread::spawn(move || {
            for seed in 0..=255 {
                sender.send(&pattern(usize::from(seed) * 100, seed)).unwrap();
            }
            sender.close().unwrap();
        });
        for seed in 0..=255 {
            assert_eq!(receiver.recv().unwrap(), pattern(usize::from(seed) * 100, seed));
        }
        assert_eq!(receiver.stats().messages_received, 256);
        writer.join().unwrap();
        echo.join().unwrap();
    });
}

#[test]
fn closing_delivers_everything() {
    each("close", |url| {
        let (owner, mut a, mut b) = pair(url);
        a.send(b"last").unwrap();
        a.close().unwrap();
        owner.close().unwrap();
        assert_eq!(b.recv().unwrap(), b"last");
        assert_eq!(kind(b.recv()), ErrorKind::Closed);
        assert_eq!(kind(b.try_recv()), ErrorKind::Closed);
        assert_eq!(kind(b.recv_timeout(Duration::from_secs(9))), ErrorKind::Closed);
        let error = loop {
            match b.send(b"x") {
                Ok(()) => thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Closed);
    });
}

#[test]
fn a_sleeper_hears_of_the_end() {
    each("end", |url| {
        for wait in ["spin", "block", "adaptive"] {
            let query = format!("?wait={wait}");
            let (_owner, mut a, mut b) = pair(&format!("{}{query}", another(url)));
            let sleeper = thread::spawn(move || (b.recv().unwrap(), kind(b.recv())));
            a.send(b"x").unwrap();
            drop(a);
            assert_eq!(sleeper.join().unwrap(), (b"x".to_vec(), ErrorKind::Closed));
            let (_owner, a, mut b) = pair(&format!("{}{query}", another(url)));
            let sleeper = thread::spawn(move || kind(b.send(&vec![0; 8 << 20])));
            drop(a);
            assert_eq!(sleeper.join().unwrap(), ErrorKind::Closed);
        }
    });
}

#[test]
fn a_sender_can_tell_whether_it_is_heard() {
    each("heard", |url| {
        let (_owner, a, b) = pair(url);
        let (mut sender, _receiver) = a.split();
        let (_other, hearing) = b.split();
        assert!(sender.is_heard());
        hearing.close();
        let deadline = Instant::now() + Duration::from_secs(20);
        while sender.is_heard() {
            assert!(Instant::now() < deadline, "the receiver has left");
            thread::yield_now();
        }
        assert_eq!(kind(sender.send(b"x")), ErrorKind::Closed);
    });
}

#[test]
fn peers_know_each_other() {
    each("peer", |url| {
        let (_owner, a, b) =
            pair_with(&format!("{url}?max_message=1MiB"), &format!("{url}?max_message=2MiB"));
        // Over TCP, for example, the peer's process is unknown.
        let told =
            !can(url, Capabilities::CROSS_PROCESS) || can(url, Capabilities::PEER_CREDENTIALS);
        assert_eq!(a.peer().pid, told.then(std::process::id));
        assert_eq!(a.peer().hello.max_message, 2 << 20);
        assert_eq!(b.peer().hello.max_message, 1 << 20);
        assert_eq!(a.address().to_string(), format!("{url}?max_message=1MiB"));
    });
}

#[cfg(feature = "shared-memory")]
#[test]
fn an_unusable_directory_is_told_at_once() {
    const CHILD: &str = "FACADE_DIRECTORY_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let started = Instant::now();
        let error = anyipc::connect(url("shm", "nowhere")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.to_string().contains("ANYIPC_DIR"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
        return;
    }
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "an_unusable_directory_is_told_at_once"])
        .env(CHILD, "1")
        .env("ANYIPC_DIR", std::env::temp_dir().join("nonexistent/anyipc"))
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
}

#[test]
fn messages_are_written_in_place_without_waiting_or_for_a_limited_time() {
    each("fill", |url| {
        let (_owner, mut a, mut b) = pair(url);
        let write = |frame: &mut [u8]| {
            frame.fill(7);
            Some(frame.len())
        };
        a.try_send_with(100, write).unwrap();
        assert_eq!(b.recv().unwrap(), [7; 100]);
        let long = thread::spawn(move || (b.recv().unwrap() == [8; 200_000], b));
        a.send_with_timeout(300_000, Duration::from_secs(20), |frame| {
            frame.fill(8);
            Some(200_000)
        })
        .unwrap();
        let (whole, mut b) = long.join().unwrap();
        assert!(whole);
        // Nothing is sent.
        a.try_send_with(100, |_| None).unwrap();
        let error = a.try_send_with(1, |_| Some(2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
        let error = a.try_send_with(a.max_message() + 1, |_| panic!("too long")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MessageTooLarge);
        let mut sent = 0;
        loop {
            match a.try_send_with(1000, write) {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        let short = Duration::from_millis(50);
        let started = Instant::now();
        let error = a.send_with_timeout(9 << 20, short, write).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(started.elapsed() >= short);
        let sending = thread::spawn(move || {
            a.send_with_timeout(4, Duration::from_secs(20), write).unwrap();
            a
        });
        for _ in 0..sent {
            assert_eq!(b.recv().unwrap(), [7; 1000]);
        }
        assert_eq!(b.recv().unwrap(), [7; 4]);
        drop(sending.join().unwrap());
    });
}
