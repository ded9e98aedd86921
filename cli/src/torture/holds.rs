//! The oracle of locks: what each process held, from when to when.
//!
//! A hold is reported just after the lock was taken and just before it is given back, by a clock
//! that all processes share: two holds that exclude each other never overlap in the reports. A
//! process that was killed with a lock holds it no longer than to its kill.

use std::collections::HashMap;

use super::condvar::{ALL, ONE};
use super::kind::Role;
use super::lives::Lives;
use super::mutex::OWNER_DIED;
use super::oracle::{Check, Findings, Oracle};
use super::queue::silent;
use super::record::{EXCLUSIVE, Record, What};

const MS: u64 = 1_000_000;

/// One hold.
#[derive(Debug, Clone, PartialEq)]
struct Hold {
    life: u32,
    lane: u8,
    from: u64,
    /// `None`: it was never given back.
    to: Option<u64>,
    /// What the lock protected when it was taken, and when it was given back.
    found: u64,
    left: u64,
    told: bool,
    /// What is notified of it: its holder is about to do that, or has.
    notifies: Option<Notifies>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notifies {
    One,
    All,
}

/// What a lock allows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// Holds at a time; one that is exclusive, alone.
    pub(super) most: usize,
    /// The next holder is told that the one before has died holding.
    pub(super) tells: bool,
    /// The lock protects a count, which each exclusive hold raises.
    pub(super) counts: bool,
}

/// The oracle.
#[derive(Debug)]
pub(super) struct Holds {
    rules: Rules,
    all: Vec<Hold>,
    /// By life, the index of the hold that has not been given back.
    open: Vec<Option<usize>>,
}

impl Holds {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, all: Vec::new(), open: Vec::new() }
    }

    fn open(&mut self, life: u32) -> &mut Option<usize> {
        let life = life as usize;
        if self.open.len() <= life {
            self.open.resize(life + 1, None);
        }
        &mut self.open[life]
    }
}

impl Oracle for Holds {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        match record.what {
            What::Held => {
                findings.checked(Check::Exclusion);
                findings.went_on(life, record.at, lives);
                let told = record.text == OWNER_DIED;
                if !told && !record.text.is_empty() {
                    let what = "the value is torn, and nobody was said to have died".to_owned();
                    findings.violation(Check::Torn, record.at, lives.name(life), what);
                }
                let found = record.id.number;
                *self.open(life) = Some(self.all.len());
                self.all.push(Hold {
                    life,
                    lane: record.id.lane,
                    from: record.at,
                    to: None,
                    found,
                    left: found,
                    told,
                    notifies: None,
                });
            }
            What::Freed => {
                let index = self.open(life).take();
                if let Some(hold) = index.and_then(|index| self.all.get_mut(index)) {
                    hold.to = Some(record.at);
                    hold.left = record.id.number;
                    hold.notifies = match record.text.as_str() {
                        ONE => Some(Notifies::One),
                        ALL => Some(Notifies::All),
                        _ => None,
                    };
                }
            }
            _ => {}
        }
    }

    fn stuck(&self, now: u64, lives: &Lives) -> Option<(u32, String)> {
        silent(now, lives)
    }

    fn owes(&mut self, _life: u32, _lives: &Lives) -> bool {
        false
    }

    fn conclude(&mut self, lives: &Lives, findings: &mut Findings) {
        self.all.sort_by_key(|hold| hold.from);
        self.exclusion(lives, findings);
        if self.rules.tells {
            self.news(lives, findings);
        }
        if self.rules.counts {
            self.values(lives, findings);
        }
        self.waits(lives, findings);
        let exclusive = self.all.iter().filter(|hold| hold.lane == EXCLUSIVE).count();
        findings.count("exclusive holds", exclusive as u64);
        findings.count("shared holds", (self.all.len() - exclusive) as u64);
    }
}

impl Hold {
    /// Its end: when it was given back, or when its process was killed.
    fn end(&self, lives: &Lives) -> u64 {
        self.to.or_else(|| lives.killed(self.life)).unwrap_or(u64::MAX)
    }

    fn is_exclusive(&self) -> bool {
        self.lane == EXCLUSIVE
    }

    /// It ended by the death of its process.
    fn died(&self, lives: &Lives) -> bool {
        self.to.is_none() && lives.killed(self.life).is_some()
    }
}

impl Holds {
    fn exclusion(&self, lives: &Lives, findings: &mut Findings) {
        let mut now: Vec<&Hold> = Vec::new();
        for hold in &self.all {
            now.retain(|other| other.end(lives) > hold.from);
            let alone = hold.is_exclusive() || now.iter().any(|other| other.is_exclusive());
            let most = if alone { 1 } else { self.rules.most };
            if now.len() >= most {
                let others: Vec<_> = now.iter().map(|other| lives.name(other.life)).collect();
                let what = format!("took the lock while it was held by {}", others.join(", "));
                findings.violation(Check::Exclusion, hold.from, lives.name(hold.life), what);
            }
            now.push(hold);
        }
    }

