//! One wait over things of different transports.
#![cfg(all(any(target_os = "linux", windows), feature = "in-process", feature = "socket"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Acceptor, Channel, Endpoint, ErrorKind, Event, Inbox, Select, Selectable};
use support::schemes::{self, url};
use support::watchdog::watched;

const SHORT: Duration = Duration::from_millis(100);
/// Longer than a busy system keeps a thread from running.
const LONG: Duration = Duration::from_secs(5);

/// What this thread has used so far.
#[cfg(unix)]
fn processor_time() -> Duration {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Not asked for here.
#[cfg(windows)]
fn processor_time() -> Duration {
    Duration::ZERO
}

fn addresses(tag: &str) -> Vec<String> {
    schemes::all().iter().map(|scheme| url(scheme, tag)).collect()
}

/// A channel of each transport: our ends, and the others'.
fn channels(what: &str) -> (Vec<Channel>, Vec<Channel>) {
    addresses(what)
        .iter()
        .map(|url| {
            let owner = anyipc::create(url).unwrap();
            let address = owner.address().clone();
            let connecting = thread::spawn(move || anyipc::connect(address).unwrap());
            (owner.accept().unwrap(), connecting.join().unwrap())
        })
        .unzip()
}

fn members<T: Selectable>(all: &mut [T]) -> Vec<&mut dyn Selectable> {
    all.iter_mut().map(|one| one as &mut dyn Selectable).collect()
}

#[test]
fn each_member_is_heard() {
    watched("members", || {
        let (mut ours, mut theirs) = channels("heard");
        let mut select = Select::new().unwrap();
        assert_eq!(
            select.try_wait(&mut members(&mut ours)).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        for round in 0..50u8 {
            for index in (0..theirs.len()).rev() {
                // Longer than any frame now and then.
                let len = if round % 10 == 9 { 1_000_000 } else { usize::from(round) };
                let message = vec![round; len];
                let mut sender = theirs.remove(index);
                let sending = thread::spawn(move || {
                    sender.send(&message).unwrap();
                    sender
                });
                assert_eq!(select.wait(&mut members(&mut ours)).unwrap(), index);
                assert_eq!(ours[index].try_recv().unwrap(), vec![round; len]);
                theirs.insert(index, sending.join().unwrap());
            }
        }
        assert_eq!(
            select.try_wait(&mut members(&mut ours)).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

#[test]
fn what_was_found_is_kept_for_every_way_to_receive() {
    watched("receiving", || {
        let (mut ours, mut theirs) = channels("kept");
        let mut select = Select::new().unwrap();
        for (ours, theirs) in ours.iter_mut().zip(&mut theirs) {
            for message in ["one", "two", "three", "four"] {
                theirs.send(message.as_bytes()).unwrap();
            }
            let mut buffer = Vec::new();
            let mut found = |ours: &mut Channel| assert_eq!(select.wait(&mut [ours]).unwrap(), 0);
            found(ours);
            // Asking twice changes nothing.
            found(ours);
            assert_eq!(ours.recv_into(&mut buffer).unwrap(), 3);
            found(ours);
            assert_eq!(ours.recv_with(<[u8]>::to_vec).unwrap(), b"two");
            found(ours);
            assert_eq!(ours.recv_timeout(SHORT).unwrap(), b"three");
            assert_eq!(ours.recv().unwrap(), b"four");
            assert_eq!(ours.stats().messages_received, 4);
        }
    });
}

#[test]
fn acceptors_and_ends_are_found() {
    watched("acceptors", || {
        let owners: Vec<Endpoint> =
            addresses("acceptors").iter().map(|url| anyipc::create(url).unwrap()).collect();
        let mut acceptors: Vec<Acceptor<'_>> =
            owners.iter().map(|owner| owner.acceptor().unwrap()).collect();
        let mut select = Select::new().unwrap();
        for index in 0..acceptors.len() {
            let address = owners[index].address().clone();
            let connecting = thread::spawn(move || anyipc::connect(address).unwrap());
            assert_eq!(select.wait(&mut members(&mut acceptors)).unwrap(), index);
            let mut channel = acceptors[index].try_accept().unwrap();
            // An acceptor and a channel in one wait: the end of the channel is an event.
            drop(connecting.join().unwrap());
            assert_eq!(select.wait(&mut [&mut acceptors[index], &mut channel]).unwrap(), 1);
            assert_eq!(channel.try_recv().unwrap_err().kind(), ErrorKind::Closed);
        }
    });
}

#[test]
fn an_inbox_is_a_member_too() {
    watched("inbox", || {
        let (mut ours, mut theirs) = channels("beside");
        let mut select = Select::new().unwrap();
        for url in addresses("inbox") {
            let mut inbox = Inbox::new(anyipc::create(&url).unwrap()).unwrap();
            let address = inbox.endpoint().address().clone();
            let client = thread::spawn(move || {
                let mut channel = anyipc::connect(address).unwrap();
                channel.send(b"hello").unwrap();
                channel.recv().unwrap()
            });
            let peer = loop {
                assert_eq!(select.wait(&mut [&mut ours[0], &mut inbox]).unwrap(), 1, "{url}");
                if let Event::Message(peer, message) = inbox.try_next_event().unwrap() {
                    assert_eq!(message, b"hello");
                    break peer;
                }
            };
            theirs[0].send(b"now").unwrap();
            assert_eq!(select.wait(&mut [&mut ours[0], &mut inbox]).unwrap(), 0, "{url}");
            assert_eq!(ours[0].try_recv().unwrap(), b"now");
            inbox.send(peer, b"bye").unwrap();
            assert_eq!(client.join().unwrap(), b"bye");
            assert_eq!(select.wait(&mut [&mut ours[0], &mut inbox]).unwrap(), 1, "{url}");
            assert!(matches!(inbox.try_next_event().unwrap(), Event::Disconnected(..)));
        }
    });
}

#[test]
fn a_noisy_member_starves_no_other() {
    watched("fairness", || {
        let (mut ours, mut theirs) = channels("noisy");
        let mut select = Select::new().unwrap();
        for theirs in &mut theirs {
            for _ in 0..20 {
                theirs.send(b"x").unwrap();
            }
        }
        let mut heard = vec![0; ours.len()];
        for _ in 0..20 * ours.len() {
            let index = select.wait(&mut members(&mut ours)).unwrap();
            ours[index].try_recv().unwrap();
            heard[index] += 1;
            let (least, most) = (heard.iter().min().unwrap(), heard.iter().max().unwrap());
            assert!(most - least <= 1, "{heard:?}");
        }
    });
}

#[test]
fn a_wait_has_a_timeout_and_costs_nothing() {
    watched("idle", || {
        let (mut ours, _theirs) = channels("idle");
        let owners: Vec<Endpoint> =
            addresses("idle.acceptors").iter().map(|url| anyipc::create(url).unwrap()).collect();
        let mut acceptors: Vec<Acceptor<'_>> =
            owners.iter().map(|owner| owner.acceptor().unwrap()).collect();
        let mut all = members(&mut ours);
        all.extend(members(&mut acceptors));
        let mut select = Select::new().unwrap();
        let start = Instant::now();
        assert_eq!(select.wait_timeout(&mut all, SHORT).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!((SHORT..LONG).contains(&start.elapsed()), "{:?}", start.elapsed());
        let before = processor_time();
        let idle = Duration::from_secs(2);
        assert_eq!(select.wait_timeout(&mut all, idle).unwrap_err().kind(), ErrorKind::TimedOut);
        let used = processor_time() - before;
        assert!(used < idle / 100, "{used:?} of processor time in {idle:?}");
        assert_eq!(select.wait(&mut []).unwrap_err().kind(), ErrorKind::InvalidOption);
    });
}
