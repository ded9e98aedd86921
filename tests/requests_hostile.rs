//! Peers that break the protocol of requests, and peers that speak another one.
#![cfg(all(feature = "in-process", feature = "postcard"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyipc::request::{ClientEvent, Frame, HEAD, MAX_CALLS, ServerEvent};
use anyipc::{Channel, Client, Endpoint, ErrorKind, Message, Peer, TypedChannel};
use serde::{Deserialize, Serialize};
use support::channels::kind;
use support::random::Random;
use support::requests::{Ask, Asker, Raw, RawTold, Running, Told, service, start};
use support::schemes::each;
use support::watchdog::eventually;

/// A client's connection with nothing behind it, and what the server says of it.
struct Bad {
    channel: TypedChannel<Raw, RawTold>,
}

impl Bad {
    fn connect(url: &str) -> Self {
        Self { channel: anyipc::open(url).unwrap().connect_typed().unwrap() }
    }

    fn send(&mut self, frame: Frame, payload: &[u8]) {
        self.channel.send(&Raw([&frame.encode(), payload].concat())).unwrap();
    }
}

/// A server that tells why clients left.
fn watched(url: &str) -> (Running, Receiver<(ErrorKind, String)>) {
    let (told, left) = channel();
    let service = service();
    let server = anyipc::create(url).unwrap().serve(|_: &Peer, ask| service.answer(ask));
    let server = server.on_event(move |event| {
        if let ServerEvent::Left(_, error) = event {
            let _ = told.send((error.kind(), error.to_string()));
        }
    });
    (Running::new(server), left)
}

fn request(id: u32) -> Frame {
    Frame::Request { id, left: None, window: 0 }
}

/// `Ask::Begun`, as postcard writes it.
const BEGUN: &[u8] = &[4];

#[test]
fn a_client_that_breaks_the_protocol_is_told_and_left() {
    each("broken", |url| {
        let (_server, left) = watched(url);
        let good = Asker::connect(url).unwrap();
        good.call(&Ask::Begun).unwrap();
        let breaks = [
            ("shorter than its head", vec![1; HEAD - 1]),
            ("shorter than its head", Vec::new()),
            ("has the head", vec![0xff; 40]),
            ("what servers send", [&Frame::Response { id: 1 }.encode()[..], &[1]].concat()),
            ("what servers send", Frame::Fault.encode().to_vec()),
        ];
        for (text, message) in breaks {
            let mut bad = Bad::connect(url);
            bad.channel.send(&Raw(message)).unwrap();
            let (kind, why) = left.recv_timeout(Duration::from_secs(20)).unwrap();
            assert_eq!(kind, ErrorKind::Corrupt);
            assert!(why.contains(text), "{why}");
            // The fault, which is no value, and then the end.
            let codec = bad.channel.recv().unwrap_err();
            assert_eq!(codec.kind(), ErrorKind::Codec);
            let end = bad.channel.recv().unwrap_err().kind();
            assert!(matches!(end, ErrorKind::Closed | ErrorKind::PeerGone), "{end:?}");
        }
        good.call(&Ask::Begun).unwrap();
    });
}

#[test]
fn an_id_that_is_used_twice_ends_the_connection() {
    each("twice", |url| {
        let service = service();
        let (told, left) = channel();
        let server = anyipc::create(url).unwrap().serve(|_: &Peer, ask| service.answer(ask));
        let server = server.concurrency(1).on_event(move |event| {
            if let ServerEvent::Left(_, error) = event {
                let _ = told.send(error.to_string());
            }
        });
        let _server = Running::new(server);
        let mut bad = Bad::connect(url);
        bad.send(request(7), &[3, 1]);
        bad.send(request(7), BEGUN);
        let why = left.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(why.contains("call 7 was begun twice"), "{why}");
        service.release();
        let good = Asker::connect(url).unwrap();
        good.call(&Ask::Begun).unwrap();
    });
}

