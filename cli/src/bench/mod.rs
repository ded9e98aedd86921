//! `anyipc bench`: every transport, measured between two processes.
//!
//! - `args`, `plan`: what is asked for; which rows, how often, how long
//! - `payload`, `link`: what messages hold and what carries them
//! - `pattern`: which messages go where and what of it is timed, one file per pattern
//! - `peer`, `process`, `guard`: the other side, as itself and as the driver holds it, and its end
//! - `measure`: one row, once; `figures`, `stats`: what is made of it
//! - `machine`, `placement`, `sys`: where it ran
//! - `report`: table, JSON and notes

mod args;
mod figures;
mod guard;
mod link;
mod machine;
mod measure;
mod pattern;
mod payload;
mod peer;
mod placement;
mod plan;
mod process;
mod progress;
mod report;
mod stats;
mod sys;

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use anyipc::Registry;

pub(crate) use args::Args;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use figures::rank;
use guard::Guard;
use machine::{Machine, Pinning, clock_cost};
use measure::Bench;
use placement::cache_line_round_trip;
use plan::Plan;
use progress::Progress;
use report::{Report, heading, notes, record, save, table};

/// Runs the benchmark, or the second process of one.
///
/// # Errors
/// A wrong message, a failure of a transport or of the other side, an unwritable file.
pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    if args.peer {
        peer::run().map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan::new(args, Registry::global())?;
    interrupt::install()?;
    let guard = Guard::new().map_err(failed)?;
    let report = measure_all(args, &plan, &guard, out.quiet())?;
    if let Some(path) = &args.file {
        save(&report, path)?;
    } else if out.json() {
        out.record(record(&report))?;
        return Ok(ExitCode::SUCCESS);
    }
    out.line(heading(&report))?;
    out.line(table(&report.rows))?;
    notes(&report).iter().try_for_each(|note| out.line(format_args!("- {note}")))?;
    Ok(ExitCode::SUCCESS)
}

fn measure_all(args: &Args, plan: &Plan, guard: &Guard, quiet: bool) -> Result<Report> {
    let started = Instant::now();
    let machine = Machine::look();
    let clock = clock_cost();
    let pinning = if args.no_pin { None } else { Pinning::choose() };
    let mut bench = Bench::new(Registry::global(), guard, pinning, clock);
    let mut measured: Vec<_> = plan.cases.iter().map(|case| (case.clone(), Vec::new())).collect();
    let progress = Progress::new(plan, quiet);
    let mut repetitions = 0;
    let mut placement = Vec::new();
    while repetitions < plan.repetitions {
        let began = Instant::now();
        placement.extend(pinning.and_then(cache_line_round_trip));
        for (case, figures) in &mut measured {
            interrupt::check()?;
            progress.show(case);
            match bench.slice(case, plan.slice) {
                Ok(found) => figures.push(found),
                Err(why) => {
                    interrupt::check()?;
                    return Err(failed(format!("{case}: {why}").into()));
                }
            }
            progress.step();
        }
        repetitions += 1;
        if started.elapsed() + began.elapsed() > plan.limit {
            break;
        }
    }
    let (wait, slice, rows) = (args.wait, plan.slice, rank(measured));
    Ok(Report { machine, wait, pinning, placement, repetitions, slice, clock, rows })
}

fn failed(why: link::Failure) -> Failure {
    Failure::Io("the benchmark failed".into(), io::Error::other(why))
}
