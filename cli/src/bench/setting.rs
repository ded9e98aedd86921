//! What is the same for all rows.

use std::time::Duration;

use anyipc_measure::cores::Pinning;
use anyipc_measure::payload::Coverage;

use super::args::{Args, Method};

/// What is the same for all rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting {
    /// The cores of the two sides, unless the system may move them.
    pub(super) pinning: Option<Pinning>,
    /// The cost of one reading of the clock.
    pub(super) clock: Duration,
    /// What receivers check.
    pub(super) verify: Coverage,
    /// True if messages are written and read in place.
    pub(super) in_place: bool,
    /// Messages of a stream that are sent together.
    pub(super) batch: u64,
}

impl Setting {
    pub(super) fn new(args: &Args, pinning: Option<Pinning>, clock: Duration) -> Self {
        let Method { verify, in_place, .. } = args.method;
        Self { pinning, clock, verify, in_place, batch: args.rows.batch.into() }
    }

    /// True if both sides share a core.
    pub(super) fn is_one_core(&self) -> bool {
        self.pinning.is_some_and(Pinning::is_one_core)
    }
}
