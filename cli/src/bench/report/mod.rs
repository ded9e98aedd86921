//! What is shown: a table for people, JSON and CSV for programs, Markdown and a picture for documents, and what none
//! of them tells.

pub(super) mod csv;
pub(super) mod json;
pub(super) mod markdown;
mod notes;
pub(super) mod picture;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::figures::Row;
use super::machine::Machine;
use super::measure::Setting;
use super::noise::Placement;
use crate::failure::{Failure, Result};

pub(super) use notes::notes;
pub(super) use table::{half, heading, table};

/// Everything that was found out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) setting: Setting,
    pub(super) placement: Placement,
    /// How often each row was measured.
    pub(super) repetitions: usize,
    /// Time of all rows in one repetition.
    pub(super) repetition: Duration,
    /// Ranked.
    pub(super) rows: Vec<Row>,
}

/// The contents of a file.
pub(super) type Format = fn(&Report) -> io::Result<Vec<u8>>;

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(super) fn save(report: &Report, path: &Path, format: Format) -> Result<()> {
    let written = format(report).and_then(|contents| fs::write(path, contents));
    written.map_err(|error| Failure::Io(format!("writing {}", path.display()), error))
}
