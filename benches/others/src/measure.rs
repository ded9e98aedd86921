//! Runs both sides of each comparison in turn, repetition by repetition, and measures the distance
//! between the cores before and after each.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyipc_measure::Result;
use anyipc_measure::cores::{Pinning, cache_line_round_trip};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::CORES;
use crate::args::Args;
use crate::contenders::PROGRAMS;
use crate::job::Job;
use crate::plan::{Contender, Row};

/// The variable with the directory of the programs in C and C++.
const BIN: &str = "OTHERS_BIN";
/// A measurement that takes longer than this hangs.
const HANGS: Duration = Duration::from_secs(10);
/// Messages of the first run, which estimates how many take the wanted time.
const PROBE: u64 = 1024;
/// All counts are multiples of this, so that batches and the shares of several senders are whole.
const ROUND: u64 = 256;
/// The cores were moved if two distances differ by more than this factor.
const MOVED: f64 = 1.4;
/// Cores are near if a cache line takes fewer nanoseconds there and back.
const NEAR: f64 = 160.0;

/// The distance between the cores during a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distance {
    Near,
    Far,
    /// It changed.
    Moved,
}

/// One repetition: nanoseconds per message.
#[derive(Debug, Clone)]
pub(crate) struct Rep {
    pub(crate) distance: Distance,
    /// The time of a cache line there and back.
    pub(crate) line: f64,
    pub(crate) theirs: f64,
    pub(crate) ours: Vec<f64>,
}

/// The result of a row.
pub(crate) struct Measured {
    pub(crate) row: Row,
    /// Its repetitions, or the reason for none.
    pub(crate) reps: Result<Vec<Rep>>,
}

/// A contender, and the number of messages that take the wanted time.
struct Calibrated<'a> {
    contender: &'a Contender,
    count: u64,
}

pub(crate) struct Measuring<'a> {
    args: &'a Args,
    cores: Pinning,
    programs: Option<PathBuf>,
}

impl<'a> Measuring<'a> {
    pub(crate) fn new(args: &'a Args) -> Result<Self> {
        Ok(Self {
            args,
            cores: Pinning::choose().ok_or("this takes two cores")?,
            programs: std::env::var_os(BIN).map(PathBuf::from),
        })
    }

    /// Measures all rows with existing contenders, and returns the names of missing ones.
    pub(crate) fn all(&self, rows: Vec<Row>) -> (Vec<Measured>, BTreeSet<String>) {
        let there = |row: &Row| row.theirs.iter().all(|one| self.has(one));
        let (rows, without): (Vec<_>, Vec<_>) = rows.into_iter().partition(there);
        let missing = without.into_iter().flat_map(|row| row.theirs).map(|one| one.name).collect();
        let all = rows.len();
        let measure = |(at, row): (usize, Row)| {
            eprint!("[{}/{all}] {}", at + 1, row.title());
            let reps = self.row(&row);
            eprintln!("{}", reps.as_ref().err().map(|why| format!(": {why}")).unwrap_or_default());
            Measured { row, reps }
        };
        (rows.into_iter().enumerate().map(measure).collect(), missing)
    }

    fn has(&self, contender: &Contender) -> bool {
        !PROGRAMS.contains(&contender.name.as_str())
            || self.program(&contender.name).is_some_and(|path| path.exists())
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        Some(self.programs.as_ref()?.join(name))
    }

    /// Repeats until the wanted number of repetitions had the cores at one distance, or twice that
    /// number was made.
    fn row(&self, row: &Row) -> Result<Vec<Rep>> {
        // Takes the fastest. The failure of one matters only if all fail.
        let mut theirs =
            row.theirs.iter().map(|one| self.calibrate(one, row.size)).collect::<Vec<_>>();
        theirs.sort_by_key(|one| one.as_ref().map_or(0, |one| one.count));
        let theirs = theirs.pop().ok_or("no contender to compare with")??;
        let ours = row.ours.iter().map(|one| self.calibrate(&one.contender, row.size));
        let ours = ours.collect::<Result<Vec<_>>>()?;
        let mut reps = Vec::<Rep>::new();
        let wanted = self.args.reps;
        let enough = |reps: &[Rep]| {
            let at = |distance| reps.iter().filter(|rep| rep.distance == distance).count();
            at(Distance::Near).max(at(Distance::Far)) >= wanted || reps.len() >= 2 * wanted
        };
        while !enough(&reps) {
            eprint!(".");
            reps.push(self.rep(row.size, &theirs, &ours, reps.len() % 2 == 1)?);
        }
        Ok(reps)
    }

