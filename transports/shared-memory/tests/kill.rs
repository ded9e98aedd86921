//! Processes killed at random instants: what was sent with `Ok` arrives, the survivor notices the
//! death, and nothing is left behind. `ANYIPC_KILLS` is the number of kills per scene (default 50).
//!
//! On Windows only: elsewhere a parked thread notices a death by the facade's slices of 100 ms,
//! which the suite's loop does not cut, and the facade's `torture_kill` has these scenes.
#![cfg(windows)]

use anyipc_conformance::{Fixture, kills};

fn fixture() -> Fixture<'static> {
    Fixture::new(anyipc_shared_memory::SharedMemory)
        .option("capacity", "1MiB")
        .sleeper(anyipc_os::sleep)
}

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    kills::child(&fixture());
}

#[test]
fn what_a_killed_sender_sent_arrives() {
    kills::sender(&fixture());
}

#[test]
fn a_killed_receiver_is_noticed() {
    kills::receiver(&fixture());
}

#[test]
fn a_killed_owners_name_is_reclaimed_and_a_live_ones_is_not() {
    kills::owner(&fixture());
}
