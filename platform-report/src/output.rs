//! The report as text or as JSON, on standard output; progress, on standard error.

use std::io::{self, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use crate::facts::Fact;
use crate::outcome::{Counts, Verdict};
use crate::probes::Answered;
use crate::suite::Suite;
use crate::{facts, sys};

/// Columns of the text.
const WIDTH: usize = 100;

/// Says on standard error what runs.
#[derive(Debug)]
pub(crate) struct Progress {
    all: usize,
    begun: usize,
    name: String,
    /// Each step replaces the line before.
    in_place: bool,
}

impl Progress {
    pub(crate) fn new(all: usize) -> Self {
        Self { all, begun: 0, name: String::new(), in_place: io::stderr().is_terminal() }
    }

    /// The next suite or probe begins.
    pub(crate) fn next(&mut self, name: &str) {
        self.begun += 1;
        name.clone_into(&mut self.name);
        self.show("", if self.in_place { "" } else { "\n" });
    }

    /// A check of the suite begins.
    pub(crate) fn step(&self, name: &str) {
        if self.in_place {
            self.show(name, "");
        }
    }

    fn show(&self, step: &str, end: &str) {
        let start = if self.in_place { "\r\x1b[K" } else { "" };
        let Self { all, begun, name, .. } = self;
        // Nobody reads it: go on.
        let _ = write!(io::stderr(), "{start}[{begun}/{all}] {name} {step}{end}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.in_place {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// What was found out. Text is printed as it comes, JSON at the end.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    out: StdoutLock<'static>,
    all: All,
}

#[derive(Debug, Default, Serialize)]
struct All {
    platform: String,
    facts: Vec<Fact>,
    suites: Vec<Suite>,
    probes: Vec<Answered>,
    table: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    transport: String,
    #[serde(flatten)]
    counts: Counts,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        let all = All { platform: facts::platform(), ..All::default() };
        Self { json, out: io::stdout().lock(), all }
    }

    pub(crate) fn facts(&mut self, facts: Vec<Fact>) -> io::Result<()> {
        if !self.json {
            writeln!(self.out, "# anyipc on {}\n\n## Facts", self.all.platform)?;
            for Fact { name, value } in &facts {
                writeln!(self.out, "{name:<20} {value}")?;
            }
            writeln!(self.out, "\n## Conformance")?;
        }
        self.all.facts = facts;
        Ok(())
    }

    pub(crate) fn suite(&mut self, suite: Suite) -> io::Result<()> {
        if !self.json {
            let Counts { passed, failed, skipped } = suite.counts();
            let label = &suite.transport;
            match &suite.missing {
                Some(why) => writeln!(self.out, "\n{label}: not there: {why}")?,
                None => writeln!(
                    self.out,
                    "\n{label}: {passed} passed, {failed} failed, {skipped} skipped"
                )?,
            }
            let of = |verdict| suite.checks.iter().filter(move |c| c.outcome.verdict == verdict);
            for check in of(Verdict::Failed) {
                let (name, detail) = (check.name, shown(&check.outcome.detail));
                writeln!(self.out, "  FAILED {name}, {} ms: {detail}", check.milliseconds)?;
            }
            for check in of(Verdict::Skipped) {
                writeln!(self.out, "  skipped {}: {}", check.name, check.outcome.detail)?;
            }
            let passed: Vec<_> = of(Verdict::Passed).map(|check| check.name).collect();
            wrapped(&mut self.out, "  passed", &passed)?;
            self.out.flush()?;
        }
        self.all.suites.push(suite);
        Ok(())
    }

    pub(crate) fn probe(&mut self, answered: Answered) -> io::Result<()> {
        if !self.json {
            if self.all.probes.is_empty() {
                writeln!(self.out, "\n## Probes")?;
            }
            let sign = match answered.outcome.verdict {
                Verdict::Passed => "",
                Verdict::Failed => "FAILED: ",
                Verdict::Skipped => "skipped: ",
            };
            let detail = shown(&answered.outcome.detail);
            writeln!(self.out, "{}? ({})\n  {sign}{detail}", answered.question, answered.name)?;
            self.out.flush()?;
        }
        self.all.probes.push(answered);
        Ok(())
    }

    /// Prints the table. True if nothing failed.
    pub(crate) fn end(mut self) -> io::Result<bool> {
        let mut of_probes = Counts::default();
        self.all.probes.iter().for_each(|probe| of_probes.add(probe.outcome.verdict));
        let suites = self.all.suites.iter().filter(|suite| suite.missing.is_none());
        let mut table: Vec<_> = suites
            .map(|suite| Line { transport: suite.transport.clone(), counts: suite.counts() })
            .collect();
        table.push(Line { transport: "probes".to_owned(), counts: of_probes });
        let failed: usize = table.iter().map(|line| line.counts.failed).sum();
        self.all.table = table;
        if self.json {
            serde_json::to_writer_pretty(&mut self.out, &self.all)?;
            writeln!(self.out)?;
        } else {
            writeln!(self.out, "\n## Table\n| platform | transport | passed | failed | skipped |")?;
            writeln!(self.out, "|---|---|---|---|---|")?;
            for Line { transport, counts: Counts { passed, failed, skipped } } in &self.all.table {
                let platform = &self.all.platform;
                writeln!(
                    self.out,
                    "| {platform} | `{transport}` | {passed} | {failed} | {skipped} |"
                )?;
            }
            for suite in self.all.suites.iter().filter(|suite| suite.missing.is_some()) {
                let platform = &self.all.platform;
                writeln!(self.out, "| {platform} | `{}` | not there | | |", suite.transport)?;
            }
        }
        self.out.flush()?;
        Ok(failed == 0)
    }
}

/// On one line, without the user's home directory.
fn shown(text: &str) -> String {
    let line = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" / ");
    match sys::home() {
        Some(home) if home.len() > 1 => line.replace(&home, "~"),
        _ => line,
    }
}

/// Words behind a title, on as many lines as they need.
fn wrapped(out: &mut impl Write, title: &str, words: &[&str]) -> io::Result<()> {
    let mut line = title.to_owned();
    for word in words {
        if line.len() + 1 + word.len() > WIDTH {
            writeln!(out, "{line}")?;
            line = "   ".to_owned();
        }
        line = format!("{line} {word}");
    }
    if words.is_empty() { Ok(()) } else { writeln!(out, "{line}") }
}
