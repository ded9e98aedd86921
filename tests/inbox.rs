//! The owner's side of many connections.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::transport::{
    Armed, Attempt, Capabilities, Endpoint, Key, Name, Operation, Options, Peer, Role, Transport,
    Waiter,
};
use anyipc::{Error, ErrorKind, Event, Inbox, Registry, Result};
use anyipc_in_process::{InProcess, InProcessEndpoint};
use support::message::pattern;
use support::schemes::{can, each, url};
use support::watchdog::watched;

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
        // Over TCP, for example, the peer's process is unknown.
        let told =
            !can(url, Capabilities::CROSS_PROCESS) || can(url, Capabilities::PEER_CREDENTIALS);
        assert_eq!(inbox.peer(id).unwrap().pid, told.then(std::process::id));
        assert!(matches!(inbox.next_event().unwrap(),
                Event::Message(from, m) if from == id && m == b"question"));
        inbox.send(id, b"answer").unwrap();
        assert!(matches!(inbox.next_event().unwrap(),
                Event::Message(from, m) if from == id && m == pattern(1 << 20, 3)));
        let event = inbox.next_event_timeout(Duration::from_secs(2)).unwrap();
        assert!(
            matches!(&event, Event::Disconnected(from, why)
                if *from == id && why.kind() == ErrorKind::Closed),
            "{event:?}"
        );
        client.join().unwrap();
        assert_eq!(inbox.peers().count(), 0);
        assert_eq!(inbox.send(id, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert!(!inbox.disconnect(id));
    });
}

/// Long enough that few of them fill a channel.
const LOUD: [u8; 1000] = [7; 1000];

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
        while loud.try_send(&LOUD).is_ok() {}
        quiet.send(b"quiet").unwrap();
        let before = (0..).find(|_| inbox.recv().unwrap().1 == b"quiet").unwrap();
        assert!(before <= 16, "{before} came before the quiet one");
    });
}

/// Messages are always waiting, so the inbox looks at its listener only now and then.
#[test]
fn a_loud_peer_keeps_no_connector_outside() {
    each("listener", |url| {
        let mut inbox = inbox(url);
        let connect = |url: &str| {
            let url = url.to_owned();
            thread::spawn(move || anyipc::connect(&url).unwrap())
        };
        let loud = connect(url);
        assert!(matches!(inbox.next_event().unwrap(), Event::Connected(_)));
        let mut loud = loud.join().unwrap();
        for polls in [false, true] {
            let late = connect(url);
            loop {
                while loud.try_send(&LOUD).is_ok() {}
                match if polls { inbox.try_next_event() } else { inbox.next_event() } {
                    Ok(Event::Connected(_)) => break,
                    Ok(Event::Message(..)) => {}
                    Err(error) if error.is_would_block() => {}
                    other => panic!("{other:?}"),
                }
            }
            late.join().unwrap();
            while inbox.peers().count() > 1 {
                loud.try_send(b"loud").ok();
                inbox.next_event().unwrap();
            }
        }
    });
}