    fn rep(
        &self,
        size: usize,
        theirs: &Calibrated,
        ours: &[Calibrated],
        backwards: bool,
    ) -> Result<Rep> {
        let mut order: Vec<_> = [theirs].into_iter().chain(ours).enumerate().collect();
        if backwards {
            order.reverse();
        }
        let distance = || cache_line_round_trip(self.cores).ok_or("no cache line was exchanged");
        let mut lines = vec![distance()?];
        let mut times = vec![0.0; order.len()];
        for (at, one) in order {
            times[at] = self.run(one.contender, size, warm(one.count), one.count)?;
            lines.push(distance()?);
        }
        let least = lines.iter().copied().fold(f64::INFINITY, f64::min);
        let most = lines.iter().copied().fold(0.0, f64::max);
        let distance = match most {
            _ if most > MOVED * least => Distance::Moved,
            ..NEAR => Distance::Near,
            _ => Distance::Far,
        };
        let line = lines.iter().sum::<f64>() / lines.len() as f64;
        Ok(Rep { distance, line, theirs: times[0], ours: times.split_off(1) })
    }

    fn calibrate<'c>(&self, contender: &'c Contender, size: usize) -> Result<Calibrated<'c>> {
        let wanted = self.args.time.as_nanos() as f64;
        let mut count = PROBE;
        loop {
            let nanoseconds = self.run(contender, size, warm(count), count)?;
            let tried = count as f64 * nanoseconds;
            count = ((wanted / nanoseconds) as u64).max(1).next_multiple_of(ROUND);
            // A short run measures mostly its start.
            if tried > wanted / 2.0 {
                return Ok(Calibrated { contender, count });
            }
        }
    }

    /// Nanoseconds per message of one measurement.
    fn run(&self, contender: &Contender, size: usize, warm: u64, count: u64) -> Result<f64> {
        let Contender { name, variant, pattern } = contender;
        let job = Job {
            contender: name.clone(),
            variant: variant.clone(),
            pattern: *pattern,
            size,
            warm,
            count,
        };
        let mut command = match self.program(name).filter(|_| PROGRAMS.contains(&name.as_str())) {
            Some(program) => Command::new(program),
            None => {
                let mut again = Command::new(std::env::current_exe()?);
                again.args(["first", name]);
                again
            }
        };
        let Pinning { driver, peer } = self.cores;
        command.args(job.words()).env(CORES, format!("{driver},{peer}"));
        let words = format!("{name} {variant} {} {size}", pattern.word());
        let child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let (status, said) = watch(child).map_err(|why| format!("{words}: {why}"))?;
        let said = said.trim().parse::<f64>().ok().filter(|_| status.success());
        said.ok_or_else(|| format!("{words}: {status}").into())
    }
}

/// Messages before the clock starts.
fn warm(count: u64) -> u64 {
    (count / 2).next_multiple_of(ROUND)
}

/// Waits for the end of a process and its children, and kills them all if they take too long.
fn watch(mut child: Child) -> Result<(ExitStatus, String)> {
    let group = Pid::from_child(&child);
    let mut out = child.stdout.take().ok_or("no output")?;
    let (end, ended) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut said = String::new();
        let read = out.read_to_string(&mut said);
        // Fails after the kill below: the receiver no longer waits.
        let _ = end.send(());
        read.map(|_| said)
    });
    let hangs = ended.recv_timeout(HANGS).is_err();
    if hangs {
        kill_process_group(group, Signal::KILL)?;
    }
    let said = reader.join().map_err(|_| "no output")??;
    let status = child.wait()?;
    if hangs { Err(format!("hung, killed after {HANGS:?}").into()) } else { Ok((status, said)) }
}
