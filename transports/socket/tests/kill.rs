//! Processes killed at random instants: what was sent with `Ok` over `local://` arrives, the
//! survivor notices the death, and nothing is left behind. `ANYIPC_KILLS` is the number of kills
//! per scene (default 50).
#![cfg(any(target_os = "linux", target_os = "macos", windows))]

use anyipc_conformance::{Fixture, kills, loopback};
use anyipc_socket::{Local, Tcp};

fn local() -> Fixture<'static> {
    Fixture::new(Local).sleeper(anyipc_os::sleep)
}

fn tcp() -> Fixture<'static> {
    Fixture::new(Tcp).names(|_| loopback()).sleeper(anyipc_os::sleep)
}

/// Runs in the child; in the parent it does nothing.
#[test]
fn child() {
    kills::child(&local());
    kills::child(&tcp());
}

#[test]
fn what_a_killed_local_sender_sent_arrives() {
    kills::sender(&local());
}

#[test]
fn a_killed_tcp_sender_is_noticed() {
    kills::sender(&tcp());
}

#[test]
fn a_killed_local_receiver_is_noticed() {
    kills::receiver(&local());
}

#[test]
fn a_killed_tcp_receiver_is_noticed() {
    kills::receiver(&tcp());
}

#[test]
fn a_killed_owners_name_is_reclaimed_and_a_live_ones_is_not() {
    kills::owner(&local());
}
