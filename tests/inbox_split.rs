//! Inboxes that other threads answer for, and messages to all peers.
#![cfg(feature = "in-process")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyipc::{Channel, ErrorKind, Event, Inbox, PeerId};
use support::message::pattern;
use support::schemes::each;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// More than any channel holds.
static LONGER: [u8; 15 << 20] = [0; 15 << 20];

/// An inbox with this many peers, and their ends in order of their ids.
fn crowd(url: &str, peers: usize) -> (Inbox, Vec<(PeerId, Channel)>) {
    let mut inbox = Inbox::new(anyipc::create(url).unwrap()).unwrap();
    let peers = (0..peers).map(|_| {
        let url = url.to_owned();
        let connecting = thread::spawn(move || anyipc::connect(url).unwrap());
        let Event::Connected(id) = inbox.next_event_timeout(LONG).unwrap() else {
            panic!("no peer says anything")
        };
        (id, connecting.join().unwrap())
    });
    let peers = peers.collect();
    (inbox, peers)
}

fn kinds(failed: Vec<(PeerId, anyipc::Error)>) -> Vec<(PeerId, ErrorKind)> {
    failed.into_iter().map(|(peer, error)| (peer, error.kind())).collect()
}

/// Fills the channel of one peer.
fn fill(inbox: &mut Inbox, peer: PeerId) {
    while inbox.try_send(peer, &[7; 1000]).is_ok() {}
    while inbox.try_send(peer, b"").is_ok() {}
}

