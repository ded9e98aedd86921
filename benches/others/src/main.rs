//! Compares anyipc with others on this machine: one table of ratios, each from interleaved runs of
//! both.
//!
//! `benches/others/run`

mod args;
mod contenders;
mod job;
mod link;
mod measure;
mod plan;
mod table;

use std::process::ExitCode;

use anyipc_measure::process::until_dismissed;
use anyipc_measure::{Result, cores};

use crate::job::Job;

/// Holds the numbers of the two cores, for all processes of a measurement.
pub(crate) const CORES: &str = "OTHERS_CORES";

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((role, words)) if role == "first" => first(words),
        Some((role, words)) if role == "second" => second(words),
        _ => args::Args::parse(&words).and_then(|args| args.map_or(Ok(()), |args| compare(&args))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("others: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows that are asked for and prints the table.
fn compare(args: &args::Args) -> Result<()> {
    let rows: Vec<_> = plan::rows().into_iter().filter(|row| args.wants(&row.title())).collect();
    if rows.is_empty() {
        return Err("no row has these words; --list shows all".into());
    }
    if args.list {
        rows.iter().for_each(|row| println!("{}", row.title()));
        return Ok(());
    }
    let (measured, missing) = measure::Measuring::new(args)?.all(rows);
    print!("{}", table::table(&measured, &missing));
    Ok(())
}

/// One measurement: this process takes the time and starts the second one.
fn first(words: &[String]) -> Result<()> {
    let (job, _) = Job::from_words(words)?;
    pin(0)?;
    println!("{}", contenders::first(&job)?);
    Ok(())
}

/// The second process of a measurement.
fn second(words: &[String]) -> Result<()> {
    let (job, place) = Job::from_words(words)?;
    pin(1)?;
    contenders::second(&job, place.ok_or("the second process needs a place")?)?;
    until_dismissed();
    Ok(())
}

/// Ties the calling thread, and what it starts, to the core of this side.
pub(crate) fn pin(side: usize) -> Result<()> {
    let cores = std::env::var(CORES)?;
    let core = cores.split(',').nth(side).ok_or("no such side")?.parse()?;
    if cores::pin(core) { Ok(()) } else { Err(format!("core {core} is not allowed").into()) }
}
