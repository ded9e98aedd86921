//! Every process of a run, from its start to its end.

use std::time::Duration;

use super::kind::Role;

/// One process. Times are those of records.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) slot: usize,
    pub(super) role: Role,
    pub(super) pid: u32,
    pub(super) ready: Option<u64>,
    /// Just before the kill; the kernel has cleaned up at `over`.
    pub(super) killed: Option<u64>,
    pub(super) over: Option<u64>,
    /// From and to; the last one may not have ended yet.
    pub(super) stops: Vec<(u64, Option<u64>)>,
    /// Its first exchange with another process.
    pub(super) exchanged: Option<u64>,
    /// Its last record.
    pub(super) last: u64,
    /// It said that it ends in order.
    pub(super) done: bool,
    /// It said why it cannot go on.
    pub(super) failed: bool,
    /// Its log is complete.
    pub(super) closed: bool,
}

/// All processes, by number.
#[derive(Debug)]
pub(super) struct Lives {
    /// A call that takes longer hangs.
    pub(super) patience: Duration,
    /// A death, or a change, shows within this time.
    pub(super) soon: Duration,
    all: Vec<Life>,
    /// Kills after which no other process has gone on yet.
    waiting: Vec<u32>,
    /// From a kill until another process went on.
    pub(super) went_on: Vec<u64>,
}

impl Lives {
    pub(super) fn new(patience: Duration, soon: Duration) -> Self {
        Self { patience, soon, all: Vec::new(), waiting: Vec::new(), went_on: Vec::new() }
    }

    pub(super) fn next(&self) -> u32 {
        self.all.len() as u32
    }

    pub(super) fn start(&mut self, slot: usize, role: Role, pid: u32, now: u64) {
        self.all.push(Life {
            slot,
            role,
            pid,
            ready: None,
            killed: None,
            over: None,
            stops: Vec::new(),
            exchanged: None,
            last: now,
            done: false,
            failed: false,
            closed: false,
        });
    }

    pub(super) fn get(&self, life: u32) -> Option<&Life> {
        self.all.get(life as usize)
    }

    pub(super) fn get_mut(&mut self, life: u32) -> Option<&mut Life> {
        self.all.get_mut(life as usize)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Life)> {
        (0..).zip(&self.all)
    }

    /// The last one to have this process number.
    pub(super) fn with_pid(&self, pid: u64) -> Option<u32> {
        self.iter().filter(|(_, of)| u64::from(of.pid) == pid).map(|(life, _)| life).last()
    }

    /// The process in words.
    pub(super) fn name(&self, life: u32) -> String {
        match self.get(life) {
            Some(of) => format!("{} {}.{life} (process {})", of.role.name(), of.slot, of.pid),
            None => format!("worker {life}"),
        }
    }

    pub(super) fn kill(&mut self, life: u32, killed: u64, over: u64) {
        if let Some(of) = self.get_mut(life) {
            (of.killed, of.over) = (Some(killed), Some(over));
            self.waiting.push(life);
        }
    }

    /// When it was killed.
    pub(super) fn killed(&self, life: u32) -> Option<u64> {
        self.get(life)?.killed
    }

    /// A process has exchanged something with another one, or could use what they share.
    /// Returns the victims after which it is the first.
    pub(super) fn exchanged(&mut self, life: u32, at: u64) -> Vec<u32> {
        if let Some(of) = self.get_mut(life) {
            of.exchanged.get_or_insert(at);
        }
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let mut went_on = Vec::new();
        let killed = |victim: &u32| self.all.get(*victim as usize).and_then(|of| of.killed);
        self.waiting.retain(|victim| {
            let after = killed(victim).and_then(|killed| at.checked_sub(killed));
            let Some(time) = after.filter(|_| *victim != life) else { return true };
            went_on.push((*victim, time));
            false
        });
        self.went_on.extend(went_on.iter().map(|(_, time)| *time));
        went_on.into_iter().map(|(victim, _)| victim).collect()
    }

    /// Lengths of all stops that reach into the time between the two.
    pub(super) fn stopped(&self, from: u64, to: u64) -> u64 {
        let stops = self.all.iter().flat_map(|of| &of.stops);
        let lengths = stops.map(|(begin, end)| {
            let (begin, end) = (*begin, end.unwrap_or(u64::MAX));
            // All of a stop counts: what waits for the stopped process goes on after it.
            if begin <= to && end >= from { end.saturating_sub(begin) } else { 0 }
        });
        lengths.fold(0, u64::saturating_add)
    }

    /// True if what began then and is not over now hangs.
    pub(super) fn hangs(&self, since: u64, now: u64) -> bool {
        let longest = u64::try_from(self.patience.as_nanos()).unwrap_or(u64::MAX);
        let time = now.saturating_sub(since);
        time > longest && time > longest.saturating_add(self.stopped(since, now))
    }

    /// The last time at which what happened at a kill must show: soon after the kernel has
    /// cleaned up, and after what stopped processes hold up.
    pub(super) fn deadline(&self, killed: u64, over: u64) -> u64 {
        let end = over.saturating_add(self.soon.as_nanos() as u64);
        end.saturating_add(self.stopped(killed, end))
    }

    /// From each kill until the first exchange of the next process in the same place.
    pub(super) fn successors(&self) -> Vec<u64> {
        let next = |index: usize, of: &Life| {
            self.all.get(index + 1..)?.iter().find(|later| later.slot == of.slot)?.exchanged
        };
        let time = |(index, of)| Some(next(index, of)?.saturating_sub(of.killed?));
        self.all.iter().enumerate().filter_map(time).collect()
    }
}