/// What one client may leave unread is bounded, and others do not notice.
#[test]
fn a_client_that_asks_and_never_reads_is_left_in_the_end() {
    each("unread", |url| {
        let (_server, left) = watched(url);
        let good = Asker::connect(url).unwrap();
        let mut bad = Bad::connect(url);
        let mut id = 0;
        let why = loop {
            let head = request(id).encode();
            id += 1;
            match bad.channel.send_timeout(&Raw([&head, BEGUN].concat()), Duration::from_secs(20)) {
                Ok(()) => {}
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone));
                    break left.recv_timeout(Duration::from_secs(20)).unwrap();
                }
            }
            if id.is_multiple_of(1000) {
                good.call_timeout(&Ask::Begun, Duration::from_secs(20)).unwrap();
            }
        };
        assert_eq!(why.0, ErrorKind::Corrupt, "{}", why.1);
        assert!(why.1.contains("takes no answers"), "{}", why.1);
        good.call(&Ask::Begun).unwrap();
    });
}

#[test]
fn a_request_that_is_no_value_fails_alone() {
    each("novalue", |url| {
        let (_server, left) = watched(url);
        let mut bad = Bad::connect(url);
        bad.send(request(1), &[99, 99]);
        bad.send(Frame::Cancel { id: 55 }, &[]);
        bad.send(Frame::Credit { id: 56, items: 3 }, &[]);
        bad.send(request(2), BEGUN);
        assert_eq!(kind(bad.channel.recv()), ErrorKind::Codec);
        assert_eq!(kind(bad.channel.recv()), ErrorKind::Codec);
        assert!(left.try_recv().is_err());
    });
}

#[test]
fn random_bytes_never_hurt_a_server() {
    each("random", |url| {
        let (_server, _left) = watched(url);
        let good = Asker::connect(url).unwrap();
        let mut random = Random::new(7);
        for _ in 0..60 {
            let mut bad = Bad::connect(url);
            for _ in 0..20 {
                let mut bytes: Vec<u8> =
                    (0..random.below(40)).map(|_| random.next() as u8).collect();
                // Mostly nearly right.
                if let Some(kind) = bytes.first_mut() {
                    *kind %= 10;
                }
                for byte in bytes.iter_mut().skip(1) {
                    *byte *= (random.below(3) == 0) as u8;
                }
                if bad.channel.send(&Raw(bytes)).is_err() {
                    break;
                }
            }
            good.call_timeout(&Ask::Begun, Duration::from_secs(20)).unwrap();
        }
    });
}

/// An owner that answers the first request with this.
fn answering(url: &str, answers: Vec<Vec<u8>>) -> Asker {
    let owner = anyipc::create(url).unwrap();
    thread::spawn(move || {
        let mut channel = accept_raw(&owner);
        let request = channel.recv().unwrap_err();
        // The bytes are no `RawTold`.
        assert_eq!(request.kind(), ErrorKind::Codec);
        for answer in answers {
            channel.send(&ServerRaw(Raw(answer))).unwrap();
        }
        while channel.recv().is_err_and(|error| error.kind() == ErrorKind::Codec) {}
    });
    Asker::connect(url).unwrap()
}

#[derive(Serialize)]
struct ServerRaw(Raw);

impl Message for ServerRaw {
    const NAME: &'static str = RawTold::NAME;
}

#[derive(Debug, Deserialize)]
struct RawAsk;

impl Message for RawAsk {
    const NAME: &'static str = Raw::NAME;
}

fn accept_raw(owner: &Endpoint) -> TypedChannel<ServerRaw, RawAsk> {
    owner.accept_typed().unwrap()
}

