//! A peer is killed at random instants: the survivor is told within a second, has received
//! everything that was sent with `Ok`, and nothing is left behind. Both sides send in every way:
//! waiting, trying, with a timeout, several at once, and with futures that are dropped. A transport
//! that promises no delivery after a death must still report it.
//!
//! `ANYIPC_TORTURE_KILLS` is the number of kills per transport (150; the promise was tried at 500),
//! `ANYIPC_TORTURE_SCHEME` chooses one transport, `ANYIPC_TORTURE_SEED` repeats a run. By hand:
//! `ANYIPC_TORTURE_KILLS=500 cargo torture`.
#![cfg(all(target_os = "linux", feature = "shared-memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

#[path = "support/kill/mod.rs"]
mod kill;

use std::time::{Duration, Instant};

use support::place::Scratch;
use support::process::{serve, spawn};
use support::random::Random;
use support::schemes;
use support::settings::setting;
use support::watchdog::watchdog;

/// Survivors at work at the same time, each with its own directory and one victim after the other.
const WORKERS: u64 = 4;

#[test]
fn child() {
    serve(&[("survivor", kill::survivor::survivor), ("victim", kill::victim::victim)]);
}

#[test]
fn a_killed_peer_is_reported_and_nothing_it_sent_is_lost() {
    let seed = Random::run_seed();
    let chosen = std::env::var("ANYIPC_TORTURE_SCHEME").ok();
    for scheme in schemes::between_processes() {
        if chosen.as_ref().is_none_or(|chosen| chosen == scheme) {
            kill_over(scheme, seed);
        }
    }
}

fn kill_over(scheme: &'static str, seed: u64) {
    let kills = setting("ANYIPC_TORTURE_KILLS", 150);
    let _watchdog =
        watchdog(&format!("the kill test of {scheme}"), Duration::from_secs(120 + kills));
    let start = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| std::thread::spawn(move || work(scheme, worker, kills, seed)))
        .collect();
    let mut slowest = Vec::new();
    let mut failures = Vec::new();
    for worker in workers {
        let (times, failed) = worker.join().unwrap();
        slowest.extend(times);
        failures.extend(failed);
    }
    slowest.sort_unstable();
    let at = |part: usize| {
        slowest.get((slowest.len() * part / 100).saturating_sub(1)).copied().unwrap_or(0)
    };
    eprintln!(
        "{scheme}: {} kills in {:?}; until the last call of a survivor said so: \
         median {} ms, 99% {} ms, worst {} ms",
        slowest.len(),
        start.elapsed(),
        at(50),
        at(99),
        at(100)
    );
    assert!(
        failures.is_empty(),
        "{scheme}: {} of {kills} rounds failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(slowest.len() as u64, kills);
}

/// The times of the rounds that went well, in milliseconds, and what was wrong with the others.
fn work(scheme: &str, worker: u64, kills: u64, seed: u64) -> (Vec<u64>, Vec<String>) {
    let place = Scratch::new("kill");
    let role =
        format!("survivor {worker} {WORKERS} {kills} {seed} {} {scheme}", place.path().display());
    let mut survivor = spawn(place.path(), &role);
    let (mut times, mut failures) = (Vec::new(), Vec::new());
    loop {
        let line = survivor.hear();
        match line.split_once(' ') {
            Some(("ok", time)) => times.push(time.parse().unwrap()),
            Some(("failed", why)) => failures.push(why.to_owned()),
            _ if line == "done" => break,
            _ => failures.push(line),
        }
    }
    survivor.finish();
    (times, failures)
}
