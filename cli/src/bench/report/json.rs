use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{Report, notes};
use crate::bench::figures::Row;
use crate::bench::machine::{Machine, Pinning};
use crate::failure::{Failure, Result};
use crate::output::json_line;

/// All figures, as the command line prints JSON: beside its `schema`.
#[derive(Serialize)]
pub(in super::super) struct Record<'a> {
    version: &'static str,
    machine: &'a Machine,
    settings: Settings,
    rows: &'a [Row],
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Settings {
    wait: &'static str,
    /// Cores of the two sides, if they were pinned.
    pinned: Option<Pinning>,
    /// A bare cache line from core to core and back, before each repetition.
    cache_line_ns: Vec<f64>,
    repetitions: usize,
    slice_ms: f64,
    /// Cost of one reading of the clock, taken off each round trip.
    clock_ns: f64,
}

/// All figures.
pub(in super::super) fn record(report: &Report) -> Record<'_> {
    Record {
        version: env!("CARGO_PKG_VERSION"),
        machine: &report.machine,
        settings: Settings {
            wait: report.wait.name(),
            pinned: report.pinning,
            cache_line_ns: report.placement.iter().map(|time| time.as_nanos() as f64).collect(),
            repetitions: report.repetitions,
            slice_ms: report.slice.as_secs_f64() * 1e3,
            clock_ns: report.clock.as_nanos() as f64,
        },
        rows: &report.rows,
        notes: notes(report),
    }
}

/// Writes all figures to a file.
///
/// # Errors
/// The file cannot be written.
pub(in super::super) fn save(report: &Report, path: &Path) -> Result<()> {
    let failed = |error| Failure::Io(format!("writing {}", path.display()), error);
    let line = json_line(record(report)).map_err(failed)?;
    fs::write(path, line).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bench::args::Wait;
    use crate::bench::figures::{Figures, rank};
    use crate::bench::pattern::Pattern;
    use crate::bench::plan::{Case, PeerKind};

    #[test]
    fn the_file_reads_back() {
        let case = Case {
            transport: "inproc",
            peer: PeerKind::Thread,
            pattern: Pattern::RoundTrip,
            size: 64,
            options: vec![("wait".into(), "adaptive".into())],
        };
        let figures = Figures { p50_ns: Some(250.0), ..Figures::default() };
        let report = Report {
            machine: Machine::look(),
            wait: Wait::Adaptive,
            pinning: None,
            placement: Vec::new(),
            repetitions: 1,
            slice: Duration::from_millis(100),
            clock: Duration::from_nanos(25),
            rows: rank(vec![(case, vec![figures])]),
        };
        let path = std::env::temp_dir().join(format!("anyipc-bench-json-{}", std::process::id()));
        save(&report, &path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["schema"], 1);
        assert_eq!(value["settings"]["clock_ns"], 25.0);
        assert_eq!(value["rows"][0]["pattern"], "round-trip");
        assert_eq!(value["rows"][0]["peer"], "thread");
        assert_eq!(value["rows"][0]["median"]["p50_ns"], 250.0);
        assert_eq!(value["rows"][0]["ratio"], 1.0);
        assert!(value["machine"]["cores"].as_u64().unwrap() >= 1);
    }

    #[test]
    fn an_unwritable_file_is_named() {
        let report = Report {
            machine: Machine::look(),
            wait: Wait::Spin,
            pinning: None,
            placement: Vec::new(),
            repetitions: 0,
            slice: Duration::ZERO,
            clock: Duration::ZERO,
            rows: Vec::new(),
        };
        let error = save(&report, Path::new("/nonexistent/bench.json")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/bench.json"), "{error}");
    }
}
