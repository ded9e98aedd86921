//! The contents of a report.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyipc_measure::machine::Machine;

use crate::bench::figures::Row;
use crate::bench::noise::Placement;
use crate::bench::setting::Setting;
use crate::failure::{Failure, Result};

/// All results.
#[derive(Debug)]
pub(in super::super) struct Report {
    pub(in super::super) machine: Machine,
    pub(in super::super) setting: Setting,
    pub(in super::super) placement: Placement,
    /// Repetitions of each row.
    pub(in super::super) repetitions: usize,
    /// Time of all rows in one repetition.
    pub(in super::super) repetition: Duration,
    /// Ranked.
    pub(in super::super) rows: Vec<Row>,
}

/// Makes the contents of a file.
pub(in super::super) type Format = fn(&Report) -> io::Result<Vec<u8>>;

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(in super::super) fn save(report: &Report, path: &Path, format: Format) -> Result<()> {
    let written = format(report).and_then(|contents| fs::write(path, contents));
    written.map_err(|error| Failure::Io(format!("writing {}", path.display()), error))
}
