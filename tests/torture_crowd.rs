//! Many at once, over each transport: eight processes send ten thousand paths each, fifty clients
//! ask at once.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Event, Inbox};
use support::process::{end_with_parent, serve, spawn_here};
use support::schemes::{self, url};
use support::watchdog::watchdog;

const SENDERS: usize = 8;
const PATHS: usize = 10_000;
const CLIENTS: usize = 50;
const QUESTIONS: usize = 100;

#[test]
fn child() {
    serve(&[("sender", sender), ("clients", clients)]);
}

/// A path that no other sender has, and no other message.
fn path(sender: usize, number: usize) -> String {
    let depth = "deeper/".repeat(number % 40);
    format!("C:\\Users\\Me\\{depth}sender {sender}\\file {number}.exw")
}

/// `sender URL <number>`: half of them at once, as a batch.
fn sender(words: &[&str]) {
    end_with_parent();
    let number: usize = words[1].parse().unwrap();
    let mut channel = anyipc::connect(words[0]).unwrap();
    let (single, batch) =
        (0..PATHS).map(|i| path(number, i)).partition::<Vec<_>, _>(|_| number.is_multiple_of(2));
    single.iter().for_each(|path| channel.send(path.as_bytes()).unwrap());
    assert_eq!(channel.send_many(&batch).unwrap() + single.len(), PATHS);
    channel.close().unwrap();
}

#[test]
fn eight_senders_are_all_heard_whole_and_in_order() {
    for scheme in schemes::between_processes() {
        let _watchdog = watchdog(&format!("the senders over {scheme}"), Duration::from_secs(120));
        let url = url(scheme, "paths");
        let mut inbox = Inbox::new(anyipc::create(&url).unwrap()).unwrap();
        let start = Instant::now();
        let mut senders: Vec<_> =
            (0..SENDERS).map(|number| spawn_here(&format!("sender {url} {number}"))).collect();
        // For each peer its sender, known by the first message, and the number of its messages.
        let (mut peers, mut ended) = (HashMap::new(), 0);
        while ended < SENDERS {
            match inbox.next_event().unwrap() {
                Event::Connected(_) => {}
                Event::Message(id, message) => {
                    let text = String::from_utf8(message).unwrap();
                    let (sender, count) = peers.entry(id).or_insert_with(|| {
                        (
                            (0..SENDERS)
                                .find(|number| text == path(*number, 0))
                                .expect("a first path"),
                            0,
                        )
                    });
                    assert_eq!(text, path(*sender, *count), "{scheme}");
                    *count += 1;
                }
                Event::Disconnected(_, reason) => {
                    assert_eq!(reason.kind(), ErrorKind::Closed, "{scheme}: {reason}");
                    ended += 1;
                }
            }
        }
        let took = start.elapsed();
        senders.iter_mut().for_each(|sender| sender.finish());
        let mut heard: Vec<_> = peers.into_values().collect();
        heard.sort_unstable();
        assert_eq!(
            heard,
            (0..SENDERS).map(|number| (number, PATHS)).collect::<Vec<_>>(),
            "{scheme}"
        );
        eprintln!("{scheme}: {SENDERS} × {PATHS} paths in {took:?}");
    }
}

/// `clients URL`: each on a thread of its own.
fn clients(words: &[&str]) {
    end_with_parent();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut channel = anyipc::connect(words[0]).unwrap();
                for question in 0..QUESTIONS {
                    let text = format!("{client}/{question}");
                    channel.send(text.as_bytes()).unwrap();
                    assert_eq!(channel.recv().unwrap(), text.as_bytes());
                }
            });
        }
    });
}

#[test]
fn fifty_clients_at_once_are_all_answered() {
    for scheme in schemes::between_processes() {
        let _watchdog = watchdog(&format!("the clients over {scheme}"), Duration::from_secs(60));
        let url = format!("{}?timeout=20s", url(scheme, "clients"));
        let mut inbox = Inbox::new(anyipc::create(&url).unwrap()).unwrap();
        let start = Instant::now();
        let mut all = spawn_here(&format!("clients {url}"));
        let (mut most, mut here, mut ended) = (0, 0, 0);
        while ended < CLIENTS {
            match inbox.next_event().unwrap() {
                Event::Connected(_) => here += 1,
                Event::Message(id, message) => inbox.send(id, &message).unwrap(),
                Event::Disconnected(_, reason) => {
                    assert_eq!(reason.kind(), ErrorKind::Closed, "{scheme}: {reason}");
                    (here, ended) = (here - 1, ended + 1);
                }
            }
            most = most.max(here);
        }
        all.finish();
        assert_eq!(inbox.endpoint().rejections().count, 0, "{:?}", inbox.endpoint().rejections());
        eprintln!("{scheme}: {CLIENTS} clients, {most} of them at once, in {:?}", start.elapsed());
    }
}
