//! An owner's inbox of values.
#![cfg(all(feature = "in-process", feature = "postcard"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyipc::{ErrorKind, Event, Message, PeerId, Select, TypedInbox};
use serde::{Deserialize, Serialize};
use support::schemes::each;

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Report {
    Error { line: u32, text: String },
    Done,
}

impl Message for Report {
    const NAME: &'static str = "test.Report/1";
}

fn inbox(url: &str) -> TypedInbox<str, Report> {
    TypedInbox::new(anyipc::create(url).unwrap()).unwrap()
}

fn error(line: u32) -> Report {
    Report::Error { line, text: "unused variable".into() }
}

fn connected(event: Event<Report>) -> PeerId {
    match event {
        Event::Connected(id) => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn many_typed_peers_are_heard_and_answered() {
    each("many", |url| {
        let mut inbox = inbox(url);
        let peers: Vec<_> = (0..4)
            .map(|peer| {
                let url = url.to_owned();
                thread::spawn(move || {
                    let mut channel = anyipc::connect_typed::<Report, String>(&url).unwrap();
                    for line in 0..50 {
                        channel.send(&error(peer * 50 + line)).unwrap();
                    }
                    channel.send(&Report::Done).unwrap();
                    assert_eq!(channel.recv().unwrap(), format!("peer {peer}"));
                })
            })
            .collect();
        let mut next = BTreeMap::new();
        let mut done = 0;
        while done < 4 {
            match inbox.recv_timeout(LONG).unwrap() {
                (id, Report::Done) => {
                    let last: u32 = next[&id];
                    assert_eq!(last % 50, 0);
                    inbox.send(id, &format!("peer {}", last / 50 - 1)).unwrap();
                    done += 1;
                }
                (id, report) => {
                    let Report::Error { line, .. } = report else { panic!("{report:?}") };
                    let expected = next.entry(id).or_insert(line / 50 * 50);
                    assert_eq!(line, *expected);
                    *expected += 1;
                }
            }
        }
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    });
}

#[test]
fn a_connector_with_other_types_is_turned_away_and_told() {
    each("other", |url| {
        let mut inbox = inbox(url);
        let theirs = url.to_owned();
        let peer = thread::spawn(move || {
            let opener = anyipc::open(&theirs).unwrap();
            let other = opener.connect_typed::<String, String>().unwrap_err();
            let mut channel = opener.connect_typed::<Report, String>().unwrap();
            channel.send_timeout(&Report::Done, LONG).unwrap();
            channel.close().unwrap();
            other
        });
        let id = connected(inbox.next_event_timeout(LONG).unwrap());
        assert_eq!(inbox.recv_timeout(LONG).unwrap(), (id, Report::Done));
        let other = peer.join().unwrap();
        assert_eq!(other.kind(), ErrorKind::Mismatch);
        assert!(other.to_string().contains("test.Report/1"), "{other}");
        assert_eq!(inbox.endpoint().rejections().count, 1);
    });
}

#[test]
fn a_peer_that_sends_something_else_goes_and_the_others_stay() {
    each("codec", |url| {
        let mut inbox = inbox(url);
        let (mine, theirs) = (url.to_owned(), url.to_owned());
        let honest = thread::spawn(move || anyipc::connect_typed::<Report, String>(mine).unwrap());
        let honest_id = connected(inbox.next_event_timeout(LONG).unwrap());
        let mut honest = honest.join().unwrap();
        // It names no types, so the handshake lets it in.
        let other = thread::spawn(move || anyipc::connect(theirs).unwrap());
        let other_id = connected(inbox.next_event_timeout(LONG).unwrap());
        let mut other = other.join().unwrap();

        other.send(&[1]).unwrap();
        other.send(&[7, 7, 7]).unwrap();
        other.send(&[1]).unwrap();
        assert_eq!(inbox.recv_timeout(LONG).unwrap(), (other_id, Report::Done));
        let Event::Disconnected(id, reason) = inbox.next_event_timeout(LONG).unwrap() else {
            panic!("the second message is no report");
        };
        assert_eq!((id, reason.kind()), (other_id, ErrorKind::Codec));
        let text = reason.to_string();
        assert!(text.contains("postcard cannot read") && text.contains(url), "{text}");
        // The message after it is not received, and the peer learns that it is not heard.
        assert_eq!(inbox.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(inbox.send(other_id, "why?").unwrap_err().kind(), ErrorKind::PeerGone);
        assert_eq!(other.recv_timeout(LONG).unwrap_err().kind(), ErrorKind::Closed);

        honest.send(&error(3)).unwrap();
        assert_eq!(inbox.recv_timeout(LONG).unwrap(), (honest_id, error(3)));
        inbox.try_send(honest_id, "thank you").unwrap();
        assert_eq!(honest.recv_timeout(LONG).unwrap(), "thank you");
        assert_eq!(inbox.peers().collect::<Vec<_>>(), [honest_id]);
    });
}

#[test]
fn recv_passes_over_peers_that_send_something_else() {
    each("over", |url| {
        let mut inbox = inbox(url);
        let theirs = url.to_owned();
        let peers = thread::spawn(move || {
            for _ in 0..20 {
                anyipc::connect(&theirs).unwrap().send(b"\xffno report").unwrap();
            }
            let mut channel = anyipc::connect_typed::<Report, String>(&theirs).unwrap();
            channel.send(&error(1)).unwrap();
            channel.recv_timeout(LONG).unwrap()
        });
        let (id, report) = inbox.recv_timeout(LONG).unwrap();
        assert_eq!(report, error(1));
        inbox.send_timeout(id, "done", LONG).unwrap();
        assert_eq!(peers.join().unwrap(), "done");
        let error = inbox.recv_timeout(Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        while inbox.peers().count() > 0 {
            let event = inbox.next_event_timeout(LONG).unwrap();
            assert!(!matches!(event, Event::Message(..)), "{event:?}");
        }
    });
}

#[test]
fn a_select_waits_for_a_typed_inbox() {
    each("select", |url| {
        let mut inbox = inbox(url);
        let mut select = Select::new().unwrap();
        let waited = select.try_wait(&mut [&mut inbox]);
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::WouldBlock);
        let theirs = url.to_owned();
        let peer = thread::spawn(move || {
            let mut channel = anyipc::connect(&theirs).unwrap();
            channel.send(b"\x01").unwrap();
            channel.send(b"\x02").unwrap();
            channel.recv_timeout(LONG).unwrap_err().kind()
        });
        let mut events = Vec::new();
        while events.len() < 3 {
            select.wait_timeout(&mut [&mut inbox], LONG).unwrap();
            events.push(inbox.try_next_event().unwrap());
        }
        let [Event::Connected(id), said, Event::Disconnected(gone, reason)] = &events[..] else {
            panic!("{events:?}");
        };
        assert!(matches!(said, Event::Message(from, Report::Done) if from == id), "{said:?}");
        assert_eq!(gone, id);
        assert_eq!(reason.kind(), ErrorKind::Codec);
        assert_eq!(peer.join().unwrap(), ErrorKind::Closed);
    });
}

#[test]
fn other_threads_answer_and_all_peers_are_told() {
    each("split", |url| {
        let (mut answers, mut inbox) = inbox(url).split();
        let peers: Vec<_> = (0..3)
            .map(|line| {
                let url = url.to_owned();
                thread::spawn(move || {
                    let mut channel = anyipc::connect_typed::<Report, String>(&url).unwrap();
                    channel.send(&error(line)).unwrap();
                    assert_eq!(channel.recv_timeout(LONG).unwrap(), format!("got {line}"));
                    assert_eq!(channel.recv_timeout(LONG).unwrap(), "now");
                    assert_eq!(channel.recv_timeout(LONG).unwrap(), "later");
                })
            })
            .collect();
        for _ in 0..3 {
            let (id, report) = inbox.recv_timeout(LONG).unwrap();
            let Report::Error { line, .. } = report else { panic!("{report:?}") };
            let mut answers = answers.clone();
            let answered = thread::spawn(move || answers.send(id, &format!("got {line}")));
            answered.join().unwrap().unwrap();
        }
        assert!(answers.broadcast("now").unwrap().is_empty());
        assert!(inbox.broadcast_timeout("later", LONG).unwrap().is_empty());
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    });
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_serves_typed_peers() {
    each("task", |url| {
        let url = url.to_owned();
        support::channels::alone().block_on(async move {
            let owner = anyipc::create(&url).unwrap();
            let mut inbox = anyipc::AsyncTypedInbox::<str, Report>::new(owner).unwrap();
            let serving = async {
                let id = connected(inbox.next_event().await.unwrap());
                assert_eq!(inbox.recv().await.unwrap(), (id, error(9)));
                inbox.send(id, "task").await.unwrap();
                let (mut answers, mut inbox) = inbox.split();
                answers.send(id, "other task").await.unwrap();
                assert!(answers.broadcast_timeout("all", LONG).await.unwrap().is_empty());
                let gone = inbox.next_event().await.unwrap();
                assert!(matches!(
                    &gone,
                    Event::Disconnected(who, why) if *who == id && why.kind() == ErrorKind::Codec
                ));
                inbox
            };
            let asking = async {
                let mut channel = anyipc::connect_async(&url).await.unwrap();
                let mut bytes = Vec::new();
                let codec = anyipc::codec::CodecId::Postcard;
                codec.encode(&error(9), &mut bytes).unwrap();
                channel.send(&bytes).await.unwrap();
                for expected in ["task", "other task", "all"] {
                    let said: String = codec.decode(&channel.recv().await.unwrap()).unwrap();
                    assert_eq!(said, expected);
                }
                channel.send(b"\xff").await.unwrap();
                channel
            };
            let (inbox, channel) = tokio::join!(serving, asking);
            drop(channel);
            let mut inbox = inbox.into_sync();
            assert_eq!(inbox.try_recv().unwrap_err().kind(), ErrorKind::WouldBlock);
            assert_eq!(inbox.peers().count(), 0);
        });
    });
}

#[test]
fn what_a_typed_inbox_cannot_be_made_of_is_refused() {
    let url = support::schemes::url("inproc", "refused");
    let owner = anyipc::create(&url).unwrap();
    let opener = anyipc::open(&url).unwrap();
    let error = TypedInbox::<(), Report>::new(opener).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WrongRole);
    drop(owner);
    if !cfg!(feature = "json") {
        let owner = anyipc::create(format!("{url}?codec=json")).unwrap();
        let error = TypedInbox::<(), Report>::new(owner).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
