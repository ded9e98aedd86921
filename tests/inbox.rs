//! The owner's side of many connections.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod common;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Event, Inbox};
use common::{each, pattern};

fn inbox(url: &str) -> Inbox {
    Inbox::new(anyipc::create(url).unwrap()).unwrap()
}

#[test]
fn many_senders_one_owner() {
    each("many", |url| {
        let mut inbox = inbox(url);
        let clients: Vec<_> = (0..8u8)
            .map(|client| {
                let url = url.to_owned();
                thread::spawn(move || {
                    let mut channel = anyipc::connect(&url).unwrap();
                    for i in 0..500u16 {
                        let len = 20 + usize::from(i % 180);
                        let mut message = pattern(len, client);
                        message[0] = client;
                        message[1..3].copy_from_slice(&i.to_le_bytes());
                        channel.send(&message).unwrap();
                    }
                    assert_eq!(channel.recv().unwrap(), [client]);
                })
            })
            .collect();
        let mut next = BTreeMap::new();
        for _ in 0..8 * 500 {
            let (id, message) = inbox.recv_timeout(Duration::from_secs(10)).unwrap();
            let i: &mut u16 = next.entry(id).or_default();
            assert_eq!(message[1..3], i.to_le_bytes());
            assert_eq!(message.len(), 20 + usize::from(*i % 180));
            assert_eq!(message[3..], pattern(message.len(), message[0])[3..]);
            *i += 1;
            if *i == 500 {
                inbox.send(id, &message[..1]).unwrap();
            }
        }
        assert_eq!(next.len(), 8);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
}

#[test]
fn events_tell_the_whole_story() {
    each("events", |url| {
        let mut inbox = inbox(url);
        assert_eq!(inbox.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        let started = Instant::now();
        let error = inbox.recv_timeout(Duration::from_millis(100)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(started.elapsed() < Duration::from_secs(1));

        let theirs = url.to_owned();
        let client = thread::spawn(move || {
            let mut channel = anyipc::connect(&theirs).unwrap();
            channel.send(b"question").unwrap();
            assert_eq!(channel.recv().unwrap(), b"answer");
            channel.send(&pattern(1 << 20, 3)).unwrap();
        });
        let Event::Connected(id) = inbox.next_event().unwrap() else { panic!("connected first") };
        assert_eq!(inbox.peers().collect::<Vec<_>>(), [id]);
        assert_eq!(inbox.peer(id).unwrap().pid, Some(std::process::id()));
        assert!(
            matches!(inbox.next_event().unwrap(), Event::Message(from, m) if from == id && m == b"question")
        );
        inbox.send(id, b"answer").unwrap();
        assert!(
            matches!(inbox.next_event().unwrap(), Event::Message(from, m) if from == id && m == pattern(1 << 20, 3))
        );
        let event = inbox.next_event_timeout(Duration::from_secs(2)).unwrap();
        assert!(
            matches!(&event, Event::Disconnected(from, why) if *from == id && why.kind() == ErrorKind::Closed),
            "{event:?}"
        );
        client.join().unwrap();
        assert_eq!(inbox.peers().count(), 0);
        assert_eq!(inbox.send(id, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert!(!inbox.disconnect(id));
    });
}

#[test]
fn a_loud_peer_does_not_drown_a_quiet_one() {
    each("fair", |url| {
        let mut inbox = inbox(url);
        let connect = |url: &str| {
            let url = url.to_owned();
            thread::spawn(move || anyipc::connect(&url).unwrap())
        };
        let (loud, quiet) = (connect(url), connect(url));
        for _ in 0..2 {
            assert!(matches!(inbox.next_event().unwrap(), Event::Connected(_)));
        }
        let (mut loud, mut quiet) = (loud.join().unwrap(), quiet.join().unwrap());
        while loud.try_send(b"loud").is_ok() {}
        quiet.send(b"quiet").unwrap();
        let before = (0..).find(|_| inbox.recv().unwrap().1 == b"quiet").unwrap();
        assert!(before <= 16, "{before} came before the quiet one");
    });
}

#[test]
fn one_can_be_thrown_out() {
    each("out", |url| {
        let mut inbox = inbox(url);
        let theirs = url.to_owned();
        let client = thread::spawn(move || anyipc::connect(&theirs).unwrap().recv().unwrap_err().kind());
        let Event::Connected(id) = inbox.next_event().unwrap() else { panic!("connected first") };
        assert!(inbox.disconnect(id));
        assert_eq!(client.join().unwrap(), ErrorKind::Closed);
        let endpoint = inbox.into_endpoint();
        assert_eq!(endpoint.address().to_string(), url);
        endpoint.close().unwrap();
    });
}

#[test]
fn a_sleeping_inbox_wakes_at_once() {
    each("wakes", |url| {
        let mut inbox = inbox(&format!("{url}?wait=block"));
        let theirs = url.to_owned();
        let client = thread::spawn(move || {
            let mut channel = anyipc::connect(&theirs).unwrap();
            let mut slowest = Duration::ZERO;
            for _ in 0..200 {
                let started = Instant::now();
                channel.send(b"ping").unwrap();
                channel.recv().unwrap();
                slowest = slowest.max(started.elapsed());
            }
            slowest
        });
        let started = Instant::now();
        for _ in 0..200 {
            let (id, message) = inbox.recv().unwrap();
            inbox.send(id, &message).unwrap();
        }
        // Were the wake-ups lost, each round would cost a slice of 100 ms.
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        client.join().unwrap();
    });
}

#[test]
fn what_a_peer_breaks_is_its_own() {
    each("limits", |url| {
        let mut inbox = inbox(url);
        let theirs = format!("{url}?max_message=8");
        let client = thread::spawn(move || {
            let mut channel = anyipc::connect(&theirs).unwrap();
            channel.send(b"x").unwrap();
            channel.recv().unwrap()
        });
        let (id, _) = inbox.recv().unwrap();
        assert_eq!(inbox.send(id, b"too long!").unwrap_err().kind(), ErrorKind::MessageTooLarge);
        inbox.send_timeout(id, b"fits", Duration::from_secs(1)).unwrap();
        assert_eq!(client.join().unwrap(), b"fits");
    });
}