    /// After the death of an exclusive holder all are told until the next exclusive one, which
    /// repairs what the lock protects; and nobody otherwise.
    fn news(&self, lives: &Lives, findings: &mut Findings) {
        // A process may go on between the two times.
        let deaths: Vec<_> = lives.iter().filter_map(|(_, of)| of.killed.zip(of.over)).collect();
        let mut before: Option<&Hold> = None;
        for hold in &self.all {
            let since = before.map_or(0, |hold| hold.from);
            let died = before.is_some_and(|hold| hold.is_exclusive() && hold.died(lives));
            if died {
                findings.checked(Check::Untold);
                let killed = before.map_or(0, |hold| hold.end(lives));
                if hold.told {
                    findings.told.push(hold.from.saturating_sub(killed));
                } else {
                    let what = "took the lock of a dead owner, and was not told".to_owned();
                    findings.violation(Check::Untold, hold.from, lives.name(hold.life), what);
                }
            }
            if hold.told {
                findings.checked(Check::FalseDeath);
                // It may have died before it could report the lock, or after it gave it back.
                let is_near = |&(killed, over): &(u64, u64)| killed <= hold.from && over >= since;
                if !deaths.iter().any(is_near) {
                    let what = "was told of a dead owner; nobody has died since the last one";
                    let worker = lives.name(hold.life);
                    findings.violation(Check::FalseDeath, hold.from, worker, what.into());
                }
            }
            if hold.is_exclusive() {
                before = Some(hold);
            }
        }
    }

    /// Each exclusive hold finds what the one before has left.
    fn values(&self, lives: &Lives, findings: &mut Findings) {
        let mut before: Option<&Hold> = None;
        for hold in &self.all {
            findings.checked(Check::Value);
            if let Some(last) = before {
                // A change is in the value or not, if its maker died while it gave the lock back.
                let killed = lives.killed(last.life).is_some_and(|killed| killed <= hold.from);
                let is_right = hold.found == last.left || killed && hold.found == last.found;
                if !is_right {
                    let what = format!("found {} where {} was left", hold.found, last.left);
                    findings.violation(Check::Value, hold.from, lives.name(hold.life), what);
                }
            }
            if hold.is_exclusive() {
                before = Some(hold);
            }
        }
    }

    /// What is notified in the midst of a wait ends it in time, or another one if it is for one.
    fn waits(&self, lives: &Lives, findings: &mut Findings) {
        let mut unlocked: HashMap<u32, u64> = HashMap::new();
        let mut waits = Vec::new();
        for hold in &self.all {
            if lives.get(hold.life).is_none_or(|of| of.role != Role::Receiver) {
                continue;
            }
            if let Some(since) = unlocked.remove(&hold.life) {
                findings.checked(Check::Late);
                waits.push(Wait { life: hold.life, since, to: hold.from });
            }
            unlocked.extend(hold.to.map(|to| (hold.life, to)));
        }
        let soon = lives.soon.as_nanos() as u64;
        for wait in waits.iter().filter(|wait| wait.to.saturating_sub(wait.since) > soon) {
            let late = self.all.iter().find(|hold| wait.is_late(hold, &waits, lives));
            if let Some(at) = late.and_then(|hold| hold.to) {
                let what = format!("waited for {} ms after it was notified", (wait.to - at) / MS);
                findings.violation(Check::Late, at, lives.name(wait.life), what);
            }
        }
    }
}

/// A wait of a condition variable, from unlock to lock.
struct Wait {
    life: u32,
    since: u64,
    to: u64,
}