#[test]
fn a_server_that_breaks_the_protocol_is_named_and_left() {
    each("badserver", |url| {
        let head = |frame: Frame| frame.encode().to_vec();
        let answers = [
            ("not in flight", head(Frame::Response { id: 999 })),
            ("shorter than its head", vec![4; 3]),
            ("has the head", vec![200; 30]),
            ("which asked for none", head(Frame::End { id: 0 })),
            ("which asked for none", head(Frame::Item { id: 0 })),
            ("what clients send", head(Frame::Cancel { id: 0 })),
            ("so says the server", [&head(Frame::Fault)[..], b"nonsense"].concat()),
        ];
        for (text, answer) in answers {
            let url = support::schemes::another(url);
            let client = answering(&url, vec![answer]);
            let error = client.call_timeout(&Ask::Begun, Duration::from_secs(20)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{text}: {error}");
            assert!(error.to_string().contains(text), "{text}: {error}");
            assert!(!client.is_connected());
            assert_eq!(client.in_flight(), 0);
        }
    });
}

#[test]
fn more_items_than_there_is_room_for_end_the_connection() {
    each("flood", |url| {
        let item = Frame::Item { id: 0 }.encode().to_vec();
        let client = answering(url, vec![[&item[..], &[1, 0]].concat(); 100]);
        let mut items = client.stream_timeout(&Ask::Begun, Duration::from_secs(20)).unwrap();
        eventually("the items have come", || {
            let other = client.call_timeout(&Ask::Begun, Duration::from_millis(100));
            other.is_err_and(|error| error.kind() != ErrorKind::TimedOut)
        });
        let errors: Vec<_> = items.by_ref().filter_map(Result::err).collect();
        assert_eq!(errors[0].kind(), ErrorKind::Corrupt, "{}", errors[0]);
        assert!(errors[0].to_string().contains("without room"), "{}", errors[0]);
    });
}

#[test]
fn plain_channels_and_other_types_do_not_match() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Plain;
    impl Message for Plain {
        const NAME: &'static str = "test.Ask/1";
    }
    each("plain", |url| {
        let (_server, left) = watched(url);
        let opener = anyipc::open(url).unwrap();
        // The bare types of the request channel.
        assert_eq!(kind(opener.connect_typed::<Plain, Plain>()), ErrorKind::Mismatch);
        assert_eq!(kind(Client::<Told, Ask>::connect(url)), ErrorKind::Mismatch);
        // A channel without types is let in, and left at once.
        let mut plain: Channel = opener.connect().unwrap();
        let (reason, why) = left.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(reason, ErrorKind::Mismatch, "{why}");
        let end = plain.recv().unwrap_err().kind();
        assert!(matches!(end, ErrorKind::Closed | ErrorKind::PeerGone), "{end:?}");

        let url = support::schemes::another(url);
        let owner = anyipc::create(&url).unwrap();
        let accepting = thread::spawn(move || owner.accept().map(|_| owner));
        let error = Asker::connect(&url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{error}");
        assert!(error.to_string().contains("serves no requests"), "{error}");
        accepting.join().unwrap().unwrap();
    });
}

#[test]
fn what_is_beyond_the_limits_is_refused_and_not_executed() {
    each("beyond", |url| {
        let service = service();
        let _server = start(url, service, 1);
        let mut bad = Bad::connect(url);
        bad.send(request(0), &[3, 1]);
        for id in 1..MAX_CALLS as u32 + 10 {
            bad.send(request(id), &[0, 1, 0, 0]);
        }
        // Refused: ten of them, at once.
        for _ in 0..10 {
            assert_eq!(kind(bad.channel.recv_timeout(Duration::from_secs(20))), ErrorKind::Codec);
        }
        service.release();
        for _ in 0..MAX_CALLS {
            assert_eq!(kind(bad.channel.recv_timeout(Duration::from_secs(20))), ErrorKind::Codec);
        }
        assert_eq!(service.begun.load(SeqCst), MAX_CALLS as u64);
    });
}

#[test]
fn events_tell_of_a_server_that_leaves_and_comes_back() {
    each("events", |url| {
        let (told, events) = channel();
        let mut server = start(url, service(), 0);
        let client = Asker::builder(url)
            .on_event(move |event| {
                let _ = told.send(match event {
                    ClientEvent::Connected(_) => "connected".to_owned(),
                    ClientEvent::Lost(error) => format!("lost {:?}", error.kind()),
                    ClientEvent::Reconnecting => "reconnecting".to_owned(),
                    ClientEvent::Resent(count) => format!("resent {count}"),
                    _ => "other".to_owned(),
                });
            })
            .lazy()
            .unwrap();
        assert!(!client.is_connected());
        client.call(&Ask::Begun).unwrap();
        server.stop().unwrap();
        drop(server);
        let error = Asker::builder(format!("{url}?timeout=500ms")).connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoOwner, "{error}");
        let _server = start(url, service(), 0);
        // The end is noticed at the first call; what was not sent is sent to the next owner.
        if let Err(error) = client.call(&Ask::Begun) {
            assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone), "{error}");
        }
        client.call(&Ask::Begun).unwrap();
        let events: Vec<_> = events.try_iter().collect();
        assert_eq!(events.len(), 4, "{events:?}");
        assert_eq!(events[0], "connected");
        assert!(events[1].starts_with("lost"), "{events:?}");
        assert_eq!(events[2..], ["reconnecting", "connected"]);
    });
}
