use std::io;

use anyipc_measure::cores::Pinning;
use anyipc_measure::machine::Machine;
use anyipc_measure::payload::Coverage;
use serde::Serialize;

use super::contents::Report;
use super::notes::notes;
use crate::bench::figures::Row;
use crate::bench::noise::Placement;
use crate::output::json_line;

/// All figures, printed after `schema`.
#[derive(Serialize)]
pub(in super::super) struct Record<'a> {
    version: &'static str,
    machine: &'a Machine,
    settings: Settings<'a>,
    rows: &'a [Row],
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Settings<'a> {
    verify: Coverage,
    in_place: bool,
    batch: u64,
    /// Cores of the two sides, if they were pinned.
    pinned: Option<Pinning>,
    /// Times of a cache line from core to core and back.
    cache_line_ns: &'a Placement,
    repetitions: usize,
    repetition_ms: f64,
    /// Cost of one reading of the clock, taken off each round trip.
    clock_ns: f64,
}

/// All figures.
pub(in super::super) fn record(report: &Report) -> Record<'_> {
    let setting = &report.setting;
    Record {
        version: env!("CARGO_PKG_VERSION"),
        machine: &report.machine,
        settings: Settings {
            verify: setting.verify,
            in_place: setting.in_place,
            batch: setting.batch,
            pinned: setting.pinning,
            cache_line_ns: &report.placement,
            repetitions: report.repetitions,
            repetition_ms: report.repetition.as_secs_f64() * 1e3,
            clock_ns: setting.clock.as_nanos() as f64,
        },
        rows: &report.rows,
        notes: notes(report),
    }
}

/// All figures, in one line.
pub(in super::super) fn file(report: &Report) -> io::Result<Vec<u8>> {
    json_line(record(report))
}
