//! The oracle of channels and inboxes: what each side of each connection said.

use std::collections::{BTreeSet, HashMap};

use super::channel::owner_of;
use super::kind::Role;
use super::lanes::Lane;
use super::link::{TO_CONNECTOR, TO_OWNER};
use super::lives::{Life, Lives};
use super::oracle::{Check, Findings, Oracle};
use super::record::{BOTH, RECEIVE, Record, SEND, What};

/// One side's view. Times by half.
#[derive(Debug, Default)]
struct Side {
    life: Option<u32>,
    open: Option<u64>,
    ends: [Option<(u64, String)>; 2],
    closes: [Option<u64>; 2],
    last: u64,
}

impl Side {
    /// When it was done with this half.
    fn finished(&self, half: u8) -> Option<u64> {
        let half = usize::from(half);
        let times = [self.ends[half].as_ref().map(|(at, _)| *at), self.closes[half]];
        times.into_iter().flatten().min()
    }

    fn is_finished(&self) -> bool {
        [SEND, RECEIVE].into_iter().all(|half| self.finished(half).is_some())
    }
}

#[derive(Debug, Default)]
struct Connection {
    /// The owner's and the connector's.
    sides: [Side; 2],
    lanes: [Lane; 2],
}

/// The oracle.
#[derive(Debug)]
pub(super) struct Connections {
    /// What was sent with `Ok` arrives after the sender's death, too.
    delivers: bool,
    all: HashMap<u64, Connection>,
    /// Those that living sides still use, and some more.
    used: BTreeSet<u64>,
    /// When the last connection was made.
    opened: u64,
}

impl Connections {
    pub(super) fn new(delivers: bool) -> Self {
        Self { delivers, all: HashMap::new(), used: BTreeSet::new(), opened: 0 }
    }

    /// The sides that are alive and not done.
    fn at_work(&self, lives: &Lives) -> impl Iterator<Item = (u64, &Side, &Side)> {
        let all = self.used.iter().filter_map(|stream| Some((*stream, self.all.get(stream)?)));
        let sides = all.flat_map(|(stream, of)| {
            let [owner, connector] = &of.sides;
            [(stream, owner, connector), (stream, connector, owner)]
        });
        sides.filter(|(_, side, _)| {
            let life = side.life.and_then(|life| lives.get(life));
            side.open.is_some() && life.is_some_and(is_running) && !side.is_finished()
        })
    }
}