#[test]
fn other_threads_answer_while_the_inbox_receives() {
    each("answer", |url| {
        let (inbox, peers) = crowd(url, 4);
        let (answers, mut inbox) = inbox.split();
        let clients: Vec<_> = peers
            .into_iter()
            .map(|(_, mut channel)| {
                thread::spawn(move || {
                    for len in [0usize, 1, 5000, 100_000, 400_000] {
                        let question = pattern(len, 9);
                        channel.send(&question).unwrap();
                        assert!(channel.recv_timeout(LONG).unwrap() == question);
                    }
                })
            })
            .collect();
        let mut workers: Vec<JoinHandle<()>> = Vec::new();
        for _ in 0..4 * 5 {
            let (peer, question) = inbox.recv_timeout(LONG).unwrap();
            let answers = answers.clone();
            workers.push(thread::spawn(move || answers.send(peer, &question).unwrap()));
        }
        workers.into_iter().chain(clients).for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn messages_of_many_threads_to_one_peer_arrive_whole() {
    each("whole", |url| {
        let (inbox, mut peers) = crowd(url, 1);
        let (peer, mut channel) = peers.remove(0);
        let (answers, mut inbox) = inbox.split();
        const LENGTHS: [usize; 4] = [3, 1000, 70_000, 300_000];
        let senders: Vec<_> = (0..4u8)
            .map(|seed| {
                let answers = answers.clone();
                thread::spawn(move || {
                    for round in 0..12 {
                        let len = LENGTHS[(round + seed as usize) % 4];
                        answers.send_timeout(peer, &pattern(len, seed), LONG).unwrap();
                    }
                })
            })
            .collect();
        // The inbox sends, too.
        let own = thread::spawn(move || {
            (0..12).for_each(|_| inbox.send(peer, &pattern(1000, 4)).unwrap());
            inbox
        });
        let mut counts = [0; 5];
        for _ in 0..5 * 12 {
            let message = channel.recv_timeout(LONG).unwrap();
            let seed = (0..5u8).find(|seed| message == pattern(message.len(), *seed));
            counts[usize::from(seed.unwrap())] += 1;
        }
        assert_eq!(counts, [12; 5]);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        drop(own.join().unwrap());
    });
}

#[test]
fn a_peer_without_room_delays_only_those_that_send_to_it() {
    each("room", |url| {
        let (mut inbox, mut peers) = crowd(url, 2);
        let (quick, mut quick_channel) = peers.remove(1);
        let (full, full_channel) = peers.remove(0);
        fill(&mut inbox, full);
        let (answers, mut inbox) = inbox.split();
        let blocked: Vec<_> = (0..3)
            .map(|_| {
                let answers = answers.clone();
                thread::spawn(move || answers.send(full, &LONGER).unwrap_err().kind())
            })
            .collect();
        answers.send(quick, b"quick").unwrap();
        assert_eq!(quick_channel.recv_timeout(LONG).unwrap(), b"quick");
        let late = answers.send_timeout(full, &LONGER, SHORT).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert_eq!(answers.try_send(full, b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(inbox.try_send(full, b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        // The end of the connection ends what waits to send.
        let started = Instant::now();
        assert!(inbox.disconnect(full));
        blocked.into_iter().for_each(|one| assert_eq!(one.join().unwrap(), ErrorKind::PeerGone));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!(answers.send(full, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(answers.peers(), [quick]);
        assert!(answers.peer(full).is_none() && answers.peer(quick).is_some());
        drop((inbox, full_channel));
        assert_eq!(answers.send(quick, b"x").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(quick_channel.recv_timeout(LONG).unwrap_err().kind(), ErrorKind::Closed);
    });
}

#[test]
fn turns_that_time_out_pass_on_what_woke_them() {
    each("turns", |url| {
        let (inbox, mut peers) = crowd(url, 1);
        let (peer, mut channel) = peers.remove(0);
        let (answers, _inbox) = inbox.split();
        let over = Arc::new(AtomicBool::new(false));
        let impatient: Vec<_> = (0..3u32)
            .map(|seed| {
                let (answers, over) = (answers.clone(), Arc::clone(&over));
                thread::spawn(move || {
                    let mut sent = 0u32;
                    while !over.load(Ordering::Relaxed) {
                        let limit = Duration::from_micros(u64::from(50 * (seed + sent % 7)));
                        match answers.send_timeout(peer, &[1; 30_000], limit) {
                            Ok(()) => sent += 1,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
                        }
                    }
                })
            })
            .collect();
        let patient = thread::spawn({
            let answers = answers.clone();
            move || (0..100).for_each(|_| answers.send_timeout(peer, b"patient", LONG).unwrap())
        });
        let mut patient_ones = 0;
        while patient_ones < 100 {
            match &channel.recv_timeout(LONG).unwrap()[..] {
                b"patient" => patient_ones += 1,
                other => assert!(other == [1; 30_000]),
            }
        }
        over.store(true, Ordering::Relaxed);
        impatient.into_iter().chain([patient]).for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_broadcast_reaches_all_that_have_room_and_names_the_others() {
    each("broadcast", |url| {
        for shared in [false, true] {
            let url = support::schemes::another(url);
            let (mut inbox, mut peers) = crowd(&url, 4);
            fill(&mut inbox, peers[1].0);
            let gone = peers.remove(3).0;
            // Its end is known, but not received from the inbox yet: only a send finds it.
            support::watchdog::eventually("the end of a peer is seen", || {
                inbox.try_send(gone, b"first").is_err()
            });
            let answers = match shared {
                true => {
                    let (answers, split) = inbox.split();
                    inbox = split;
                    Some(answers)
                }
                false => None,
            };
            let failed = match &answers {
                Some(answers) => answers.broadcast(b"all"),
                None => inbox.broadcast(b"all"),
            };
            // Over TCP the full one may have found room meanwhile.
            let expected = [(peers[1].0, ErrorKind::WouldBlock), (gone, ErrorKind::Closed)];
            let failed = kinds(failed);
            assert!(failed == expected || failed == expected[1..], "{failed:?}");
            for place in [0, 2] {
                assert_eq!(peers[place].1.recv_timeout(LONG).unwrap(), b"all");
            }
            let failed = match &answers {
                Some(answers) => answers.broadcast_timeout(&LONGER, SHORT),
                None => inbox.broadcast_timeout(&LONGER, SHORT),
            };
            let mut expected: Vec<_> =
                peers.iter().map(|(peer, _)| (*peer, ErrorKind::TimedOut)).collect();
            expected.push((gone, ErrorKind::Closed));
            assert_eq!(kinds(failed), expected);
            // Longer than any channel: it needs peers that receive. One does so when the others
            // are done.
            let (done, both_done) = std::sync::mpsc::channel();
            let mut both_done = Some(both_done);
            let readers: Vec<_> = peers
                .into_iter()
                .enumerate()
                .map(|(place, (_, mut channel))| {
                    let (done, late) = (done.clone(), both_done.take_if(|_| place == 1));
                    thread::spawn(move || {
                        if let Some(late) = late {
                            (0..2).for_each(|_| late.recv_timeout(LONG).unwrap());
                        }
                        // Nothing of the message before, which was given up.
                        while channel.recv_timeout(LONG).unwrap() != LONGER {
                            assert_eq!(place, 1);
                        }
                        let _ = done.send(());
                        channel
                    })
                })
                .collect();
            let failed = match &answers {
                Some(answers) => answers.broadcast_timeout(&LONGER, LONG),
                None => inbox.broadcast_timeout(&LONGER, LONG),
            };
            assert!(failed.iter().all(|(peer, _)| *peer == gone), "{failed:?}");
            readers.into_iter().for_each(|one| drop(one.join().unwrap()));
        }
    });
}
