//! Senders and receivers of one queue, and their oracle.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use anyipc::{AsyncQueue, Endpoint, Error, ErrorKind, Operation, Queue, Result};

use super::context::{Context, FOREVER};
use super::kind::{Kind, Role};
use super::lease;
use super::link::{Outgoing, Tasks};
use super::lives::{Life, Lives};
use super::message::Id;
use super::oracle::{Check, Findings};
use super::random::Random;
use super::record::{Record, What};
use crate::sys;

/// A receiver looks this often whether it is to finish.
const RECHECK: Duration = Duration::from_millis(50);

pub(super) fn work(kind: Kind, role: Role, context: &Context) -> Result<()> {
    let address = &context.order.address;
    let keeps = role == Role::Keeper;
    let endpoint = if keeps { anyipc::create(address) } else { anyipc::open(address) }?;
    let mut queue = endpoint.queue()?;
    let before = sys::descriptors();
    let longest = queue.status()?.max_message;
    if longest < context.order.size as u64 {
        let why = format!("the queue takes {longest} bytes at most; choose --size {longest}");
        return Err(Error::new(Operation::Send, ErrorKind::MessageTooLarge)
            .because(why)
            .at(endpoint.address()));
    }
    context.log.say(What::Ready, &endpoint.address().to_string());
    if role == Role::Keeper {
        context.wait_to_finish();
        let mut lease = |wait| queue.lease_timeout(FOREVER, wait);
        if kind == Kind::Lease {
            lease::keep(context, &mut lease)?;
        } else {
            keep(context, &endpoint, &mut queue)?;
        }
        drop(queue);
    } else if context.is_async(context.order.life.into()) {
        let queue = context.in_runtime(|| queue.into_async())?;
        with_tasks(kind, role, context, queue)?;
    } else {
        with_threads(kind, role, context, queue)?;
    }
    context.count_descriptors(before);
    endpoint.close()
}

fn with_threads(kind: Kind, role: Role, context: &Context, mut queue: Queue) -> Result<()> {
    let priorities = queue.status()?.priorities;
    match (role, kind) {
        (Role::Sender, _) => {
            send(context, priorities, |out, priority| out.send(&mut (&mut queue, priority)))
        }
        (_, Kind::Lease) => lease::work(context, |wait| queue.lease_timeout(FOREVER, wait)),
        _ => receive(context, |wait| queue.recv_timeout(wait)),
    }
}

fn with_tasks(kind: Kind, role: Role, context: &Context, mut queue: AsyncQueue) -> Result<()> {
    let priorities = queue.status()?.priorities;
    match (role, kind) {
        (Role::Sender, _) => send(context, priorities, |out, priority| {
            out.send(&mut Tasks(context, (&mut queue, priority)))
        }),
        // Many are cancelled.
        (_, Kind::Lease) => {
            lease::work(context, |wait| context.within(wait / 16, queue.lease(FOREVER)))
        }
        _ => receive(context, |wait| context.within(wait / 16, queue.recv())),
    }
}

/// Receives what is left when all others have ended.
fn keep(context: &Context, endpoint: &Endpoint, queue: &mut Queue) -> Result<()> {
    loop {
        match queue.try_recv() {
            Ok((_, message)) => context.got_any(&message),
            Err(error) if error.is_would_block() => break,
            Err(error) => return Err(error),
        }
    }
    let number = endpoint.queue()?.status()?.dropped;
    context.log.write(What::Dropped, Id { stream: 0, lane: 0, number });
    Ok(())
}

