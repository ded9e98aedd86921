//! `anyipc bench`: every transport, measured between two processes.
//!
//! - `args`, `values`, `plan`, `case`: the command line; which rows, how often, how long
//! - `setting`: what is the same for all rows
//! - `carrier`: what carries the messages of a row
//! - `meeting`: how both sides come to their ends; `peer`, `process`: the other side, and its
//!   handle in the driver
//! - `repetition`: measures one row once
//! - `noise`, `figures`: what disturbed it; medians and ratios
//! - `report`: table, JSON, CSV, Markdown, picture and notes; `progress`: the bar
//!
//! The harness itself is the crate `anyipc-measure`.

mod args;
mod carrier;
mod case;
mod figures;
mod meeting;
mod noise;
mod peer;
mod plan;
mod process;
mod progress;
mod repetition;
mod report;
mod setting;
mod values;

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use anyipc::Registry;

pub(crate) use args::Args;

use anyipc_measure::cores::{Pinning, cache_line_round_trip};
use anyipc_measure::machine::{Machine, clock_cost};
use anyipc_measure::watchdog::Watchdog;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use figures::rank;
use noise::Placement;
use plan::Plan;
use progress::Progress;
use repetition::Bench;
use report::{Format, Report, csv, heading, json, markdown, notes, picture, save, table};
use setting::Setting;

/// Runs the benchmark, or the second process of one.
///
/// # Errors
/// A wrong message, a failure of a transport or of the other side, an unwritable file.
pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    if args.peer {
        peer::run().map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Not by clap: it would ask for --json even where a baseline was meant.
    if let Some(word) = args.files.file.as_deref().filter(|_| !out.json()) {
        let word = word.display();
        return Err(Failure::Usage(format!(
            "{word:?}: a file goes with --json, as in --json all.json; baselines follow a =, as in \
             --compare=futex"
        )));
    }
    let plan = Plan::new(args, Registry::global())?;
    interrupt::install()?;
    let json = out.json();
    let watchdog = Watchdog::new(move |why| {
        let failure = failed(why);
        Output::new(json, false).failure(&failure);
        std::process::exit(failure.exit_code().into());
    });
    let report = measure_all(args, &plan, watchdog.map_err(failed)?, out.quiet())?;
    let files = [
        (&args.files.file, json::file as Format),
        (&args.files.csv, csv::file),
        (&args.files.markdown, markdown::file),
        (&args.files.svg, picture::file),
    ];
    for (path, format) in files {
        path.as_ref().map_or(Ok(()), |path| save(&report, path, format))?;
    }
    if out.json() && args.files.file.is_none() {
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

/// Measures all rows. The watchdog ends with that, so that printing the report may take any time.
fn measure_all(args: &Args, plan: &Plan, watchdog: Watchdog, quiet: bool) -> Result<Report> {
    let started = Instant::now();
    let machine = Machine::look();
    let pinning = if args.method.no_pin { None } else { args.method.pin.or_else(Pinning::choose) };
    if let Some(core) = args.method.pin.and_then(Pinning::forbidden) {
        return Err(Failure::Usage(format!(
            "--pin: this process may not use core {core} (see taskset -p $$)"
        )));
    }
    let setting = Setting::new(args, pinning, clock_cost());
    let mut bench = Bench::new(Registry::global(), &watchdog, setting);
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

fn failed(why: anyipc_measure::Failure) -> Failure {
    Failure::Io("the benchmark failed".into(), io::Error::other(why))
}
