//! One owner and many clients, in processes of their own: a new owner after a dead one, many
//! senders at once, many clients at once.
#![cfg(feature = "shared-memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyipc::{Channel, Endpoint, Error, ErrorKind, Event, Inbox, Result};
use support::place::{Scratch, files};
use support::process::{Process, end_with_parent, hear, say, serve, spawn};
use support::random::mix;
use support::schemes::unique;
use support::watchdog::watchdog;

const SOON: Duration = Duration::from_secs(1);

#[test]
fn child() {
    serve(&[
        ("actor", actor),
        ("collector", collector),
        ("sender", sender),
        ("caller", caller),
        ("echo", echo),
    ]);
}

// --- Owners that follow each other.

/// Obeys one command per line: `create URL`, `open URL`, `connect`, `call`, `recv`, `serve`.
fn actor(_words: &[&str]) {
    let (mut endpoint, mut channel): (Option<Endpoint>, Option<Channel>) = (None, None);
    while let Some(line) = hear() {
        let (command, url) = line.split_once(' ').unwrap_or((&line, ""));
        let done: Result<()> = match command {
            "create" => anyipc::create(url).map(|made| endpoint = Some(made)),
            "open" => anyipc::open(url).map(|opened| endpoint = Some(opened)),
            "connect" => endpoint.as_ref().unwrap().connect().map(|made| channel = Some(made)),
            "call" => call(channel.as_mut().unwrap(), b"question"),
            "recv" => channel.as_mut().unwrap().recv().map(drop),
            "serve" => {
                say("ok");
                echo_forever(endpoint.take().unwrap())
            }
            _ => panic!("no such command: {line}"),
        };
        match done {
            Ok(()) => say("ok"),
            Err(error) => say(&describe(&error)),
        }
    }
}

fn describe(error: &Error) -> String {
    format!("{} {}", error.kind().as_str(), error.code().map_or(0, |code| code.value()))
}

fn call(channel: &mut Channel, message: &[u8]) -> Result<()> {
    channel.send(message)?;
    assert_eq!(channel.recv()?, message);
    Ok(())
}

fn echo_forever(owner: Endpoint) -> ! {
    let mut inbox = Inbox::new(owner).unwrap();
    loop {
        let (from, message) = inbox.recv().unwrap();
        // The client may be gone by now.
        let _ = inbox.send(from, &message);
    }
}

fn actor_in(place: &Scratch) -> Process {
    spawn(place.path(), "actor")
}

/// Gives a command, and the answer back.
fn tell(actor: &mut Process, command: &str) -> String {
    actor.say(command);
    actor.hear()
}

#[track_caller]
fn ok(actor: &mut Process, command: &str) {
    assert_eq!(tell(actor, command), "ok", "{command}");
}

#[test]
fn a_killed_owner_is_followed_at_once_and_its_clients_connect_again() {
    let _watchdog = watchdog("owners", Duration::from_secs(120));
    let place = Scratch::new("owners");
    let url = "shm://owners";
    let (mut owner, mut spare) = (actor_in(&place), actor_in(&place));
    ok(&mut owner, &format!("create {url}"));
    ok(&mut owner, "serve");
    let mut clients: Vec<Process> = (0..4).map(|_| actor_in(&place)).collect();
    for client in &mut clients {
        ok(client, &format!("open {url}"));
        ok(client, "connect");
        ok(client, "call");
    }
    for generation in 0..20 {
        // One is followed while some of its clients wait for an answer that never comes.
        let (waiting, others) = clients.split_at_mut(2);
        for client in &mut *waiting {
            client.say("recv");
        }
        let mut next = actor_in(&place);
        let killed = Instant::now();
        owner.kill();
        owner.wait();
        // Of two that want the name, one gets it.
        spare.say(&format!("create {url}"));
        next.say(&format!("create {url}"));
        let (a, b) = (spare.hear(), next.hear());
        assert!(killed.elapsed() < SOON, "the next owner took {:?}", killed.elapsed());
        let (winner, loser) = match (a.as_str(), b.as_str()) {
            ("ok", "exists -1") => (spare, next),
            ("exists -1", "ok") => (next, spare),
            both => panic!("generation {generation}: {both:?}"),
        };
        (owner, spare) = (winner, loser);
        ok(&mut owner, "serve");
        for client in waiting {
            assert_eq!(client.hear(), "peer_gone 0");
            assert!(killed.elapsed() < SOON, "the death was reported after {:?}", killed.elapsed());
        }
        for client in others {
            assert_eq!(tell(client, "recv"), "peer_gone 0");
        }
        for client in &mut clients {
            ok(client, "connect");
            ok(client, "call");
        }
    }
    owner.kill();
    owner.wait();
    assert_eq!(tell(&mut spare, &format!("open {url}")), "not_found -3");
    drop(clients);
    ok(&mut spare, &format!("create {url}"));
    spare.hush();
    spare.finish();
    assert_eq!(files(place.path()), [""; 0]);
}

