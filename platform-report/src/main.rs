//! Prints what a platform does with `anyipc`: facts of the system, the conformance suite of every
//! transport, and probes of what only the real system can settle.

mod arguments;
mod facts;
mod helper;
mod outcome;
mod output;
mod panics;
mod probes;
mod suite;
mod sys;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::{Arguments, Task};
use output::{Progress, Report};

fn main() -> ExitCode {
    let task = match arguments::parse(std::env::args().skip(1)) {
        Ok(task) => task,
        Err(fault) => {
            eprintln!("platform-report: {fault}\n\n{}", arguments::HELP);
            return ExitCode::from(2);
        }
    };
    let done = match task {
        Task::Help => writeln!(io::stdout(), "{}", arguments::HELP).map(|()| true),
        Task::List => list(),
        Task::Report(arguments) => report(&arguments),
        Task::Role(words) => helper::play(&words),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("platform-report: writing the report: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What `--only` may name.
fn list() -> io::Result<bool> {
    let mut out = io::stdout().lock();
    for fixture in suite::fixtures() {
        writeln!(out, "suite {}", fixture.label)?;
    }
    for probe in probes::ALL {
        writeln!(out, "probe {}: {}", probe.name, probe.question)?;
    }
    Ok(true)
}

/// Runs everything. True if nothing failed.
fn report(arguments: &Arguments) -> io::Result<bool> {
    let mut report = Report::new(arguments.json);
    report.facts(facts::all())?;
    let left_before = facts::files_of_the_private_directory();

    let fixtures: Vec<_> =
        suite::fixtures().into_iter().filter(|fixture| arguments.wants(&fixture.label)).collect();
    let probes: Vec<_> = probes::ALL.iter().filter(|probe| arguments.wants(probe.name)).collect();
    let mut progress = Progress::new(fixtures.len() + probes.len());
    for fixture in fixtures {
        progress.next(&fixture.label);
        report.suite(suite::run(&fixture, arguments.limit, &mut progress))?;
    }
    for probe in probes {
        progress.next(probe.name);
        report.probe(probes::run(probe, arguments))?;
    }
    report.probe(probes::leftovers(&left_before))?;
    report.end()
}
