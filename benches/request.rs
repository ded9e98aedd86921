//! What a call costs beside the round trip of its two messages, between two processes.
//!
//! `cargo bench --bench request -- [ADDRESS [CALLS [ROUNDS]]]`
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::process::{Child, Command};
use std::time::Instant;

use anyipc::{Client, Failure, Inbox, Message, Peer};
use serde::{Deserialize, Serialize};

/// 48 bytes, which a head of 16 makes 64. A text costs the codec little.
#[derive(Serialize, Deserialize)]
struct Load(String);

impl Message for Load {
    const NAME: &'static str = "bench.Load/1";
}

const MESSAGE: usize = 64;

/// Echoes through a channel, through an inbox, or as a server.
const KINDS: [&str; 3] = ["channel", "inbox", "request"];

fn answer(kind: &str, url: &str) {
    let owner = anyipc::create(url).unwrap();
    match kind {
        "channel" => {
            let mut channel = owner.accept().unwrap();
            let mut buffer = Vec::new();
            while channel.recv_into(&mut buffer).is_ok() {
                channel.send(&buffer).unwrap();
            }
        }
        "inbox" => {
            let mut inbox = Inbox::new(owner).unwrap();
            let mut buffer = Vec::new();
            loop {
                let peer = inbox.recv_with(|peer, message| {
                    buffer.clear();
                    buffer.extend_from_slice(message);
                    peer
                });
                let _ = inbox.send(peer.unwrap(), &buffer);
            }
        }
        _ => owner.serve(|_: &Peer, load: Load| Ok::<_, Failure>(load)).run().unwrap(),
    }
}

/// Nanoseconds of one exchange.
fn ask(kind: &str, url: &str, count: u32) -> f64 {
    let time = |mut exchange: Box<dyn FnMut()>| {
        (0..count / 10).for_each(|_| exchange());
        let start = Instant::now();
        (0..count).for_each(|_| exchange());
        start.elapsed().as_nanos() as f64 / f64::from(count)
    };
    if kind == "request" {
        let client: Client<Load, Load> = Client::connect(url).unwrap();
        let load = Load("x".repeat(47));
        return time(Box::new(move || {
            std::hint::black_box(client.call(&load).unwrap());
        }));
    }
    let mut channel = anyipc::connect(url).unwrap();
    let (message, mut buffer) = ([7; MESSAGE], Vec::new());
    time(Box::new(move || {
        channel.send(&message).unwrap();
        channel.recv_into(&mut buffer).unwrap();
    }))
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [role, kind, url] = &*words
        && role == "answer"
    {
        return answer(kind, url);
    }
    let word = |index: usize, default: &str| words.get(index).cloned().unwrap_or(default.into());
    let address = word(0, "shm://bench.request?wait=spin");
    let (calls, rounds): (u32, usize) =
        (word(1, "20000").parse().unwrap(), word(2, "15").parse().unwrap());
    let this = std::env::current_exe().unwrap();
    let mut times = [const { Vec::new() }; KINDS.len()];
    for _ in 0..rounds {
        for (kind, times) in KINDS.iter().zip(&mut times) {
            let mut child: Child =
                Command::new(&this).args(["answer", kind, &address]).spawn().unwrap();
            times.push(ask(kind, &address, calls));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    for (kind, times) in KINDS.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("{kind:8} best {:7.0} ns, median {:7.0} ns", times[0], times[rounds / 2]);
    }
}