#[test]
fn a_killed_owner_of_a_block_is_followed_by_an_adopter() {
    let _watchdog = watchdog("adopting", Duration::from_secs(60));
    let place = Scratch::new("adopt");
    let url = "shm://adopted?size=100";
    let (mut owner, mut client) = (actor_in(&place), actor_in(&place));
    ok(&mut owner, &format!("create {url}"));
    ok(&mut owner, "serve");
    ok(&mut client, &format!("open {url}"));
    for _ in 0..5 {
        ok(&mut client, "connect");
        ok(&mut client, "call");
        owner.kill();
        owner.wait();
        let mut next = actor_in(&place);
        let start = Instant::now();
        assert_eq!(
            tell(&mut next, &format!("create {url}")),
            "exists -1",
            "the client holds the block"
        );
        assert_eq!(
            tell(&mut next, "create shm://adopted"),
            "exists -1",
            "also where no block is wanted"
        );
        ok(&mut next, &format!("create {url}&create=open_or_create"));
        assert!(start.elapsed() < SOON, "it took {:?}", start.elapsed());
        ok(&mut next, "serve");
        assert_eq!(tell(&mut client, "recv"), "peer_gone 0");
        owner = next;
    }
}

// --- Many senders.

const SENDERS: u64 = 8;
const PATHS: u64 = 10_000;

/// Another path for every sender and number, 20 to 200 bytes long.
fn path(sender: u64, number: u64) -> String {
    let mut random = mix(number << 8 | sender);
    let mut path = format!("C:\\Users\\{sender}\\{number:05}");
    let len = 20 + (random % 181) as usize;
    while path.len() < len {
        random = mix(random);
        let next = char::from(b"abcdefghijklmnopqrstuvwxyz \\.0123"[(random % 33) as usize]);
        path.push(next);
    }
    path
}

/// `sender URL <index>`
fn sender(words: &[&str]) {
    end_with_parent();
    let mut channel = anyipc::connect(words[0]).unwrap();
    let index = words[1].parse().unwrap();
    for number in 0..PATHS {
        channel.send(path(index, number).as_bytes()).unwrap();
    }
    channel.close().unwrap();
}

/// `collector URL`: the owner that checks every path.
fn collector(words: &[&str]) {
    end_with_parent();
    let mut inbox = Inbox::new(anyipc::create(words[0]).unwrap()).unwrap();
    say("ready");
    let mut peers = BTreeMap::new();
    let (mut ended, mut senders) = (0, Vec::new());
    while ended < SENDERS {
        match inbox.next_event().unwrap() {
            Event::Connected(id) => {
                assert!(peers.insert(id, (None, 0)).is_none(), "twice the same peer")
            }
            Event::Message(id, bytes) => {
                let text = String::from_utf8(bytes).unwrap();
                let (from, number) = peers.get_mut(&id).unwrap();
                let from =
                    *from.get_or_insert_with(|| text.split('\\').nth(2).unwrap().parse().unwrap());
                assert_eq!(text, path(from, *number), "sender {from}, number {number}");
                *number += 1;
            }
            Event::Disconnected(id, reason) => {
                assert_eq!(reason.kind(), ErrorKind::Closed, "{reason}");
                let (from, number) = peers.remove(&id).unwrap();
                assert_eq!(number, PATHS, "sender {from:?}");
                senders.extend(from);
                ended += 1;
            }
        }
    }
    senders.sort_unstable();
    assert_eq!(senders, (0..SENDERS).collect::<Vec<_>>());
    assert_eq!(inbox.endpoint().rejections().count, 0);
    say("all");
}