impl Wait {
    /// True if a notification at the end of this hold should have ended it.
    fn is_late(&self, hold: &Hold, waits: &[Self], lives: &Lives) -> bool {
        let (Some(at), Some(notifies)) = (hold.to, hold.notifies) else { return false };
        if !(self.since..self.to).contains(&at) {
            return false;
        }
        let end = lives.deadline(at, at);
        // One that was killed may not have notified.
        let notified = lives.killed(hold.life).is_none_or(|killed| killed > end);
        let ended = |other: &Self| other.life != self.life && (at..=end).contains(&other.to);
        end < self.to && notified && (notifies == Notifies::All || !waits.iter().any(ended))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ONE: Rules = Rules { most: 1, tells: true, counts: true };

    fn lives(killed: &[Option<u64>]) -> Lives {
        let mut lives = Lives::new(Duration::MAX, Duration::MAX);
        for (life, killed) in (0..).zip(killed) {
            lives.start(life as usize, Role::User, life, 0);
            if let Some(killed) = killed {
                lives.kill(life, *killed, *killed);
            }
        }
        lives
    }

    /// Life, lane, from, to, found, told. Each hold adds one.
    type Terse = (u32, u8, u64, Option<u64>, u64, bool);

    fn found(rules: Rules, lives: &Lives, all: &[Terse]) -> Vec<Check> {
        let mut holds = Holds::new(rules);
        holds.all.extend(all.iter().map(|&(life, lane, from, to, found, told)| {
            let left = found + u64::from(to.is_some() && lane == EXCLUSIVE);
            Hold { life, lane, from, to, found, left, told, notifies: None }
        }));
        let mut findings = Findings::new(0, 0);
        holds.conclude(lives, &mut findings);
        findings.violations.iter().map(|violation| violation.check).collect()
    }

    #[test]
    fn holds_that_exclude_each_other_must_not_overlap() {
        let alive = lives(&[None; 3]);
        let one = |from, to| (0, 1, from, Some(to), 0, false);
        let other = |from, to| (1, 1, from, Some(to), 1, false);
        assert_eq!(found(ONE, &alive, &[one(1, 5), other(5, 9)]), []);
        assert_eq!(found(ONE, &alive, &[one(1, 6), other(5, 9)]), [Check::Exclusion]);
        let rules = Rules { most: usize::MAX, ..ONE };
        let reader = |life, from, to| (life, 0, from, Some(to), 0, false);
        assert_eq!(found(rules, &alive, &[reader(0, 1, 6), reader(1, 5, 9)]), []);
        assert_eq!(found(rules, &alive, &[reader(2, 1, 6), one(5, 9)]), [Check::Exclusion]);
        let rules = Rules { most: 2, tells: false, counts: false };
        let three = [reader(0, 1, 9), reader(1, 2, 9), reader(2, 3, 9)];
        assert_eq!(found(rules, &alive, &three[..2]), []);
        assert_eq!(found(rules, &alive, &three), [Check::Exclusion]);
    }

    #[test]
    fn a_death_is_told_once_and_to_the_next() {
        let dead = lives(&[Some(4), None, None]);
        let of_dead = (0, 1, 1, None, 0, false);
        let next = |told| (1, 1, 6, Some(7), 0, told);
        assert_eq!(found(ONE, &dead, &[of_dead, next(true)]), []);
        assert_eq!(found(ONE, &dead, &[of_dead, next(false)]), [Check::Untold]);
        let again = (2, 1, 8, Some(9), 1, true);
        assert_eq!(found(ONE, &dead, &[of_dead, next(true), again]), [Check::FalseDeath]);
        // It did not hold the lock as far as it said; it may all the same.
        assert_eq!(found(ONE, &dead, &[next(true)]), []);
        // It was killed just before another one took the lock, and ran on a little.
        let mut slow = lives(&[None, None, None]);
        slow.kill(0, 4, 8);
        let two = [(1, 1, 5, Some(6), 0, false), (2, 1, 9, Some(9), 1, true)];
        assert_eq!(found(ONE, &slow, &two), []);
        // Taken before the kill.
        assert_eq!(
            found(ONE, &dead, &[of_dead, (1, 1, 3, Some(5), 0, true)]),
            [Check::Exclusion, Check::FalseDeath]
        );
    }

    #[test]
    fn no_change_is_lost() {
        let alive = lives(&[None; 2]);
        let one = (0, 1, 1, Some(2), 0, false);
        assert_eq!(found(ONE, &alive, &[one, (1, 1, 3, Some(4), 1, false)]), []);
        assert_eq!(found(ONE, &alive, &[one, (1, 1, 3, Some(4), 0, false)]), [Check::Value]);
        let dead = lives(&[Some(3), None]);
        assert_eq!(found(ONE, &dead, &[one, (1, 1, 4, Some(5), 0, true)]), []);
        assert_eq!(found(ONE, &dead, &[one, (1, 1, 4, Some(5), 7, true)]), [Check::Value]);
    }

    #[test]
    fn a_notification_ends_a_wait_in_time() {
        let mut lives = Lives::new(Duration::MAX, Duration::from_nanos(5));
        for (life, role) in [(0, Role::Sender), (1, Role::Receiver), (2, Role::Receiver)] {
            lives.start(life as usize, role, life, 0);
        }
        let hold = |life, from, notifies| {
            let (to, told, lane) = (Some(from + 1), false, EXCLUSIVE);
            Hold { life, lane, from, to, found: 0, left: 0, told, notifies }
        };
        let rules = Rules { counts: false, ..ONE };
        let found = |lives: &Lives, all: &[Hold]| {
            let mut holds = Holds { all: all.to_vec(), ..Holds::new(rules) };
            let mut findings = Findings::new(0, 0);
            holds.conclude(lives, &mut findings);
            findings.violations.len()
        };
        let first = [hold(1, 1, None), hold(2, 3, None)];
        let after = |notifies, ends: [u64; 2]| {
            let [one, two] = [hold(1, ends[0], None), hold(2, ends[1], None)];
            [&first[..], &[hold(0, 5, Some(notifies)), one, two]].concat()
        };
        assert_eq!(found(&lives, &after(Notifies::All, [7, 9])), 0);
        assert_eq!(found(&lives, &after(Notifies::All, [7, 15])), 1);
        assert_eq!(found(&lives, &after(Notifies::One, [7, 15])), 0);
        assert_eq!(found(&lives, &after(Notifies::One, [13, 15])), 2);
        lives.kill(0, 8, 8);
        assert_eq!(found(&lives, &after(Notifies::All, [7, 15])), 0);
    }
}
