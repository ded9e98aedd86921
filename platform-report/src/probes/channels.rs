//! Channels between two processes, one of which is killed.

use std::error::Error;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyipc::{Capabilities, Endpoint, ErrorKind, Registry};

use super::blocks::free_again;
use super::{Found, Leftovers, Setting, describe, spread, unique, url};
use crate::facts::files_of_the_private_directory;
use crate::helper::{Helper, Orders, PATIENCE, say};
use crate::outcome::Outcome;

/// An owner, and the address that its peers connect to.
pub(super) fn owner(scheme: &str, settings: &str) -> anyipc::Result<(Endpoint, String)> {
    let owner = anyipc::create(format!("{}{settings}", url(scheme)))?;
    let address = owner.address().to_string();
    Ok((owner, address))
}

fn can(scheme: &str, capability: Capabilities) -> bool {
    let mut transports = Registry::global().transports();
    transports
        .find(|transport| transport.schemes().contains(&scheme))
        .is_some_and(|transport| transport.capabilities().contains(capability))
}

/// The part of a process that sends until it is killed, and says what it has sent.
pub(super) fn stream(url: &str) -> Result<(), Box<dyn Error>> {
    let mut channel = anyipc::connect(url)?;
    for number in 0_u64.. {
        let mut message = number.to_le_bytes().to_vec();
        message.resize(8 + number as usize * 37 % 3000, number as u8);
        channel.send(&message)?;
        say(number);
    }
    Ok(())
}

pub(super) fn killed_sender(setting: &Setting) -> Found {
    let (owner, address) = owner(setting.scheme, "")?;
    let keeps_all = can(setting.scheme, Capabilities::DELIVERS_AFTER_DEATH);
    let (mut times, mut lost, mut received) = (Vec::new(), 0, 0);
    for kill in 0..u64::from(setting.kills) {
        let victim = Helper::start(["stream", &address])?;
        let mut channel = owner.accept_timeout(PATIENCE)?;
        let (mut next, mut killed, mut victim) = (0_u64, None, Some(victim));
        let error = loop {
            if next > kill * 13 % 100
                && let Some(victim) = victim.take()
            {
                let said = victim.kill_and_read()?;
                killed = Some((Instant::now(), said));
            }
            match channel.recv_timeout(PATIENCE) {
                Ok(message) => {
                    let number = message.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
                    if number != Some(next) {
                        let fault = format!("message {next} was {number:?}");
                        return Ok(Outcome::failed(fault));
                    }
                    next += 1;
                }
                Err(error) => break error,
            }
        };
        let (moment, said) = killed.ok_or_else(|| format!("before the kill: {error}"))?;
        if error.kind() != ErrorKind::PeerGone {
            return Ok(Outcome::failed(format!("after the kill: {error}")));
        }
        times.push(moment.elapsed());
        received += next;
        let sent = said.iter().filter_map(|line| line.parse::<u64>().ok()).max();
        lost += sent.map_or(0, |sent| (sent + 1).saturating_sub(next));
    }
    let late = times.iter().filter(|time| **time > Duration::from_secs(1)).count();
    let detail = format!(
        "{} kills, reported after: {} ({late} after more than a second); {received} messages \
         received, {lost} of those sent lost{}",
        setting.kills,
        spread(&mut times),
        if keeps_all { "" } else { " (it does not promise them)" }
    );
    // A system that does not tell of deaths is late every time, an overloaded machine now and then.
    let in_time = late * 5 <= times.len();
    let fine = in_time && (lost == 0 || !keeps_all);
    Ok(if fine { Outcome::passed(detail) } else { Outcome::failed(detail) })
}

/// The part of an owner that is killed.
pub(super) fn own(url: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    let owner = anyipc::create(url)?;
    say("ready");
    let _channel = owner.accept()?;
    say("met");
    orders.wait()
}

