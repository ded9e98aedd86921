//! Processes that set an event, and others that wait for it; each signal ends one wait.

use std::thread;
use std::time::Duration;

use anyipc::Result;
use anyipc::sync::{Event, Reset};

use super::context::{Context, Fault};
use super::kind::Role;
use super::lives::Lives;
use super::message::Id;
use super::mutex::is_later;
use super::oracle::{Check, Findings};
use super::queue::silent;
use super::random::Random;
use super::record::{Record, What};
use crate::sys;

/// A waiter looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);

pub(super) fn work(role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    let event = if keeps { Event::create(address, Reset::Auto) } else { Event::open(address) }?;
    let before = sys::descriptors();
    context.log.say(What::Ready, address);
    let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
    let id = Id { stream: context.order.life.into(), lane: 0, number: 0 };
    match role {
        Role::Keeper => context.wait_to_finish(),
        Role::Sender => {
            while !context.is_finishing() {
                let since = sys::now();
                if !context.has(Fault::Lose) {
                    event.set()?;
                }
                context.log.record(What::Sent, id, since, "");
                thread::sleep(random.instant(12));
            }
        }
        _ => loop {
            let since = sys::now();
            let woken = match random.below(8) {
                0 => event.try_wait(),
                1 => event.wait_timeout(random.instant(10)),
                2 => context.within(random.instant(16), event.wait_async()),
                _ => event.wait_timeout(RECHECK),
            };
            match woken {
                Ok(()) => {
                    context.log.record(What::Got, id, since, "");
                    if context.has(Fault::Duplicate) {
                        context.log.record(What::Got, id, since, "");
                    }
                }
                Err(error) if !is_later(error.kind()) => return Err(error),
                // The setters have ended before the waiters are told to finish.
                Err(_) if context.is_finishing() => break,
                Err(_) => context.log.say(What::Waited, ""),
            }
            if random.below(64) == 0 {
                thread::sleep(random.instant(12));
            }
        },
    }
    drop(event);
    context.count_descriptors(before);
    Ok(())
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// When each `set` began and was over.
    sets: Vec<(u64, u64)>,
    /// When each wait ended by a signal.
    wakes: Vec<u64>,
}

impl super::oracle::Oracle for Signals {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        match record.what {
            What::Sent => self.sets.push((record.since, record.at)),
            What::Got => {
                findings.checked(Check::Twice);
                findings.went_on(life, record.at, lives);
                self.wakes.push(record.at);
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
        self.sets.sort_unstable();
        self.wakes.sort_unstable();
        findings.count("signals set", self.sets.len() as u64);
        findings.count("waits ended", self.wakes.len() as u64);
        let killed = |role| {
            let all = lives.iter().filter(move |(_, of)| of.role == role);
            let mut times: Vec<u64> = all.filter_map(|(_, of)| of.killed).collect();
            times.sort_unstable();
            times
        };
        // A setter that was killed may have set it without a report.
        let setters = killed(Role::Sender);
        for (index, wake) in self.wakes.iter().enumerate() {
            let sets = self.sets.partition_point(|(since, _)| since <= wake)
                + setters.partition_point(|killed| killed <= wake);
            if sets <= index {
                let what = format!("{} waits have ended, after {sets} signals", index + 1);
                findings.violation(Check::Twice, *wake, "all waiters".into(), what);
                break;
            }
        }
        let waiters = lives.iter().filter(|(_, of)| of.role == Role::Receiver);
        let waiters: Vec<_> = waiters.filter_map(|(_, of)| of.killed.zip(of.over)).collect();
        let last = self.sets.last().map_or(0, |(_, at)| *at);
        for (since, at) in &self.sets {
            let end = lives.deadline(*since, *at);
            let first = self.wakes.partition_point(|wake| wake < since);
            let is_seen = self.wakes.get(first).is_some_and(|wake| *wake <= end);
            let is_near = |&(killed, over): &(u64, u64)| killed <= end && over >= *since;
            // A waiter that was killed may have taken it. The last one may come too late for all.
            findings.checked(Check::Lost);
            if *at < last && !is_seen && !waiters.iter().any(is_near) {
                let what = format!("no wait ended within {:?} of this signal", lives.soon);
                findings.violation(Check::Lost, *at, "all setters".into(), what);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torture::oracle::Oracle;

    fn found(sets: &[(u64, u64)], wakes: &[u64], killed: Option<(Role, u64)>) -> Vec<Check> {
        let mut lives = Lives::new(Duration::MAX, Duration::from_secs(1));
        if let Some((role, at)) = killed {
            lives.start(0, role, 1, 0);
            lives.kill(0, at, at);
        }
        let mut signals = Signals { sets: sets.to_vec(), wakes: wakes.to_vec() };
        let mut findings = Findings::new(0, 0);
        signals.conclude(&lives, &mut findings);
        findings.violations.iter().map(|violation| violation.check).collect()
    }

    #[test]
    fn each_signal_ends_one_wait() {
        assert_eq!(found(&[(1, 2), (3, 4)], &[2, 5], None), []);
        assert_eq!(found(&[(1, 2), (9, 10)], &[2, 5], None), [Check::Twice]);
        assert_eq!(found(&[(1, 2), (9, 10)], &[2, 5], Some((Role::Sender, 4))), []);
    }

    #[test]
    fn no_signal_is_lost() {
        let second = 1_000_000_000;
        let sets = [(1, 2), (3 * second, 3 * second)];
        assert_eq!(found(&sets, &[second], None), []);
        assert_eq!(found(&sets, &[2 * second], None), [Check::Lost]);
        assert_eq!(found(&sets, &[2 * second], Some((Role::Receiver, second))), []);
    }
}
