//! What is shown: a table for people, JSON for programs, and what neither tells.

mod json;
mod notes;
mod table;

use std::time::Duration;

use super::args::Wait;
use super::figures::Row;
use super::machine::{Machine, Pinning};

pub(super) use json::{record, save};
pub(super) use notes::notes;
pub(super) use table::{heading, table};

/// Everything that was found out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) wait: Wait,
    pub(super) pinning: Option<Pinning>,
    /// A bare cache line from core to core and back, before each repetition.
    pub(super) placement: Vec<Duration>,
    /// How often each row was measured.
    pub(super) repetitions: usize,
    /// Time of one row in one repetition.
    pub(super) slice: Duration,
    /// Cost of one reading of the clock.
    pub(super) clock: Duration,
    /// Ranked.
    pub(super) rows: Vec<Row>,
}