#[test]
fn eight_senders_deliver_every_path_whole_once_and_in_order() {
    let _watchdog = watchdog("senders", Duration::from_secs(120));
    for wait in ["adaptive", "block"] {
        let place = Scratch::new("senders");
        let url = format!("shm://senders?wait={wait}");
        let mut owner = spawn(place.path(), &format!("collector {url}"));
        owner.expect("ready");
        let mut senders: Vec<Process> =
            (0..SENDERS).map(|i| spawn(place.path(), &format!("sender {url} {i}"))).collect();
        owner.expect("all");
        owner.finish();
        senders.iter_mut().for_each(Process::finish);
        assert_eq!(files(place.path()), [""; 0]);
    }
}

// --- Many clients.

const CLIENTS: u64 = 50;

/// `echo URL`
fn echo(words: &[&str]) {
    end_with_parent();
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    echo_forever(owner)
}

/// `caller URL <index>`: connects, waits for the word, asks many questions.
fn caller(words: &[&str]) {
    let mut channel = anyipc::connect(words[0]).unwrap();
    call(&mut channel, b"here").unwrap();
    say("connected");
    assert_eq!(hear().as_deref(), Some("go"));
    let index: u64 = words[1].parse().unwrap();
    for number in 0..200 {
        call(&mut channel, path(index, number).as_bytes()).unwrap();
    }
    say("done");
    assert_eq!(hear(), None);
}

#[test]
fn fifty_clients_are_served_at_once() {
    let _watchdog = watchdog("clients", Duration::from_secs(120));
    let place = Scratch::new("clients");
    let url = "shm://clients?timeout=60s";
    let mut owner = spawn(place.path(), &format!("echo {url}"));
    owner.expect("ready");
    let mut clients: Vec<Process> =
        (0..CLIENTS).map(|i| spawn(place.path(), &format!("caller {url} {i}"))).collect();
    clients.iter_mut().for_each(|client| client.expect("connected"));
    clients.iter_mut().for_each(|client| client.say("go"));
    // A third of them is killed on the way: the others do not notice.
    for client in clients.iter_mut().step_by(3) {
        client.kill();
    }
    for (index, client) in clients.iter_mut().enumerate() {
        if index % 3 != 0 {
            client.expect("done");
            client.hush();
            client.finish();
        }
    }
}

#[test]
fn a_sleeping_inbox_wakes_for_every_message() {
    let _watchdog = watchdog("waking", Duration::from_secs(60));
    let url = format!("shm://{}?wait=block", unique("waking"));
    let mut inbox = Inbox::new(anyipc::create(&url).unwrap()).unwrap();
    let client = std::thread::spawn(move || {
        let mut channel = anyipc::connect(url).unwrap();
        let mut slow = 0;
        for _ in 0..2000 {
            let start = Instant::now();
            call(&mut channel, b"wake up").unwrap();
            slow += u32::from(start.elapsed() > Duration::from_millis(50));
        }
        slow
    });
    for _ in 0..2000 {
        let (from, message) = inbox.recv().unwrap();
        inbox.send(from, &message).unwrap();
    }
    // A lost wake-up is made good after 100 ms: a few may be the machine's own.
    let slow = client.join().unwrap();
    assert!(slow < 20, "{slow} of 2000 messages waited for the inbox to look by itself");
}
