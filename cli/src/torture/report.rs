//! What a run tells at its end: a table, or one JSON line.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Plan;
use super::driver::Driver;
use super::kind::Kind;
use super::oracle::{Check, Violation};
use crate::failure::Result;
use crate::output::Output;
use crate::table;

/// Order statistics of times.
#[derive(Debug, Serialize, PartialEq)]
struct Times {
    count: usize,
    median_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    /// Times of at most so many milliseconds, not counting those of a smaller bound.
    histogram_ms: BTreeMap<u64, u64>,
}

impl Times {
    fn new(mut nanos: Vec<u64>) -> Self {
        nanos.sort_unstable();
        // The least time that this share of all does not exceed.
        let at = |percent: usize| {
            let index = (nanos.len() * percent).div_ceil(100).checked_sub(1)?;
            nanos.get(index).map(|time| *time as f64 / 1e6)
        };
        let mut histogram_ms = BTreeMap::new();
        for time in &nanos {
            *histogram_ms.entry(time.div_ceil(1_000_000).next_power_of_two()).or_default() += 1;
        }
        Self {
            count: nanos.len(),
            median_ms: at(50),
            p99_ms: at(99),
            max_ms: at(100),
            histogram_ms,
        }
    }

    fn row(&self, name: &str) -> [String; 5] {
        let ms = |time: Option<f64>| time.map_or("-".into(), |time| format!("{time:.1} ms"));
        [name.into(), self.count.to_string(), ms(self.median_ms), ms(self.p99_ms), ms(self.max_ms)]
    }
}

#[derive(Serialize)]
struct Row {
    check: Check,
    promise: &'static str,
    checked: u64,
    of: &'static str,
    violations: u64,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    address: String,
    #[serde(rename = "as")]
    kind: Kind,
    seed: u64,
    workers: usize,
    size: usize,
    kills: u64,
    stops: u64,
    seconds: f64,
    held: bool,
    /// False if the run ended early: what never arrived is then not searched for.
    complete: bool,
    checks: Vec<Row>,
    /// From a kill until a survivor's call said so.
    told: Times,
    /// From a kill until another process had its next exchange.
    went_on: Times,
    /// From a kill until the first exchange of the victim's successor, a new process.
    successor: Times,
    counts: &'a BTreeMap<&'static str, u64>,
    violations: Vec<Violation>,
}

/// Prints what the run has found.
pub(super) fn print(plan: &Plan, driver: &Driver<'_>, seconds: f64, out: &Output) -> Result<()> {
    let findings = &driver.findings;
    let rows = findings.tallies.iter().map(|(check, tally)| {
        let (promise, of) = check.promise();
        Row { check: *check, promise, checked: tally.checked, of, violations: tally.violated }
    });
    let mut violations = findings.violations.clone();
    violations.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        address: plan.address.to_string(),
        kind: plan.kind,
        seed: plan.seed,
        workers: plan.workers,
        size: plan.size,
        kills: driver.kills,
        stops: driver.stops,
        seconds,
        held: findings.violated() == 0,
        complete: !driver.stuck,
        checks: rows.collect(),
        told: Times::new(findings.told.clone()),
        went_on: Times::new(driver.lives.went_on.clone()),
        successor: Times::new(driver.lives.successors()),
        counts: &findings.counts,
        violations,
    };
    if out.json() {
        return out.record(report);
    }
    text(&report, findings.violated(), out)
}

fn text(report: &Report<'_>, violated: u64, out: &Output) -> Result<()> {
    out.line(format_args!(
        "{} as {}: {} kills, {} stops, {} workers, seed {}, {:.1} s\n",
        report.address,
        report.kind.name(),
        report.kills,
        report.stops,
        report.workers,
        report.seed,
        report.seconds
    ))?;
    let checks = report.checks.iter().map(|row| {
        let result = match row.violations {
            0 => "held".to_owned(),
            count => format!("BROKEN {count} times"),
        };
        [row.promise.to_owned(), format!("{} {}", row.checked, row.of), result]
    });
    out.line(table::columns(["PROMISE", "CHECKED", "RESULT"], checks))?;
    let counts = [report.told.count, report.went_on.count, report.successor.count];
    let times = [
        report.told.row("a survivor's call said so"),
        report.went_on.row("another process went on"),
        report.successor.row("a new process took its place"),
    ];
    // Queues and blocks tell nobody.
    let times = times.into_iter().zip(counts).filter_map(|(row, count)| (count > 0).then_some(row));
    out.line("")?;
    out.line(table::columns(["AFTER A KILL, UNTIL", "COUNT", "MEDIAN", "P99", "MAX"], times))?;
    out.line("")?;
    for (what, count) in report.counts {
        out.line(format_args!("{what}: {count}"))?;
    }
    if violated == 0 {
        return Ok(());
    }
    out.line(format_args!("\n{violated} violations; --seed {} repeats the run:", report.seed))?;
    if !report.complete {
        out.line("  The run ended early; what never arrived was not searched for.")?;
    }
    for violation in &report.violations {
        let Violation { check, at_ms, worker, what, .. } = violation;
        out.line(format_args!("  {:.1} ms, {}, {worker}: {what}", at_ms, check.name()))?;
    }
    if report.violations.len() as u64 != violated {
        out.line(format_args!("  … and {} more", violated - report.violations.len() as u64))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact() {
        let ms = |times: &[u64]| Times::new(times.iter().map(|time| time * 1_000_000).collect());
        let none = ms(&[]);
        assert_eq!((none.count, none.median_ms, none.max_ms), (0, None, None));
        let all: Vec<u64> = (1..=200).rev().collect();
        let all = ms(&all);
        assert_eq!(
            (all.median_ms, all.p99_ms, all.max_ms),
            (Some(100.0), Some(198.0), Some(200.0))
        );
        assert_eq!(all.histogram_ms.values().sum::<u64>(), 200);
        assert_eq!(all.histogram_ms[&128], 64);
        assert_eq!(ms(&[3]).row("x"), ["x", "1", "3.0 ms", "3.0 ms", "3.0 ms"].map(String::from));
    }
}
