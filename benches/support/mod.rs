//! What the benches share: subjects, and the peer.
#![allow(dead_code, reason = "not every bench uses everything")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench fails by panicking"
)]

pub(crate) mod peer;

use std::time::Duration;

use anyipc::{Capabilities, Registry};
use criterion::Criterion;

/// Lengths of messages, in bytes.
pub(crate) const SIZES: [usize; 4] = [64, 1 << 10, 64 << 10, 1 << 20];

/// Length of the messages to an inbox, in bytes.
pub(crate) const FAN_IN_SIZE: usize = 64;

/// A transport that has channels.
pub(crate) struct Subject {
    /// Its scheme.
    pub(crate) scheme: &'static str,
    /// True if it reaches another process; otherwise the peer is a thread.
    pub(crate) across: bool,
}

/// All transports that have channels between two sides of this library, but the kernel's queues:
/// their limits are below [`SIZES`], and below the number of channels to an inbox.
pub(crate) fn subjects() -> Vec<Subject> {
    Registry::global()
        .transports()
        .filter(|t| t.capabilities().contains(Capabilities::CHANNEL | Capabilities::HANDSHAKE))
        .filter(|t| !t.schemes().contains(&"posix-mq"))
        .map(|t| Subject {
            scheme: t.schemes()[0],
            across: t.capabilities().contains(Capabilities::CROSS_PROCESS),
        })
        .collect()
}

/// Runs the benches in minutes at most, unless this process is the peer of one.
pub(crate) fn main(benches: impl FnOnce(&mut Criterion)) {
    if peer::serve() {
        return;
    }
    let defaults = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let mut criterion = defaults.configure_from_args();
    benches(&mut criterion);
    criterion.final_summary();
}
