//! `anyipc bench`: every transport, measured between two processes.
//!
//! - `args`, `values`, `plan`, `case`: what is asked for; which rows, how often, how long
//! - `payload`, `link`: what messages hold and what carries them: `channel`, `queue`, `crowd` (of several senders),
//!   `memcpy`, `sys::bare`; `carrier` chooses
//! - `pattern`: which messages go where and what of it is timed, one file per pattern
//! - `peer`, `process`, `guard`: the other side, as itself and as the driver holds it, and its end
//! - `meeting`: how both come to their ends; `measure`: one row, once
//! - `figures`, `stats`, `noise`: what is made of it
//! - `machine`, `placement`, `sys`: where it ran
//! - `report`: table, JSON, CSV, Markdown, picture and notes

mod args;
mod carrier;
mod case;
mod channel;
mod crowd;
mod figures;
mod guard;
mod link;
mod machine;
mod measure;
mod meeting;
mod memcpy;
mod noise;
mod pattern;
mod payload;
mod peer;
mod placement;
mod plan;
mod process;
mod progress;
mod queue;
mod report;
mod stats;
mod sys;
mod values;

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
use measure::{Bench, Setting};
use noise::Placement;
use placement::cache_line_round_trip;
use plan::Plan;
use progress::Progress;
use report::{Format, Report, csv, heading, json, markdown, notes, picture, save, table};

/// Runs the benchmark, or the second process of one.
///
/// # Errors
/// A wrong message, a failure of a transport or of the other side, an unwritable file.
pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    if args.peer {
        peer::run().map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Without --json, clap would ask for that, also of who meant a baseline.
    if let Some(word) = args.file.as_deref().filter(|_| !out.json()) {
        let word = word.display();
        return Err(Failure::Usage(format!(
            "{word:?}: a file goes with --json, as in --json all.json; baselines follow a =, as in --compare=futex"
        )));
    }
    let plan = Plan::new(args, Registry::global())?;
    interrupt::install()?;
    let guard = Guard::new(out.json()).map_err(failed)?;
    let report = measure_all(args, &plan, guard, out.quiet())?;
    let files = [
        (&args.file, json::file as Format),
        (&args.csv, csv::file),
        (&args.markdown, markdown::file),
        (&args.svg, picture::file),
    ];
    for (path, format) in files {
        path.as_ref().map_or(Ok(()), |path| save(&report, path, format))?;
    }
    if out.json() && args.file.is_none() {
        out.record(json::record(&report))?;
        return Ok(ExitCode::SUCCESS);
    }
    out.prose(&heading(&report), "")?;
    let (drawn, left_out) = table(&report.rows, out.width());
    out.line(drawn)?;
    notes(&report).iter().try_for_each(|note| out.prose(&format!("- {note}"), "  "))?;
    if !left_out.is_empty() {
        out.flush()?;
        out.note(format_args!(
            "The terminal is too narrow for: {}. --json, --csv and --markdown have all.",
            left_out.join(", ")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures. The guard ends with that: who reads the report may take all the time there is.
fn measure_all(args: &Args, plan: &Plan, guard: Guard, quiet: bool) -> Result<Report> {
    let started = Instant::now();
    let machine = Machine::look();
    let pinning = if args.no_pin { None } else { args.pin.or_else(Pinning::choose) };
    if let Some(core) = args.pin.and_then(Pinning::forbidden) {
        return Err(Failure::Usage(format!(
            "--pin: this process may not use core {core} (see taskset -p $$)"
        )));
    }
    let setting = Setting::new(args, pinning, clock_cost());
    let mut bench = Bench::new(Registry::global(), &guard, setting);
    let mut measured: Vec<_> = plan.cases.iter().map(|case| (case.clone(), Vec::new())).collect();
    let progress = Progress::new(plan, quiet);
    let place = || pinning.and_then(cache_line_round_trip);
    let mut placement = Placement(place().into_iter().collect());
    let mut repetitions = 0;
    while repetitions < plan.repetitions {
        let began = Instant::now();
        for (case, figures) in &mut measured {
            interrupt::check()?;
            progress.show(case);
            match bench.slice(case, plan.slice(case)) {
                Ok(found) => figures.push(found),
                Err(why) => {
                    interrupt::check()?;
                    return Err(failed(format!("{case}: {why}").into()));
                }
            }
            progress.step();
        }
        repetitions += 1;
        placement.0.extend(place());
        if started.elapsed() + began.elapsed() > plan.limit {
            break;
        }
    }
    let rows = rank(measured, &placement);
    Ok(Report { machine, setting, placement, repetitions, repetition: plan.repetition(), rows })
}

fn failed(why: link::Failure) -> Failure {
    Failure::Io("the benchmark failed".into(), io::Error::other(why))
}
