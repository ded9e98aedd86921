//! Processes race to create, adopt, open and close one name, and some are killed at random
//! instants: no two owners, nothing in the way of the next creation, nothing left after a sweep.
//! Where there are forks `block_race` goes deeper.
//!
//! `ANYIPC_TEST_ROUNDS` sets the number of rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]
#![cfg(any(target_os = "linux", windows))]

mod block_process;

use std::time::Duration;

use block_process::alone::Random;
use block_process::{Place, Process};

const PROCESSES: usize = 5;

#[test]
fn process() {
    block_process::serve();
}

#[test]
fn a_crowd_with_kills_leaves_nothing_behind() {
    let rounds: u64 = std::env::var("ANYIPC_TEST_ROUNDS").map_or(10, |text| text.parse().unwrap());
    let place = Place::new();
    let mut random = Random::new(7);
    let mut kills = 0;
    for round in 0..rounds {
        let mut crowd: Vec<_> = (0..PROCESSES).map(|_| place.spawn()).collect();
        for (i, process) in crowd.iter_mut().enumerate() {
            process.give(&format!("race {} 60", round * 10 + i as u64 + 1));
        }
        for _ in 0..random.below(4) {
            random.pause(Duration::from_millis(60));
            crowd.remove(random.below(crowd.len() as u64) as usize).kill();
            kills += 1;
        }
        for process in &mut crowd {
            let answer = process.answer("race");
            assert!(answer.starts_with("ok "), "round {round}: {answer}");
        }
        crowd.into_iter().for_each(Process::exit);
        let mut last = place.spawn();
        if round % 2 == 0 {
            last.ok("create z block size=64");
            last.ok("close z");
        }
        last.ok("sweep fix");
        assert_eq!(place.files(), [""; 0], "round {round}");
        last.exit();
    }
    println!("{rounds} rounds, {kills} kills");
}