fn send(
    context: &Context,
    priorities: u32,
    mut send: impl FnMut(&mut Outgoing<'_>, u32) -> Result<()>,
) -> Result<()> {
    let life = context.order.life;
    let lanes = 0..u8::try_from(priorities).unwrap_or(u8::MAX);
    let mut lanes: Vec<_> = lanes.map(|lane| Outgoing::new(context, life.into(), lane)).collect();
    let mut random = Random::new(context.order.seed ^ u64::from(life));
    while !context.is_finishing() {
        let priority = random.below(priorities.into());
        let Some(out) = lanes.get_mut(priority as usize) else { break };
        match send(out, priority as u32) {
            // `full=error`.
            Err(error) if error.kind() == ErrorKind::Full => thread::yield_now(),
            done => done?,
        }
    }
    Ok(())
}

fn receive(
    context: &Context,
    mut recv: impl FnMut(Duration) -> Result<(u32, Vec<u8>)>,
) -> Result<()> {
    let mut random = Random::new(context.order.seed ^ u64::from(context.order.life));
    loop {
        match recv(RECHECK) {
            Ok((_, message)) => context.got_any(&message),
            Err(error) if error.kind() != ErrorKind::TimedOut => return Err(error),
            // The senders have ended before the receivers are told to finish.
            Err(_) if context.is_finishing() => return Ok(()),
            Err(_) => {}
        }
        // Sometimes the queue fills up.
        if random.below(256) == 0 {
            thread::sleep(random.instant(12));
        }
    }
}

/// The messages of one sender with one priority, by number: when they were sent and when they
/// arrived, 0 where they were not.
#[derive(Debug, Default)]
struct Lane {
    sent: Vec<u64>,
    got: Vec<u64>,
    /// The highest number at each receiver.
    last: HashMap<u32, u64>,
}

impl Lane {
    fn count_sent(&self) -> u64 {
        self.sent.iter().filter(|at| **at > 0).count() as u64
    }

    fn has(&self, number: usize) -> bool {
        self.got.get(number).is_some_and(|at| *at > 0)
    }

    /// Numbers that were sent with `Ok` and have not arrived.
    fn missing(&self) -> impl Iterator<Item = usize> {
        let sent = self.sent.iter().enumerate().filter(|(_, at)| **at > 0);
        sent.map(|(number, _)| number).filter(|number| !self.has(*number))
    }

    /// A missing message was taken off the queue between these times: after the send before it was
    /// over, and before the next one of the lane arrived.
    fn taken(&self, number: usize) -> (u64, u64) {
        let before = number.checked_sub(1).and_then(|before| self.sent.get(before));
        let next = self.got.iter().skip(number + 1).find(|at| **at > 0);
        (before.copied().unwrap_or(0), next.copied().unwrap_or(u64::MAX))
    }
}

fn set(times: &mut Vec<u64>, number: u64, at: u64) -> u64 {
    let index = number as usize;
    if times.len() <= index {
        times.resize(index + 1, 0);
    }
    std::mem::replace(&mut times[index], at)
}

/// How many of these messages cannot have been in the hand of a receiver that was killed: each had
/// one at most, taken after its last report and before its end. Both are times from and to.
fn unexplained(messages: &[(u64, u64)], receivers: &[(u64, u64)]) -> Vec<usize> {
    let mut hands: Vec<Option<usize>> = vec![None; receivers.len()];
    let all = 0..messages.len();
    all.filter(|message| {
        let mut tried = vec![false; receivers.len()];
        !explain(*message, messages, receivers, &mut hands, &mut tried)
    })
    .collect()
}

/// Finds a hand for the message; those of others may move to other hands.
fn explain(
    message: usize,
    messages: &[(u64, u64)],
    receivers: &[(u64, u64)],
    hands: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    let (from, to) = messages[message];
    for (hand, (last, over)) in receivers.iter().enumerate() {
        if *last > to || *over < from || std::mem::replace(&mut tried[hand], true) {
            continue;
        }
        let is_free = match hands[hand] {
            Some(other) => explain(other, messages, receivers, hands, tried),
            None => true,
        };
        if is_free {
            hands[hand] = Some(message);
            return true;
        }
    }
    false
}

/// The oracle.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    lanes: HashMap<(u64, u8), Lane>,
    dropped: u64,
}

/// No message of a sound run has a higher number.
const HIGHEST: u64 = 1 << 32;

