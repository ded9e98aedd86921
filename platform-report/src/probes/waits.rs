//! Sleeping and waking, between two processes.

use std::error::Error;
use std::time::{Duration, Instant};

use anyipc::transport::Interest;
use anyipc_os::{Set, sleep};

use super::channels::owner;
use super::{Found, Setting, spread, time};
use crate::helper::{Helper, Orders, PATIENCE, say};
use crate::outcome::Outcome;

/// A waiting call looks again after 100 ms. What takes longer than this was not woken.
const NOT_WOKEN: Duration = Duration::from_millis(90);

/// The part of a process that sends back what it receives.
pub(super) fn echo(url: &str) -> Result<(), Box<dyn Error>> {
    let mut channel = anyipc::connect(url)?;
    // Ends with the channel.
    while let Ok(message) = channel.recv() {
        channel.send(&message)?;
    }
    Ok(())
}

pub(super) fn round_trips(setting: &Setting) -> Found {
    const TRIPS: usize = 1000;
    let (owner, address) = owner(setting.scheme, "?wait=block")?;
    let _peer = Helper::start(["echo", &address])?;
    let mut channel = owner.accept_timeout(PATIENCE)?;
    let mut times = Vec::new();
    for _ in 0..TRIPS {
        let start = Instant::now();
        channel.send_timeout(&[1; 64], PATIENCE)?;
        channel.recv_timeout(PATIENCE)?;
        times.push(start.elapsed());
    }
    Ok(judged("round trips", times))
}

/// The part of a process that connects once for each line.
pub(super) fn connect(url: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    loop {
        orders.next();
        let start = Instant::now();
        let mut channel = anyipc::connect(url)?;
        let took = start.elapsed();
        channel.send(b"here")?;
        say(took.as_micros());
    }
}

pub(super) fn connections(setting: &Setting) -> Found {
    const CONNECTIONS: usize = 200;
    let (owner, address) = owner(setting.scheme, "?wait=block")?;
    let mut peer = Helper::start(["connect", &address])?;
    let mut times = Vec::new();
    for _ in 0..CONNECTIONS {
        let start = Instant::now();
        peer.tell("connect")?;
        let mut channel = owner.accept_timeout(PATIENCE)?;
        let accepted = start.elapsed();
        let micros: u64 = peer.answer()?.parse()?;
        times.push(accepted.max(Duration::from_micros(micros)));
        channel.recv_timeout(PATIENCE)?;
    }
    // The first one has to load the program.
    times.remove(0);
    Ok(judged("connections", times))
}

/// A busy machine is often late. Failed is only what is late as a rule; the number tells the rest.
fn judged(what: &str, mut times: Vec<Duration>) -> Outcome {
    let late = times.iter().filter(|time| **time >= NOT_WOKEN).count();
    let number = times.len();
    let detail = format!(
        "{number} {what}, {}; {late} took {} or longer",
        spread(&mut times),
        time(NOT_WOKEN)
    );
    if late * 2 > number { Outcome::failed(detail) } else { Outcome::passed(detail) }
}

pub(super) fn way(_: &Setting) -> Found {
    Ok(Outcome::passed(if anyipc_memory::parks() {
        "on a word of shared memory (a futex, or os_sync_wait_on_address)"
    } else {
        "by the channel's doorbell: no call sleeps on a word of shared memory"
    }))
}

pub(super) fn timer(_: &Setting) -> Found {
    const SOON: Duration = Duration::from_millis(50);
    const NEVER: Duration = Duration::from_secs(10);
    let set = Set::new()?;
    let start = Instant::now();
    set.wake_at(Some(start + SOON))?;
    let woken = sleep(&set.source(), Interest::Readable, NEVER);
    let took = start.elapsed();
    let detail = format!("told {}, woken after {}", time(SOON), time(took));
    let fine = woken && took >= SOON.mul_f32(0.9) && took < NEVER;
    Ok(if fine { Outcome::passed(detail) } else { Outcome::failed(detail) })
}
