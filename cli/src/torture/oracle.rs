//! What the oracle checks, and what it has found.

use std::collections::BTreeMap;

use serde::Serialize;

use super::lives::Lives;
use super::record::Record;

/// Judges the records of one kind of work. It knows only what workers have reported and which of
/// them the driver has killed or stopped.
pub(super) trait Oracle {
    /// One record. Those of one worker come in order.
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings);

    /// A worker that has been in one call for too long: it and the call in words.
    fn stuck(&self, now: u64, lives: &Lives) -> Option<(u32, String)>;

    /// True if the worker has yet to notice a death: killing it would hide that it is late.
    fn owes(&mut self, life: u32, lives: &Lives) -> bool;

    /// All workers have ended.
    fn conclude(&mut self, lives: &Lives, findings: &mut Findings);
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    Lost,
    Torn,
    Twice,
    Order,
    Unsent,
    Stale,
    Exclusion,
    Round,
    Value,
    Untold,
    Late,
    FalseDeath,
    Hang,
    Failed,
    Descriptors,
    Left,
}

impl Check {
    /// The promise, and what is counted.
    pub(super) fn promise(self) -> (&'static str, &'static str) {
        match self {
            Self::Lost => ("what was sent with Ok arrives", "sends"),
            Self::Torn => ("what arrives is whole", "arrivals"),
            Self::Twice => ("what arrives arrives once", "arrivals"),
            Self::Order => ("what arrives is in order", "arrivals"),
            Self::Unsent => ("what was not sent does not arrive", "lanes"),
            Self::Stale => ("a value that was replaced is not seen again", "loads"),
            Self::Exclusion => ("no two hold what one may hold", "holds"),
            Self::Round => ("a round has all its parties", "waits"),
            Self::Value => ("a holder finds what the last one left", "holds"),
            Self::Untold => ("the next holder is told of a death", "deaths"),
            Self::Late => ("a death or a change shows in time", "waits"),
            Self::FalseDeath => ("no living peer is called dead or closed", "ends"),
            Self::Hang => ("no call hangs", "workers"),
            Self::Failed => ("no worker fails", "workers"),
            Self::Descriptors => ("no descriptor is left open", "workers"),
            Self::Left => ("no object is left over", "searches"),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Torn => "torn",
            Self::Twice => "twice",
            Self::Order => "order",
            Self::Unsent => "unsent",
            Self::Stale => "stale",
            Self::Exclusion => "exclusion",
            Self::Round => "round",
            Self::Value => "value",
            Self::Untold => "untold",
            Self::Late => "late",
            Self::FalseDeath => "false_death",
            Self::Hang => "hang",
            Self::Failed => "failed",
            Self::Descriptors => "descriptors",
            Self::Left => "left",
        }
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Violation {
    pub(super) check: Check,
    pub(super) seed: u64,
    /// Milliseconds since the start of the run.
    pub(super) at_ms: f64,
    pub(super) worker: String,
    pub(super) what: String,
}

/// How often a promise was looked at and broken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) checked: u64,
    pub(super) violated: u64,
}

/// More violations are only counted.
const LISTED: usize = 50;

/// What was checked and found.
#[derive(Debug)]
pub(super) struct Findings {
    seed: u64,
    started: u64,
    pub(super) tallies: BTreeMap<Check, Tally>,
    pub(super) violations: Vec<Violation>,
    /// From kills until survivors were told.
    pub(super) told: Vec<u64>,
    /// What is no promise, but good to know.
    pub(super) counts: BTreeMap<&'static str, u64>,
}

impl Findings {
    pub(super) fn new(seed: u64, started: u64) -> Self {
        let (tallies, counts) = (BTreeMap::new(), BTreeMap::new());
        Self { seed, started, tallies, violations: Vec::new(), told: Vec::new(), counts }
    }

    pub(super) fn checked(&mut self, check: Check) {
        self.tallies.entry(check).or_default().checked += 1;
    }

    pub(super) fn count(&mut self, what: &'static str, number: u64) {
        *self.counts.entry(what).or_default() += number;
    }

    pub(super) fn violation(&mut self, check: Check, at: u64, worker: String, what: String) {
        self.tallies.entry(check).or_default().violated += 1;
        if self.violations.len() < LISTED {
            let at_ms = at.saturating_sub(self.started) as f64 / 1e6;
            self.violations.push(Violation { check, seed: self.seed, at_ms, worker, what });
        }
    }

    /// A process has used what it shares with others: those that were killed do not hold it up.
    pub(super) fn went_on(&mut self, life: u32, at: u64, lives: &mut Lives) {
        for victim in lives.exchanged(life, at) {
            self.checked(Check::Late);
            let Some((killed, over)) = lives.get(victim).and_then(|of| of.killed.zip(of.over))
            else {
                continue;
            };
            if at > lives.deadline(killed, over) {
                let time = (at - killed) / 1_000_000;
                let what = format!("{time} ms without any exchange after its death");
                self.violation(Check::Late, killed, lives.name(victim), what);
            }
        }
    }

    pub(super) fn violated(&self) -> u64 {
        self.tallies.values().map(|tally| tally.violated).sum()
    }
}