impl super::oracle::Oracle for Oracle {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        let (id, number) = (record.id, record.id.number);
        match record.what {
            What::Dropped => self.dropped += number,
            What::Torn => {
                findings.checked(Check::Torn);
                let worker = lives.name(life);
                findings.violation(Check::Torn, record.at, worker, record.text.clone());
            }
            What::Sent | What::Unsent if number < HIGHEST => {
                let lane = self.lanes.entry((id.stream, id.lane)).or_default();
                set(&mut lane.sent, number, if record.what == What::Sent { record.at } else { 0 });
            }
            What::Got if number < HIGHEST => {
                let lane = self.lanes.entry((id.stream, id.lane)).or_default();
                for check in [Check::Torn, Check::Twice, Check::Order] {
                    findings.checked(check);
                }
                let what = format!("message {number} of life {}, priority {}", id.stream, id.lane);
                if set(&mut lane.got, number, record.at) > 0 {
                    let what = format!("{what} came twice");
                    findings.violation(Check::Twice, record.at, lives.name(life), what);
                } else if let Some(last) = lane.last.insert(life, number)
                    && last > number
                {
                    let what = format!("{what} came after message {last} of the same");
                    findings.violation(Check::Order, record.at, lives.name(life), what);
                }
                if let Ok(sender) = u32::try_from(id.stream) {
                    lives.exchanged(sender, record.at);
                }
                findings.went_on(life, record.at, lives);
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
        let mut lanes: Vec<_> = std::mem::take(&mut self.lanes).into_iter().collect();
        lanes.sort_unstable_by_key(|(key, _)| *key);
        let is_dead = |of: &Life| of.role == Role::Receiver && of.killed.is_some();
        let receivers: Vec<_> = lives
            .iter()
            .filter(|(_, of)| is_dead(of))
            .map(|(_, of)| (of.last, of.over.unwrap_or(u64::MAX)))
            .collect();
        let (mut missing, mut times) = (Vec::new(), Vec::new());
        let last = lives.iter().map(|(_, of)| of.last).max().unwrap_or_default();
        for ((stream, priority), lane) in &lanes {
            findings.checked(Check::Unsent);
            let sender = u32::try_from(*stream).unwrap_or(u32::MAX);
            for number in lane.missing() {
                missing.push(format!("{number} of life {stream}, priority {priority}"));
                times.push(lane.taken(number));
            }
            // A sender that was killed may have been about to say Ok.
            let begun = lane.sent.len() + usize::from(lives.killed(sender).is_some());
            let was_sent = |number: usize| match lane.sent.get(number) {
                Some(at) => *at > 0,
                None => number < begun,
            };
            for number in (0..lane.got.len()).filter(|number| lane.has(*number)) {
                if !was_sent(number) {
                    let what = format!("message {number}, priority {priority}, has arrived unsent");
                    findings.violation(Check::Unsent, last, lives.name(sender), what);
                }
            }
            let (sent, got) = (lane.count_sent(), lane.got.iter().filter(|at| **at > 0).count());
            findings.tallies.entry(Check::Lost).or_default().checked += sent;
            findings.count("messages sent with Ok", sent);
            findings.count("messages received", got as u64);
        }
        findings.count("receivers killed", receivers.len() as u64);
        findings.count("messages in the hands of killed receivers", missing.len() as u64);
        findings.count("messages dropped by a full queue", self.dropped);
        let lost = unexplained(&times, &receivers);
        // What a full queue drops is counted, not named.
        if lost.len() as u64 <= self.dropped {
            return;
        }
        for message in lost {
            let what = format!("message {}: no killed receiver can have had it", missing[message]);
            findings.violation(Check::Lost, last, "all receivers".into(), what);
        }
    }
}

/// A worker that has said nothing for too long, where each call says something.
pub(super) fn silent(now: u64, lives: &Lives) -> Option<(u32, String)> {
    lives.iter().find_map(|(life, of)| {
        let is_silent =
            of.role.is_victim() && of.killed.is_none() && !of.closed && lives.hangs(of.last, now);
        let ms = now.saturating_sub(of.last) / 1_000_000;
        let text = || format!("no call has returned for {ms} ms");
        is_silent.then(|| (life, text()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_killed_receiver_explains_one_message() {
        let free = (0, u64::MAX);
        assert_eq!(unexplained(&[free], &[]), [0]);
        assert_eq!(unexplained(&[free, free], &[(1, 2), (3, 4)]), [0; 0]);
        assert_eq!(unexplained(&[free, free], &[(1, 2)]), [1]);
        // The first one moves to the other hand.
        assert_eq!(unexplained(&[(0, 9), (0, 2)], &[(1, 2), (3, 4)]), [0; 0]);
        // Its next one arrived before the receiver's last report; it was sent after the death.
        assert_eq!(unexplained(&[(0, 2), (9, 9)], &[(3, 4)]), [0, 1]);
    }

    #[test]
    fn a_missing_message_was_taken_between_its_neighbours() {
        let lane = Lane { sent: vec![5, 6, 0, 8], got: vec![7, 0, 0, 10], ..Lane::default() };
        assert_eq!(lane.missing().collect::<Vec<_>>(), [1]);
        assert_eq!(lane.taken(1), (5, 10));
    }
}
