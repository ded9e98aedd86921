//! Very many messages through one channel between two processes: none lost, doubled, torn or out of
//! order, and the memory of both sides stays flat.
//!
//! `ANYIPC_TORTURE_MESSAGES` is their number (2 million). By hand, for the promise and for the
//! system calls:
//!
//! ```sh
//! export ANYIPC_TORTURE_MESSAGES=100_000_000
//! cargo test --release --test torture_stream -- --nocapture one_channel
//! strace -c -f -- target/release/deps/torture_stream-<hash> one_channel
//! ```
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

use std::time::{Duration, Instant};

use anyipc::ErrorKind;
use support::message::Stream;
use support::place::Scratch;
use support::process::{end_with_parent, say, serve, spawn};
use support::resources::resident;
use support::schemes::{self, url};
use support::settings::setting;
use support::watchdog::watchdog;

/// What memory may differ by, in bytes: a ring may still grow to its 4 MiB.
const FLAT: u64 = 6 << 20;

#[test]
fn child() {
    serve(&[("source", source), ("sink", sink)]);
}

fn messages() -> u64 {
    setting("ANYIPC_TORTURE_MESSAGES", 2_000_000)
}

fn stream(longest: usize) -> Stream {
    Stream::new(7, 8, longest)
}

/// What the process occupies after a tenth of the way is what it occupies at the end.
struct Memory {
    early: u64,
}

impl Memory {
    fn watch(&mut self, stream: &Stream, of: u64) {
        if stream.count() == of / 10 {
            self.early = resident();
        }
    }

    fn report(&self) -> String {
        let now = resident();
        assert!(now < self.early + FLAT, "memory grew from {} to {now} bytes", self.early);
        format!("{} -> {} KiB", self.early >> 10, now >> 10)
    }
}

/// `source URL <longest> <count>`
fn source(words: &[&str]) {
    end_with_parent();
    let (longest, count): (usize, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    let mut channel = anyipc::connect(words[0]).unwrap();
    let (mut stream, mut buffer, mut memory) = (stream(longest), Vec::new(), Memory { early: 0 });
    while stream.count() < count {
        stream.write(&mut buffer);
        channel.send(&buffer).unwrap();
        memory.watch(&stream, count);
    }
    let stats = channel.stats();
    channel.close().unwrap();
    say(&format!("memory {}, {} waits", memory.report(), stats.waits));
}

/// `sink URL <longest> <count>`: the owner.
fn sink(words: &[&str]) {
    end_with_parent();
    let (longest, count): (usize, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    let owner = anyipc::create(words[0]).unwrap();
    say("ready");
    let mut channel = owner.accept().unwrap();
    let (mut stream, mut buffer, mut memory) = (stream(longest), Vec::new(), Memory { early: 0 });
    let start = Instant::now();
    let end = loop {
        match channel.recv_into(&mut buffer) {
            Ok(_) => stream.check(&buffer),
            Err(error) => break error,
        }
        memory.watch(&stream, count);
    };
    let took = start.elapsed();
    assert_eq!(end.kind(), ErrorKind::Closed, "{end}");
    assert_eq!(stream.count(), count);
    let rate = count as f64 / took.as_secs_f64() / 1e6;
    let waits = channel.stats().waits;
    say(&format!(
        "memory {}, {waits} waits, {took:?}, {rate:.2} million messages/s",
        memory.report()
    ));
}

fn run(scheme: &str, options: &str, longest: usize, count: u64) {
    let limit = Duration::from_secs(60 + count / 100_000);
    let _watchdog = watchdog("the stream", limit);
    let place = Scratch::new("stream");
    let arguments = format!("{}{options} {longest} {count}", url(scheme, "stream"));
    let mut sink = spawn(place.path(), &format!("sink {arguments}"));
    sink.expect("ready");
    let mut source = spawn(place.path(), &format!("source {arguments}"));
    let (sent, received) = (source.hear_within(limit), sink.hear_within(limit));
    eprintln!(
        "{scheme}: {count} messages of 8 to {longest} bytes, {options:?}:\n  \
         sent:     {sent}\n  received: {received}"
    );
    source.finish();
    sink.finish();
}

#[test]
fn one_channel_brings_every_message_whole_once_and_in_order() {
    run("shm", "", 256, messages());
}

#[test]
fn so_do_small_buffers_that_both_sides_sleep_on() {
    schemes::between_processes()
        .iter()
        .for_each(|scheme| run(scheme, "?capacity=4096&wait=block", 256, messages() / 10));
}

#[test]
fn so_do_messages_in_fragments() {
    schemes::between_processes()
        .iter()
        .for_each(|scheme| run(scheme, "?capacity=4096", 100_000, messages() / 1000));
}
