//! Senders of jobs, and workers that lease and acknowledge them; and their oracle.

use std::collections::HashMap;
use std::time::Duration;

use anyipc::{ErrorKind, Job, Result};

use super::context::{Context, Fault};
use super::lives::Lives;
use super::message::{self, Id};
use super::mutex::linger;
use super::oracle::{Check, Findings};
use super::queue::silent;
use super::random::Random;
use super::record::{Record, What};

/// A worker looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);
/// The keeper waits this long for a job that comes back.
const LAST: Duration = Duration::from_millis(500);

/// What a worker does with a job.
pub(super) const ACK: &str = "ack";
pub(super) const BACK: &str = "back";

/// Leases and acknowledges, or gives back, until there is nothing and the worker is to finish.
/// A lease ends by the death of its holder, or by its own will.
pub(super) fn work(
    context: &Context,
    mut lease: impl FnMut(Duration) -> Result<Job>,
) -> Result<()> {
    let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
    while one(context, &mut lease, RECHECK, &mut random)? || !context.is_finishing() {}
    Ok(())
}

/// Acknowledges what is left when all others have ended.
pub(super) fn keep(
    context: &Context,
    lease: &mut impl FnMut(Duration) -> Result<Job>,
) -> Result<()> {
    let mut random = Random::new(context.order.seed);
    while one(context, lease, LAST, &mut random)? {}
    Ok(())
}