impl Oracle for Connections {
    fn see(&mut self, life: u32, record: &Record, lives: &mut Lives, findings: &mut Findings) {
        let (stream, lane) = (record.id.stream, usize::from(record.id.lane));
        match record.what {
            What::Retry => return self.retried(life, record, lives, findings),
            What::Torn => {
                findings.checked(Check::Torn);
                let worker = lives.name(life);
                findings.violation(Check::Torn, record.at, worker, record.text.clone());
            }
            What::Open | What::Sent | What::Unsent | What::Got | What::End | What::Close => {}
            _ => return,
        }
        let connection = self.all.entry(stream).or_default();
        let is_owner = owner_of(stream) == life;
        let side = &mut connection.sides[usize::from(!is_owner)];
        side.life = Some(life);
        side.last = record.at;
        match record.what {
            What::Open => {
                side.open = Some(record.at);
                self.used.insert(stream);
                self.opened = self.opened.max(record.at);
                if is_owner {
                    findings.count("connections", 1);
                    // A connector may die before it says a word.
                    let peer = &mut connection.sides[1].life;
                    *peer = peer.or_else(|| lives.with_pid(record.id.number));
                }
            }
            What::End => {
                if let Some(end) = side.ends.get_mut(lane) {
                    end.get_or_insert((record.at, record.text.clone()));
                }
            }
            What::Close => {
                for half in [SEND, RECEIVE] {
                    if record.id.lane == half || record.id.lane == BOTH {
                        side.closes[usize::from(half)].get_or_insert(record.at);
                    }
                }
            }
            What::Sent | What::Unsent | What::Got => {
                let Some(of) = connection.lanes.get_mut(lane) else { return };
                match record.what {
                    What::Sent => of.sent(record.id.number),
                    What::Unsent => of.unsent(record.id.number),
                    _ => {
                        let worker = || lives.name(life);
                        of.got(record, worker, findings);
                        let other = connection.sides[usize::from(is_owner)].life;
                        lives.exchanged(life, record.at);
                        if let Some(other) = other {
                            lives.exchanged(other, record.at);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn stuck(&self, now: u64, lives: &Lives) -> Option<(u32, String)> {
        self.at_work(lives).find_map(|(stream, side, _)| {
            let ms = now.saturating_sub(side.last) / 1_000_000;
            let hangs = lives.hangs(side.last, now);
            let text = || format!("connection {stream:x} has not moved for {ms} ms");
            side.life.filter(|_| hangs).map(|life| (life, text()))
        })
    }

    fn owes(&mut self, life: u32, lives: &Lives) -> bool {
        let used = self.at_work(lives).map(|(stream, ..)| stream).collect();
        self.used = used;
        let is_dead = |side: &Side| side.life.is_some_and(|life| lives.killed(life).is_some());
        self.at_work(lives).any(|(_, side, other)| side.life == Some(life) && is_dead(other))
    }

    fn conclude(&mut self, lives: &Lives, findings: &mut Findings) {
        let mut all: Vec<_> = std::mem::take(&mut self.all).into_iter().collect();
        all.sort_unstable_by_key(|(stream, _)| *stream);
        for (stream, connection) in &all {
            let judge = Judge { stream: *stream, connection, lives, delivers: self.delivers };
            for side in 0..2 {
                judge.ends(side, findings);
                judge.death(side, findings);
                judge.lane(side, findings);
            }
        }
    }
}

fn is_running(life: &Life) -> bool {
    life.killed.is_none() && !life.closed
}

impl Connections {
    /// A connect that failed: was there a reason?
    fn retried(&self, life: u32, record: &Record, lives: &Lives, findings: &mut Findings) {
        if record.text == "out_of_memory" {
            findings.count("connects without memory or space", 1);
            if self.opened > 0 && lives.hangs(self.opened, record.at) {
                let what = "no connect has had memory or space for so long".to_owned();
                findings.violation(Check::Hang, record.at, lives.name(life), what);
            }
            return;
        }
        findings.count("connects that met no owner", 1);
        let owners = || lives.iter().map(|(_, of)| of).filter(|of| of.role == Role::Owner);
        if record.text == "peer_gone" {
            findings.checked(Check::FalseDeath);
            // A connector may still meet the socket of an owner that has just died.
            let soon = u64::try_from(lives.soon.as_nanos()).unwrap_or(u64::MAX);
            let died = owners().any(|of| {
                let over = of.over.unwrap_or(u64::MAX).saturating_add(soon);
                of.killed.is_some_and(|killed| killed <= record.at) && over >= record.since
            });
            if !died {
                let what = "a connect said that the owner has died; it is alive".to_owned();
                findings.violation(Check::FalseDeath, record.at, lives.name(life), what);
            }
            return;
        }
        let was_there = |of: &Life| {
            of.ready.is_some_and(|ready| ready < record.since)
                && of.killed.is_none_or(|killed| killed > record.at)
        };
        let waited = record.at.saturating_sub(record.since);
        let stopped = lives.stopped(record.since, record.at);
        let longest = u64::try_from(lives.soon.as_nanos()).unwrap_or(u64::MAX);
        if waited > longest.saturating_add(stopped) && owners().any(was_there) {
            let what = format!(
                "a connect said {} after {} ms; an owner was there all the time",
                record.text,
                waited / 1_000_000
            );
            findings.violation(Check::Hang, record.at, lives.name(life), what);
        }
    }
}

/// One connection at the end of the run.
struct Judge<'a> {
    stream: u64,
    connection: &'a Connection,
    lives: &'a Lives,
    delivers: bool,
}

impl Judge<'_> {
    fn life(&self, side: usize) -> Option<(u32, &Life)> {
        let life = self.connection.sides[side].life?;
        Some((life, self.lives.get(life)?))
    }

    fn violation(
        &self,
        check: Check,
        at: u64,
        side: usize,
        what: impl std::fmt::Display,
        findings: &mut Findings,
    ) {
        let worker = self.connection.sides[side].life.map(|life| self.lives.name(life));
        let what = format!("connection {:x}: {what}", self.stream);
        findings.violation(check, at, worker.unwrap_or_default(), what);
    }

    /// Each end has its reason.
    fn ends(&self, side: usize, findings: &mut Findings) {
        let other = &self.connection.sides[1 - side];
        for (half, opposite, name) in [(SEND, RECEIVE, "send"), (RECEIVE, SEND, "receive")] {
            let Some((at, kind)) = &self.connection.sides[side].ends[usize::from(half)] else {
                continue;
            };
            findings.checked(Check::FalseDeath);
            let closed = other.closes[usize::from(opposite)].is_some_and(|close| close <= *at);
            let killed = self.life(1 - side).map(|(_, of)| of.killed);
            let died = match killed {
                Some(killed) => killed.is_some_and(|killed| killed <= *at),
                // It has died before it said a word.
                None => self.lives.iter().any(|(_, of)| of.killed.is_some_and(|t| t <= *at)),
            };
            let what = match kind.as_str() {
                "closed" if closed => continue,
                "peer_gone" if died => continue,
                "closed" if died => "said Closed: its peer was killed before it closed",
                "closed" => "said Closed: its peer lives and has not closed",
                "peer_gone" if closed => "said PeerGone: its peer lives and has closed in order",
                "peer_gone" => "said PeerGone: its peer is alive",
                kind => {
                    let what = format!("{name} said {kind}");
                    self.violation(Check::Failed, *at, side, what, findings);
                    continue;
                }
            };
            let what = format!("{name} {what}");
            self.violation(Check::FalseDeath, *at, side, what, findings);
        }
    }

    /// A survivor of its peer's death was told in time.
    fn death(&self, side: usize, findings: &mut Findings) {
        let own = &self.connection.sides[side];
        let (Some(open), Some((_, life)), Some((_, peer))) =
            (own.open, self.life(side), self.life(1 - side))
        else {
            return;
        };
        let (Some(killed), Some(over)) = (peer.killed, peer.over) else { return };
        for (at, kind) in own.ends.iter().flatten() {
            if kind == "peer_gone" && *at >= killed {
                findings.told.push(at - killed);
            }
        }
        let deadline = self.lives.deadline(killed, over.max(open));
        let both = |is_so: &dyn Fn(u64) -> bool| {
            [SEND, RECEIVE].into_iter().all(|half| own.finished(half).is_some_and(is_so))
        };
        // It was done before the death, or died itself before it could say so.
        if both(&|at| at < killed)
            || life.killed.is_some_and(|died| died <= deadline && !both(&|at| at <= died))
        {
            return;
        }
        findings.checked(Check::Late);
        for (half, name) in [(SEND, "send"), (RECEIVE, "receive")] {
            let what = match own.finished(half) {
                Some(at) if at <= deadline => continue,
                Some(at) => format!("{} ms after it", at.saturating_sub(killed) / 1_000_000),
                None => "never".into(),
            };
            let what = format!("its peer was killed; {name} said so {what}");
            self.violation(Check::Late, killed, side, what, findings);
        }
    }

    /// What this side sent has arrived.
    fn lane(&self, side: usize, findings: &mut Findings) {
        let lane = if side == 0 { TO_CONNECTOR } else { TO_OWNER };
        let lane = &self.connection.lanes[usize::from(lane)];
        let receiver = &self.connection.sides[1 - side];
        let sender_died = self.life(side).is_none_or(|(_, of)| of.killed.is_some());
        let (at, complete) = match &receiver.ends[usize::from(RECEIVE)] {
            Some((at, kind)) => (*at, kind == "closed" || kind == "peer_gone" && self.delivers),
            None => (receiver.last, false),
        };
        for (check, what) in lane.faults(complete, sender_died) {
            self.violation(check, at, 1 - side, what, findings);
        }
        findings.checked(Check::Unsent);
        findings.count("messages sent with Ok", lane.count_sent());
        findings.count("messages received", lane.count_got());
        if complete {
            let tally = findings.tallies.entry(Check::Lost).or_default();
            tally.checked += lane.count_sent();
        }
    }
}
