//! Processes that pass one barrier, round after round, and die while they wait; and their oracle.

use std::time::Duration;

use anyipc::Result;
use anyipc::sync::Barrier;

use super::context::{Context, Fault};
use super::kind::Role;
use super::lives::Lives;
use super::message::Id;
use super::mutex::contend;
use super::oracle::{Check, Findings};
use super::queue::silent;
use super::record::{Record, What};
use crate::sys;

/// Parties of the barrier: fewer than there are workers, so that some are in the next round.
const PARTIES: u32 = 2;

/// A participant looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);

/// The lanes of a wait: it ended its round; it was cancelled, counted or not.
const LEADER: u8 = 1;
const CANCELLED: u8 = 2;

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    let barrier = if keeps { Barrier::create(address, PARTIES) } else { Barrier::open(address) }?;
    contend(context, move |random| {
        let since = sys::now();
        let mut id = Id { stream: 0, lane: 0, number: 0 };
        let done = match random.below(8) {
            0 => barrier.wait_timeout(random.instant(13)),
            1 => barrier.wait_timeout(Duration::ZERO),
            2 => {
                let done = context.within(random.instant(16), barrier.wait_async());
                if done.is_err() {
                    context.log.record(What::Got, Id { lane: CANCELLED, ..id }, since, "");
                }
                done
            }
            _ => barrier.wait_timeout(RECHECK),
        };
        if context.has(Fault::Overlap) && done.is_err() {
            context.log.record(What::Got, id, since, "");
        }
        id.lane = if done?.is_leader() { LEADER } else { 0 };
        context.log.record(What::Got, id, since, "");
        Ok(())
    })
}

/// A wait that was counted in a round, or may have been: from its begin to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Passage {
    since: u64,
    at: u64,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Leader,
    Other,
    /// It was cancelled, or its process killed: either of these, or it did not count.
    Unknown,
}

/// The oracle. A round has as many waits as the barrier has parties, and one of them leads it.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// By `since` in the end.
    all: Vec<Passage>,
}

impl super::oracle::Oracle for Rounds {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        if record.what == What::Got {
            findings.checked(Check::Round);
            findings.went_on(life, record.at, lives);
            let part = match record.id.lane {
                LEADER => Part::Leader,
                CANCELLED => Part::Unknown,
                _ => Part::Other,
            };
            self.all.push(Passage { since: record.since, at: record.at, part });
        }
    }

    fn stuck(&self, now: u64, lives: &Lives) -> Option<(u32, String)> {
        silent(now, lives)
    }

    fn owes(&mut self, _life: u32, _lives: &Lives) -> bool {
        false
    }

    fn conclude(&mut self, lives: &Lives, findings: &mut Findings) {
        findings.count("waits that were counted", self.all.len() as u64);
        let leaders = self.all.iter().filter(|one| one.part == Part::Leader).count();
        findings.count("rounds", leaders as u64);
        let killed = lives.iter().filter_map(|(_, of)| Some((of.last, of.killed.and(of.over)?)));
        let unknown = |(since, at)| Passage { since, at, part: Part::Unknown };
        self.all.extend(killed.map(unknown));
        self.all.sort_unstable();
        for (at, what) in [self.alone(), self.short(), self.full()].into_iter().flatten() {
            findings.violation(Check::Round, at, "all participants".into(), what);
        }
    }
}

impl Rounds {
    /// A wait that was counted although no other one was there.
    fn alone(&self) -> Option<(u64, String)> {
        let mut latest = 0;
        let mut all = self.all.iter().peekable();
        while let Some(one) = all.next() {
            let next = all.peek().is_some_and(|next| next.since <= one.at);
            if one.part != Part::Unknown && latest < one.since && !next {
                return Some((one.at, "a wait was counted, and no other one was there".into()));
            }
            latest = latest.max(one.at);
        }
        None
    }

    /// More rounds have ended than the waits until then are enough for.
    fn short(&self) -> Option<(u64, String)> {
        let ends = self.ends(|part| part == Part::Leader);
        (1..).zip(&ends).find_map(|(rounds, end)| {
            let begun = self.all.partition_point(|one| one.since <= *end);
            let what = || format!("{rounds} rounds have ended, with {begun} waits at most");
            (begun < rounds * PARTIES as usize).then(|| (*end, what()))
        })
    }

    /// More waits were counted than the rounds until then have parties.
    fn full(&self) -> Option<(u64, String)> {
        let may_lead = self.all.iter().filter(|one| one.part != Part::Other);
        let begun: Vec<_> = may_lead.map(|one| one.since).collect();
        let ends = self.ends(|part| part != Part::Unknown);
        (1..).zip(&ends).find_map(|(counted, end)| {
            let rounds = begun.partition_point(|since| since <= end);
            let what = || format!("{counted} waits were counted, in {rounds} rounds at most");
            (counted > rounds * PARTIES as usize).then(|| (*end, what()))
        })
    }

    fn ends(&self, is_one: impl Fn(Part) -> bool) -> Vec<u64> {
        let mut ends: Vec<_> =
            self.all.iter().filter(|one| is_one(one.part)).map(|one| one.at).collect();
        ends.sort_unstable();
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(all: &[(u64, u64, Part)]) -> Vec<bool> {
        let mut all: Vec<_> =
            all.iter().map(|&(since, at, part)| Passage { since, at, part }).collect();
        all.sort_unstable();
        let rounds = Rounds { all };
        [rounds.alone(), rounds.short(), rounds.full()].iter().map(Option::is_some).collect()
    }

    #[test]
    fn a_round_has_all_its_parties_and_one_leader() {
        use Part::{Leader, Other, Unknown};
        assert_eq!(found(&[(1, 4, Leader), (2, 5, Other)]), [false; 3]);
        assert_eq!(found(&[(1, 2, Leader), (3, 4, Other)]), [true, true, false]);
        assert_eq!(found(&[(1, 2, Leader), (2, 4, Unknown)]), [false; 3]);
        assert_eq!(found(&[(1, 4, Leader), (2, 5, Leader)]), [false, true, false]);
        assert_eq!(found(&[(1, 4, Other), (2, 5, Other)]), [false, false, true]);
        assert_eq!(found(&[(1, 4, Leader), (2, 5, Other), (3, 6, Other)]), [false, false, true]);
        assert_eq!(found(&[(1, 4, Other), (2, 5, Unknown)]), [false; 3]);
    }
}
