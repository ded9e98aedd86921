//! A process dies after any instruction of one operation; another one goes on and finds everything
//! whole. `ANYIPC_STEPS=all` tries every instruction of short operations, and those around every
//! system call of long ones; a number tries so many points of each operation.
//!
//! Not on ARM: there a step breaks the pairs of instructions that make an atomic change, and the
//! program tries them again for ever.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "x86")))]
#![cfg(all(feature = "shared-memory", feature = "message-queue"))]
#![cfg(all(feature = "socket", feature = "named-pipe", feature = "sync"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

mod support;

#[path = "support/steps/mod.rs"]
mod steps;

use steps::{blocks, channels, events, leases, meetings, queues, readers, survive, sync, tracer};
use support::process::{say, serve};
use support::random::Random;

#[test]
fn child() {
    serve(&[
        ("survivor", survivor),
        ("tracer", |_| {
            tracer(&[
                blocks::VICTIMS,
                channels::VICTIMS,
                events::VICTIMS,
                leases::VICTIMS,
                meetings::VICTIMS,
                queues::VICTIMS,
                readers::VICTIMS,
                sync::VICTIMS,
            ])
        }),
    ]);
}

fn survivor(words: &[&str]) {
    let mut random = Random::new(Random::run_seed());
    let share = words[1].parse().unwrap();
    match words[0] {
        "blocks" => blocks::survive(&mut random),
        "queues" => queues::survive(share, &mut random),
        "locks" if share == 0 => sync::survive(&mut random),
        "locks" => readers::survive(&mut random),
        "jobs" => leases::survive(&mut random),
        "events" if share == 0 => events::survive(&mut random),
        "events" => meetings::survive(&mut random),
        scheme => channels::survive(scheme, share, &mut random),
    }
    say("done");
}

#[test]
fn a_death_at_any_instruction_harms_no_channel_over_shm() {
    survive("shm", channels::SHARES);
}

#[test]
fn a_death_at_any_instruction_harms_no_channel_over_mq() {
    survive("mq", channels::SHARES);
}

#[test]
fn a_death_at_any_instruction_harms_no_channel_over_local() {
    survive("local", channels::SHARES);
}

#[test]
fn a_death_at_any_instruction_harms_no_channel_over_pipe() {
    survive("pipe", channels::SHARES);
}

#[test]
fn a_death_at_any_instruction_harms_no_block() {
    survive("blocks", 1);
}

#[test]
fn a_death_at_any_instruction_harms_no_queue() {
    survive("queues", queues::SHARES);
}

#[test]
fn a_death_at_any_instruction_harms_no_lock() {
    survive("locks", 2);
}

#[test]
fn a_death_at_any_instruction_harms_no_event() {
    survive("events", 2);
}

#[test]
fn a_death_at_any_instruction_loses_no_job() {
    survive("jobs", 1);
}