/// One job. False if there was none within the time.
fn one(
    context: &Context,
    lease: &mut impl FnMut(Duration) -> Result<Job>,
    wait: Duration,
    random: &mut Random,
) -> Result<bool> {
    let job = match lease(wait) {
        Ok(job) => job,
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            context.log.say(What::Waited, "");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let id = match message::read(job.message(), context.order.size) {
        Ok(id) => id,
        Err(why) => {
            context.log.say(What::Torn, &why);
            return job.ack().map(|()| true);
        }
    };
    context.log.record(What::Held, id, job.attempts().into(), "");
    linger(random);
    let choice = random.below(8);
    let acks = choice > 1 || !context.order.role.is_victim();
    context.log.record(What::Freed, id, 0, if acks { ACK } else { BACK });
    if acks {
        job.ack()?;
        context.log.write(What::Acked, id);
        if context.has(Fault::Duplicate) && id.number == 3 {
            context.log.record(What::Held, id, 9, "");
        }
    } else if choice == 0 {
        drop(job);
    } else {
        job.retry_after(random.instant(12))?;
    }
    Ok(true)
}

/// One lease, or one process that did what is to be done once.
#[derive(Debug)]
struct Lease {
    life: u32,
    from: u64,
    /// This one and those before it; of a once, 2 if it was told that there was one.
    attempts: u64,
    /// When the worker was about to end it, and how.
    to: Option<(u64, bool)>,
}

/// One job, or one thing to be done once.
#[derive(Debug, Default)]
struct Task {
    sent: bool,
    acked: Option<u64>,
    leases: Vec<Lease>,
    /// A worker found it done.
    found: Option<(u64, u32)>,
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    all: HashMap<(u64, u8, u64), Task>,
    /// The highest number that each worker has had first of all, by lane.
    last: HashMap<(u32, u64, u8), u64>,
    /// More than one priority: a job may wait for more urgent ones.
    has_priorities: bool,
    /// The jobs are things to be done once. A process that does one again is told of that.
    once: bool,
}

impl Jobs {
    pub(super) fn new(once: bool) -> Self {
        Self { once, ..Self::default() }
    }
}

impl super::oracle::Oracle for Jobs {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        let Id { stream, lane, number } = record.id;
        let key = (stream, lane, number);
        match record.what {
            What::Torn => {
                findings.checked(Check::Torn);
                let worker = lives.name(life);
                findings.violation(Check::Torn, record.at, worker, record.text.clone());
            }
            What::Sent => self.all.entry(key).or_default().sent = true,
            What::Held => {
                self.has_priorities |= lane > 0;
                for check in [Check::Torn, Check::Exclusion, Check::Twice, Check::Order] {
                    findings.checked(check);
                }
                findings.went_on(life, record.at, lives);
                let attempts = record.since;
                let lease = Lease { life, from: record.at, attempts, to: None };
                self.all.entry(key).or_default().leases.push(lease);
                if attempts == 1
                    && let Some(last) = self.last.insert((life, stream, lane), number)
                    && last > number
                {
                    let what = format!("{} came after message {last} of the same", record.id);
                    findings.violation(Check::Order, record.at, lives.name(life), what);
                }
            }
            What::Freed => {
                let leases = self.all.get_mut(&key).map(|job| job.leases.iter_mut().rev());
                let lease = leases.and_then(|mut leases| leases.find(|of| of.life == life));
                if let Some(lease) = lease {
                    lease.to = Some((record.at, record.text == ACK));
                }
            }
            What::Got => {
                findings.went_on(life, record.at, lives);
                self.all.entry(key).or_default().found.get_or_insert((record.at, life));
            }
            What::Acked => {
                self.all.entry(key).or_default().acked.get_or_insert(record.at);
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
        let mut all: Vec<_> = std::mem::take(&mut self.all).into_iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        for ((stream, lane, number), mut job) in all {
            job.leases.sort_unstable_by_key(|lease| lease.from);
            let id = Id { stream, lane, number };
            self.judge(id, &job, lives, findings);
            if self.once {
                Self::judge_once(id, &job, lives, findings);
            }
            findings.count("jobs", u64::from(job.sent));
            findings.count("leases", job.leases.len() as u64);
            findings.count("jobs acknowledged", u64::from(job.acked.is_some()));
        }
    }
}

impl Jobs {
    fn judge(&self, id: Id, job: &Task, lives: &Lives, findings: &mut Findings) {
        let end = |lease: &Lease| match lease.to {
            Some((to, _)) => to,
            None => lives.killed(lease.life).unwrap_or(u64::MAX),
        };
        if job.sent {
            findings.checked(Check::Lost);
            // A worker that was killed may have acknowledged it without a word.
            let died_in_ack = |lease: &Lease| {
                lease.to.is_some_and(|(_, acks)| acks) && lives.killed(lease.life).is_some()
            };
            if job.acked.is_none() && !job.leases.iter().any(died_in_ack) {
                let at = job.leases.last().map_or(0, |lease| lease.from);
                let what = format!("{id} was sent with Ok, and never acknowledged");
                findings.violation(Check::Lost, at, "all workers".into(), what);
            }
        }
        for pair in job.leases.windows(2) {
            let [before, next] = pair else { continue };
            if next.from < end(before) {
                let what = format!("{id} was leased to {} as well", lives.name(before.life));
                findings.violation(Check::Exclusion, next.from, lives.name(next.life), what);
            } else if self.once {
                self.judge_again(id, before, next, lives, findings);
            } else if next.attempts <= before.attempts {
                let what = format!("{id} came again as attempt {}", next.attempts);
                findings.violation(Check::Value, next.from, lives.name(next.life), what);
            }
            findings.checked(if self.once { Check::Untold } else { Check::Value });
            // A holder that died gives the job back in time.
            let died = lives.get(before.life).and_then(|of| of.killed.zip(of.over));
            if let (None, Some((killed, over)), false) = (before.to, died, self.has_priorities) {
                findings.checked(Check::Late);
                findings.told.push(next.from.saturating_sub(killed));
                if next.from > lives.deadline(killed, over) {
                    let ms = next.from.saturating_sub(killed) / 1_000_000;
                    let what = format!("{id} came back {ms} ms after its holder's death");
                    findings.violation(Check::Late, killed, lives.name(before.life), what);
                }
            }
        }
        let after = |lease: &&Lease| job.acked.is_some_and(|acked| lease.from > acked);
        if let Some(lease) = job.leases.iter().find(after) {
            let what = format!("{id} came again after it was acknowledged");
            findings.violation(Check::Twice, lease.from, lives.name(lease.life), what);
        }
    }
    /// It is done again only if the one before died or gave up, and with that news.
    fn judge_again(
        &self,
        id: Id,
        before: &Lease,
        next: &Lease,
        lives: &Lives,
        findings: &mut Findings,
    ) {
        let gave_up = before.to.is_some_and(|(_, acks)| !acks);
        if !gave_up && lives.killed(before.life).is_none() {
            let what = format!("{id} was done by {} already", lives.name(before.life));
            findings.violation(Check::Twice, next.from, lives.name(next.life), what);
        } else if next.attempts == 1 {
            let what = format!("{id} had begun before, and it was not told");
            findings.violation(Check::Untold, next.from, lives.name(next.life), what);
        }
    }

    /// What the first one to begin was told, and what those that found it done have seen.
    fn judge_once(id: Id, job: &Task, lives: &Lives, findings: &mut Findings) {
        if let Some(first) = job.leases.first() {
            findings.checked(Check::FalseDeath);
            // One that was killed may have begun without a word.
            let mut deaths = lives.iter().filter_map(|(_, of)| of.killed.zip(of.over));
            let is_near =
                |(killed, over)| killed <= first.from && first.from <= lives.deadline(killed, over);
            if first.attempts > 1 && !deaths.any(is_near) {
                let what = format!("{id}: was told that another had begun; nobody had");
                findings.violation(Check::FalseDeath, first.from, lives.name(first.life), what);
            }
        }
        let Some((at, life)) = job.found else { return };
        findings.checked(Check::Unsent);
        let is_done = |lease: &Lease| lease.to.is_some_and(|(done, acks)| acks && done <= at);
        if !job.leases.iter().any(is_done) {
            let what = format!("found {id} done, and nobody had done it");
            findings.violation(Check::Unsent, at, lives.name(life), what);
        }
    }
}