#[test]
fn one_can_be_thrown_out() {
    each("out", |url| {
        let mut inbox = inbox(url);
        let theirs = url.to_owned();
        let client =
            thread::spawn(move || anyipc::connect(&theirs).unwrap().recv().unwrap_err().kind());
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

#[test]
fn a_crowd_of_connectors_starves_no_peer() {
    each("crowd", |url| {
        let mut inbox = inbox(url);
        let stop = Arc::new(AtomicBool::new(false));
        let steady = thread::spawn({
            let (url, stop) = (url.to_owned(), stop.clone());
            move || {
                let mut channel = anyipc::connect(&url).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    if channel.send_timeout(b"steady", Duration::from_millis(10)).is_ok() {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        });
        let first = inbox.recv_timeout(Duration::from_secs(10)).unwrap().0;
        let crowd: Vec<_> = (0..6)
            .map(|_| {
                let (url, stop) = (url.to_owned(), stop.clone());
                thread::spawn(move || {
                    let opener = anyipc::open(&url).unwrap();
                    while !stop.load(Ordering::Relaxed) {
                        drop(opener.connect_timeout(Duration::from_millis(100)));
                    }
                })
            })
            .collect();
        let ends = Instant::now() + Duration::from_secs(1);
        let (mut got, mut most) = (0, 0);
        while Instant::now() < ends {
            let started = Instant::now();
            match inbox.recv_timeout(Duration::from_millis(20)) {
                Ok((id, message)) => {
                    assert_eq!((id, &message[..]), (first, &b"steady"[..]));
                    got += 1;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
            assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
            most = most.max(inbox.peers().count());
        }
        stop.store(true, Ordering::Relaxed);
        assert!(got >= 10, "{got} of the steady one");
        assert!(most < 500, "{most} were kept");
        // Their attempts end with the inbox at the latest.
        drop(inbox);
        crowd.into_iter().for_each(|one| one.join().unwrap());
        steady.join().unwrap();
    });
}

/// The in-process transport with owners that accept one channel and then fail.
#[derive(Debug)]
struct Stuck;

#[derive(Debug)]
struct StuckEndpoint {
    inner: InProcessEndpoint,
    accepted: AtomicU32,
}

impl Transport for Stuck {
    type Endpoint = StuckEndpoint;

    fn schemes(&self) -> &'static [&'static str] {
        &["stuck"]
    }
    fn keys(&self) -> &'static [Key] {
        InProcess.keys()
    }
    fn capabilities(&self) -> Capabilities {
        InProcess.capabilities()
    }
    fn create(&self, name: &Name, options: &Options) -> Result<StuckEndpoint> {
        Ok(StuckEndpoint { inner: InProcess.create(name, options)?, accepted: AtomicU32::new(0) })
    }
    fn open(&self, name: &Name, options: &Options) -> Result<StuckEndpoint> {
        Ok(StuckEndpoint { inner: InProcess.open(name, options)?, accepted: AtomicU32::new(0) })
    }
    fn alloc_lpsz(&self, _: &Name, _: &[u8], _: &Options) -> Result<StuckEndpoint> {
        Err(Error::new(Operation::AllocLpsz, ErrorKind::Unsupported))
    }
    fn close(&self, endpoint: StuckEndpoint) -> Result<()> {
        InProcess.close(endpoint.inner)
    }
}

impl Endpoint for StuckEndpoint {
    type Sender = anyipc_in_process::InProcessSender;
    type Receiver = anyipc_in_process::InProcessReceiver;

    fn role(&self) -> Role {
        self.inner.role()
    }
    fn try_connect(&self, attempt: &mut Attempt) -> Result<(Self::Sender, Self::Receiver, Peer)> {
        if self.role() == Role::Opener {
            return self.inner.try_connect(attempt);
        }
        if self.accepted.load(Ordering::Relaxed) > 0 {
            return Err(
                Error::new(Operation::Accept, ErrorKind::Io).because("no descriptor is left")
            );
        }
        let accepted = self.inner.try_connect(attempt)?;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(accepted)
    }
    fn arm(&self, attempt: &mut Attempt, waiter: Waiter<'_>) -> Result<Armed> {
        let armed = self.inner.arm(attempt, waiter)?;
        // A connector waits all the time.
        Ok(if self.accepted.load(Ordering::Relaxed) > 0 { Armed::Ready } else { armed })
    }
    fn read_lpsz(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        self.inner.read_lpsz(read)
    }
}

#[test]
fn an_owner_that_cannot_accept_serves_its_peers() {
    watched("stuck", || {
        let url = url("stuck", "accept");
        let registry = Registry::empty().with(Stuck);
        let mut inbox = Inbox::new(registry.create(&url).unwrap()).unwrap();
        let client = thread::spawn(move || {
            let mut channel = registry.connect(&url).unwrap();
            (0..200u8).for_each(|i| channel.send(&[i]).unwrap());
            channel
        });
        let started = Instant::now();
        let (mut next, mut faults) = (0, 0);
        while next < 200 {
            match inbox.recv_timeout(Duration::from_secs(10)) {
                Ok((_, message)) => {
                    assert_eq!(message, [next]);
                    next += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Io);
                    faults += 1;
                }
            }
        }
        let channel = client.join().unwrap();
        while started.elapsed() < Duration::from_millis(300) {
            match inbox.try_recv().unwrap_err().kind() {
                ErrorKind::Io => faults += 1,
                other => assert_eq!(other, ErrorKind::WouldBlock),
            }
        }
        while let Err(error) = inbox.recv_timeout(Duration::from_millis(30)) {
            if error.kind() == ErrorKind::TimedOut {
                break;
            }
            assert_eq!(error.kind(), ErrorKind::Io);
            faults += 1;
        }
        let most = started.elapsed().as_millis() / 100 + 1;
        assert!(faults >= 1 && faults <= most, "told {faults} times, {most} at most were expected");
        drop(channel);
    });
}

#[test]
fn a_panic_in_the_closure_silences_nobody() {
    each("panic", |url| {
        let mut inbox = inbox(url);
        let theirs = url.to_owned();
        let client = thread::spawn(move || {
            let mut channel = anyipc::connect(&theirs).unwrap();
            (0..3u8).for_each(|i| channel.send(&[i]).unwrap());
            channel.recv().unwrap()
        });
        let (id, message) = inbox.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(message, [0]);
        let read =
            std::panic::AssertUnwindSafe(|| inbox.recv_with(|_, _| panic!("of the closure")));
        assert!(std::panic::catch_unwind(read).is_err());
        let (again, message) = inbox.recv_timeout(Duration::from_secs(1)).unwrap();
        assert_eq!(
            (again, &message[..]),
            (id, &[2][..]),
            "the message of the panicking closure is used up"
        );
        inbox.send(id, b"done").unwrap();
        assert_eq!(client.join().unwrap(), b"done");
    });
}

/// "I have said all, now answer."
#[test]
fn a_peer_that_has_ended_its_sending_half_gets_its_answers() {
    each("half", |url| {
        let owner = anyipc::create(url).unwrap();
        let address = owner.address().clone();
        let client = thread::spawn(move || {
            let (mut sender, mut receiver) = anyipc::connect(address).unwrap().split();
            sender.send(b"question").unwrap();
            sender.close().unwrap();
            for _ in 0..3 {
                assert_eq!(receiver.recv().unwrap(), b"answer");
            }
        });
        let mut inbox = Inbox::new(owner).unwrap();
        let id = loop {
            match inbox.next_event_timeout(Duration::from_secs(20)).unwrap() {
                Event::Connected(_) | Event::Message(..) => {}
                Event::Disconnected(id, why) => {
                    assert_eq!(why.kind(), ErrorKind::Closed);
                    break id;
                }
            }
        };
        assert_eq!(inbox.peers().count(), 0, "it sends no more");
        for _ in 0..3 {
            // Longer than those that were heard out are left alone.
            assert!(inbox.recv_timeout(Duration::from_millis(120)).is_err());
            inbox.send(id, b"answer").unwrap();
        }
        client.join().unwrap();
        assert_eq!(inbox.send(id, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert!(!inbox.disconnect(id));
    });
}

/// The peers of a program may ask several times before they look for an answer.
#[test]
fn three_answers_of_60_kilobytes_find_room_by_default() {
    each("answers", |url| {
        let mut inbox = inbox(url);
        let address = inbox.endpoint().address().to_string();
        let (told, answered) = std::sync::mpsc::channel();
        let asker = thread::spawn(move || {
            let mut channel = anyipc::connect(address).unwrap();
            for _ in 0..3 {
                channel.send(b"please").unwrap();
            }
            // Nothing is received before everything was answered.
            answered.recv().unwrap();
            for serial in 0..3 {
                assert_eq!(channel.recv().unwrap(), vec![serial; 60_000]);
            }
        });
        let mut serial = 0;
        while serial < 3 {
            if let Event::Message(id, _) = inbox.next_event().unwrap() {
                inbox.try_send(id, &[serial; 60_000]).unwrap();
                serial += 1;
            }
        }
        told.send(()).unwrap();
        asker.join().unwrap();
    });
}