pub(super) fn killed_owner(setting: &Setting) -> Found {
    let (mut all, mut times) = (Vec::new(), Vec::new());
    for _ in 0..setting.kills.div_ceil(2) {
        let url = url(setting.scheme);
        // Where there is no such transport, the owner says so.
        drop(anyipc::create(&url)?);
        let mut owner = Helper::start(["own", &url])?;
        owner.expect("ready")?;
        let mut channel = anyipc::connect(&url)?;
        owner.expect("met")?;
        owner.kill()?;
        let start = Instant::now();
        all.push(free_again(&url)?);
        match channel.recv_timeout(PATIENCE) {
            Err(error) if error.kind() == ErrorKind::PeerGone => times.push(start.elapsed()),
            Err(error) => return Ok(Outcome::failed(format!("the channel: {error}"))),
            Ok(_) => return Ok(Outcome::failed("a message that was not sent")),
        }
    }
    let detail = format!("{}; its peer was told after: {}", describe(&all), spread(&mut times));
    Ok(Outcome::passed(format!("yes: {detail}")))
}

/// The part of a process that connects, says so and waits.
pub(super) fn meet(url: &str, orders: &Orders) -> Result<(), Box<dyn Error>> {
    let mut channel = anyipc::connect(url)?;
    channel.send(&[1; 10_000])?;
    say("met");
    orders.wait()
}

pub(super) fn left(setting: &Setting) -> Found {
    let before = files_of_the_private_directory();
    for _ in 0..setting.kills.div_ceil(2) {
        let (owner, address) = owner(setting.scheme, "")?;
        let mut peer = Helper::start(["meet", &address])?;
        let mut channel = owner.accept_timeout(PATIENCE)?;
        peer.expect("met")?;
        channel.recv_timeout(PATIENCE)?;
        peer.kill()?;
        drop(channel);
        owner.close()?;
    }
    let left = Leftovers::since(&before);
    let detail = format!("{} kills: {}", setting.kills.div_ceil(2), left.describe());
    Ok(if left.after_sweep == 0 { Outcome::passed(detail) } else { Outcome::failed(detail) })
}

pub(super) fn peer_identity(setting: &Setting) -> Found {
    if !can(setting.scheme, Capabilities::PEER_CREDENTIALS) {
        return Ok(Outcome::skipped("the transport does not tell"));
    }
    let (owner, address) = owner(setting.scheme, "")?;
    let mut peer = Helper::start(["meet", &address])?;
    let channel = owner.accept_timeout(PATIENCE)?;
    peer.expect("met")?;
    let (told, real) = (channel.peer().pid, peer.id());
    let user = if channel.peer().uid.is_some() { "a number" } else { "no number" };
    let detail = format!("the process is told right: {}; its user: {user}", told == Some(real));
    Ok(if told == Some(real) { Outcome::passed(detail) } else { Outcome::failed(detail) })
}

/// Both sides of a channel, in a directory of this process.
pub(super) fn both_sides(scheme: &str) -> Result<(), Box<dyn Error>> {
    let (owner, address) = owner(scheme, "")?;
    let answer = thread::scope(|scope| {
        let opener = scope.spawn(|| -> anyipc::Result<Vec<u8>> {
            let mut channel = anyipc::connect(&address)?;
            channel.send_timeout(b"hello", PATIENCE)?;
            channel.recv_timeout(PATIENCE)
        });
        let mut channel = owner.accept_timeout(PATIENCE)?;
        let message = channel.recv_timeout(PATIENCE)?;
        channel.send_timeout(&message, PATIENCE)?;
        opener.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    owner.close()?;
    say(if answer == b"hello" { "hello" } else { "another message" });
    Ok(())
}

pub(super) fn long_directory(_: &Setting) -> Found {
    /// More than the 104 or 108 bytes of a socket's address, less than the 260 units of Windows.
    const LONGER: usize = 150;
    let mut base = std::env::temp_dir().join(unique());
    let top = base.clone();
    while base.as_os_str().len() < LONGER {
        base.push("d".repeat(30));
    }
    fs::create_dir_all(&base)?;
    let mut said = Vec::new();
    let mut fine = true;
    for scheme in ["shm", "mq", "local", "pipe"] {
        let answer = Helper::start_in(["both", scheme], Some(&base))?.answer()?;
        fine &= answer == "hello" || answer.contains("not built for this platform");
        said.push(if answer == "hello" {
            scheme.to_owned()
        } else {
            format!("{scheme}: {answer}")
        });
    }
    let length = base.as_os_str().len();
    fs::remove_dir_all(&top)?;
    let detail = format!("a path of {length} bytes: {}", said.join(", "));
    Ok(if fine { Outcome::passed(detail) } else { Outcome::failed(detail) })
}
