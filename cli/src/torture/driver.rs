//! Starts the workers, kills and stops them at random, and reads what they report.

use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use anyipc::Address;
use anyipc_measure::process::{keep_signals_off, second_process};

use super::Plan;
use super::context::{FINISH, Order};
use super::kind::{Kind, Role};
use super::lives::Lives;
use super::news::{News, follow};
use super::oracle::{Check, Findings, Oracle};
use super::place::Place;
use super::progress::Progress;
use super::random::Random;
use super::record::{Record, What};
use super::tidy::files;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::sys;

/// A place for one worker after the other.
struct Slot {
    role: Role,
    worker: Option<Worker>,
}

struct Worker {
    life: u32,
    child: Child,
    input: Option<ChildStdin>,
    /// When it is to go on, if it is stopped.
    stopped: Option<Instant>,
}

/// A run from its first worker to its last.
pub(super) struct Driver<'p> {
    plan: &'p Plan,
    kind: Kind,
    /// Where the workers meet; the system may have chosen the port.
    address: Address,
    place: Place,
    slots: Vec<Slot>,
    pub(super) lives: Lives,
    oracle: Box<dyn Oracle>,
    pub(super) findings: Findings,
    news: (SyncSender<News>, Receiver<News>),
    random: Random,
    progress: Progress,
    pub(super) kills: u64,
    pub(super) stops: u64,
    looked: Instant,
    /// When all reports had been seen for the last time.
    seen: u64,
    /// Workers that ended by themselves.
    failures: u64,
    /// A worker hangs, or too many end by themselves: the run ends.
    pub(super) stuck: bool,
}

/// Parts of logs that the oracle may be behind before workers wait for it. Many: a worker that
/// waits for the oracle is late.
const BEHIND: usize = 4096;

/// The longest search for what is left over.
const CLEANING: Duration = Duration::from_secs(10);

/// Workers that end by themselves are replaced so many times.
const MOST_FAILURES: u64 = 20;

impl<'p> Driver<'p> {
    /// # Errors
    /// The private directory cannot be made.
    pub(super) fn new(plan: &'p Plan, progress: Progress) -> Result<Self> {
        let oracle = plan.kind.oracle(&plan.address)?;
        let place = Place::new(&sys::base())?;
        let roles = plan.kind.roles(plan.workers);
        Ok(Self {
            plan,
            kind: plan.kind,
            address: plan.address.clone(),
            place,
            slots: roles.into_iter().map(|role| Slot { role, worker: None }).collect(),
            lives: Lives::new(plan.hang_after, plan.late_after),
            oracle,
            findings: Findings::new(plan.seed, sys::now()),
            news: mpsc::sync_channel(BEHIND),
            random: Random::new(plan.seed),
            progress,
            kills: 0,
            stops: 0,
            looked: Instant::now(),
            seen: 0,
            failures: 0,
            stuck: false,
        })
    }

    /// The whole run, except what is left over.
    ///
    /// # Errors
    /// A signal; a worker cannot be started.
    pub(super) fn run(&mut self) -> Result<()> {
        self.start(0)?;
        self.until("the first worker is ready", |driver| driver.is_ready(0))?;
        for slot in 1..self.slots.len() {
            self.start(slot)?;
        }
        self.until("all workers are ready", Self::all_ready)?;
        let end = self.plan.duration.and_then(|time| Instant::now().checked_add(time));
        while !self.is_over(end) {
            let delay = self.random.instant(14);
            if self.random.below(2) == 0 {
                self.until("all workers are ready", Self::all_ready)?;
            }
            self.feed(delay)?;
            self.strike()?;
        }
        self.progress.message("finishing");
        self.let_all_go_on();
        self.until("all workers are ready", Self::all_ready)?;
        // The last victims' successors get to work.
        self.feed(Duration::from_millis(100))?;
        self.finish(|role| role.ends_first())?;
        self.finish(|role| role == Role::Receiver)?;
        self.finish(|_| true)
    }

    fn is_over(&self, end: Option<Instant>) -> bool {
        let is_done = self.kills >= self.plan.kills && self.stops >= self.plan.stops;
        let failed = self.findings.tallies.get(&Check::Failed).map_or(0, |tally| tally.violated);
        self.stuck || failed > MOST_FAILURES || end.map_or(is_done, |end| Instant::now() >= end)
    }

    /// Kills or stops one worker.
    fn strike(&mut self) -> Result<()> {
        let kills = self.plan.kills.saturating_sub(self.kills);
        let stops = self.plan.stops.saturating_sub(self.stops);
        if kills + stops == 0 {
            return Ok(());
        }
        // Some are hit while they start, few before they have noticed another one's death.
        let starting = self.random.below(4) == 0;
        let owing = self.random.below(16) == 0;
        let mut able = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(worker) = slot.worker.as_ref().filter(|_| slot.role.is_victim()) else {
                continue;
            };
            if (starting || self.is_ready(index))
                && (owing || !self.oracle.owes(worker.life, &self.lives))
            {
                able.push(index);
            }
        }
        if able.is_empty() {
            return Ok(());
        }
        let slot = able[self.random.below(able.len() as u64) as usize];
        if self.random.below(kills + stops) < stops {
            self.stop(slot)
        } else {
            self.kill(slot)?;
            self.start(slot)
        }
    }

    fn stop(&mut self, slot: usize) -> Result<()> {
        let long = self.random.below(8) == 0;
        let time = self.random.instant(if long { 20 } else { 16 });
        let Some(worker) = &mut self.slots[slot].worker else { return Ok(()) };
        if worker.stopped.is_some() {
            return Ok(());
        }
        let now = sys::now();
        sys::stop(&worker.child).map_err(|why| Failure::Io("stopping a worker".into(), why))?;
        worker.stopped = Some(Instant::now() + time);
        if let Some(of) = self.lives.get_mut(worker.life) {
            of.stops.push((now, None));
        }
        self.stops += 1;
        Ok(())
    }

    fn go_on(&mut self, slot: usize) {
        let Some(worker) = &mut self.slots[slot].worker else { return };
        if worker.stopped.take().is_some() {
            // It may be dead by now.
            let _ = sys::go_on(&worker.child);
            if let Some((_, end @ None)) =
                self.lives.get_mut(worker.life).and_then(|of| of.stops.last_mut())
            {
                *end = Some(sys::now());
            }
        }
    }

    fn let_all_go_on(&mut self) {
        (0..self.slots.len()).for_each(|slot| self.go_on(slot));
    }

    fn kill(&mut self, slot: usize) -> Result<()> {
        let Some(worker) = &mut self.slots[slot].worker else { return Ok(()) };
        let killed = sys::now();
        worker.child.kill().map_err(|why| Failure::Io("killing a worker".into(), why))?;
        worker.child.wait().map_err(|why| Failure::Io("waiting for a worker".into(), why))?;
        let over = sys::now();
        let life = worker.life;
        if let Some((_, end @ None)) = self.lives.get_mut(life).and_then(|of| of.stops.last_mut()) {
            *end = Some(over);
        }
        self.lives.kill(life, killed, over);
        self.slots[slot].worker = None;
        self.kills += 1;
        self.progress.step();
        Ok(())
    }

    fn start(&mut self, slot: usize) -> Result<()> {
        let role = self.slots[slot].role;
        let worker = self.spawn(slot, role)?;
        self.slots[slot].worker = Some(worker);
        Ok(())
    }

    fn spawn(&mut self, slot: usize, role: Role) -> Result<Worker> {
        let failed = |why| Failure::Io("starting a worker".into(), why);
        // Both ways of waiting meet each other, unless the address chooses one.
        let address = match self.plan.address.get("wait") {
            Some(_) => self.address.clone(),
            None if self.random.below(2) == 0 => self.address.clone().with("wait", "block"),
            None => self.address.clone().with("wait", "adaptive"),
        };
        let order = Order {
            kind: self.kind,
            role,
            address: address.to_string(),
            life: self.lives.next(),
            seed: self.plan.seed,
            size: self.plan.size,
        };
        let mut command: Command =
            second_process().map_err(|why| failed(std::io::Error::other(why)))?;
        command
            .args(["torture", "--worker", "-"])
            .env("ANYIPC_DIR", self.place.path())
            .stdout(Stdio::piped());
        keep_signals_off(&mut command);
        let mut child = command.spawn().map_err(failed)?;
        self.lives.start(slot, role, child.id(), sys::now());
        let (mut input, log) = (child.stdin.take(), child.stdout.take());
        if let (Some(input), Ok(line)) = (&mut input, serde_json::to_string(&order)) {
            // One that has died already is found when it is killed.
            let _ = writeln!(input, "{line}");
        }
        let (life, news) = (order.life, self.news.0.clone());
        if let Some(log) = log {
            thread::Builder::new().spawn(move || follow(life, log, &news)).map_err(failed)?;
        }
        Ok(Worker { life, child, input, stopped: None })
    }

    fn is_ready(&self, slot: usize) -> bool {
        let worker = self.slots[slot].worker.as_ref();
        worker.and_then(|worker| self.lives.get(worker.life)).is_some_and(|of| of.ready.is_some())
    }

    fn all_ready(&self) -> bool {
        (0..self.slots.len()).all(|slot| self.is_ready(slot))
    }

    /// Reads the logs until this is so, or a worker hangs.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) -> Result<()> {
        let start = sys::now();
        while !is_so(self) && !self.stuck {
            self.feed(Duration::from_millis(1))?;
            let now = sys::now();
            if self.lives.hangs(start, self.seen) {
                let (life, what) = self.oracle.stuck(now, &self.lives).unwrap_or_else(|| {
                    let still = self.slots.iter().find_map(|slot| slot.worker.as_ref());
                    let life = still.map_or(0, |worker| worker.life);
                    (life, format!("after {:?} it is not so that {what}", self.lives.patience))
                });
                self.hang(life, now, what);
            }
        }
        Ok(())
    }

    /// Reads the logs for so long.
    fn feed(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            interrupt::check()?;
            let now = Instant::now();
            let is_due = |slot: &Slot| {
                let worker = slot.worker.as_ref();
                worker.and_then(|worker| worker.stopped).is_some_and(|until| until <= now)
            };
            for slot in 0..self.slots.len() {
                if is_due(&self.slots[slot]) {
                    self.go_on(slot);
                }
            }
            let left = end.saturating_duration_since(now).min(Duration::from_millis(5));
            match self.news.1.recv_timeout(left) {
                Ok(News::Records(life, records)) => {
                    for record in &records {
                        self.see(life, record);
                    }
                }
                Ok(News::End(life, why)) => self.ended(life, why)?,
                // All that was reported has been seen.
                Err(RecvTimeoutError::Timeout) => {
                    self.seen = sys::now();
                    self.look(now);
                }
                Err(RecvTimeoutError::Disconnected) => {}
            }
            if now >= end {
                return Ok(());
            }
        }
    }

    /// Once a second: does any call hang?
    fn look(&mut self, now: Instant) {
        if self.stuck || now.duration_since(self.looked) < Duration::from_secs(1) {
            return;
        }
        self.looked = now;
        let now = sys::now();
        if let Some((life, what)) = self.oracle.stuck(now, &self.lives) {
            self.hang(life, now, what);
        }
    }

    fn hang(&mut self, life: u32, now: u64, what: String) {
        self.findings.violation(Check::Hang, now, self.lives.name(life), what);
        self.stuck = true;
    }

    fn see(&mut self, life: u32, record: &Record) {
        let name = self.lives.name(life);
        let Some(of) = self.lives.get_mut(life) else { return };
        of.last = of.last.max(record.at);
        match record.what {
            What::Ready => {
                of.ready = Some(record.at);
                if life == 0 {
                    self.address = record.text.parse().unwrap_or(self.plan.address.clone());
                }
            }
            What::Done => of.done = true,
            What::Failed => {
                of.failed = true;
                self.findings.violation(Check::Failed, record.at, name, record.text.clone());
            }
            What::Descriptors => {
                self.findings.checked(Check::Descriptors);
                if !record.text.is_empty() {
                    let what = format!("open at its end: {}", record.text);
                    self.findings.violation(Check::Descriptors, record.at, name, what);
                }
            }
            What::Left => self.left(record.at, record.text.clone()),
            _ => self.oracle.see(life, record, &mut self.lives, &mut self.findings),
        }
    }

    fn left(&mut self, at: u64, what: String) {
        self.findings.violation(Check::Left, at, "after all workers".into(), what);
    }

    /// A worker's log is complete.
    fn ended(&mut self, life: u32, why: Option<String>) -> Result<()> {
        let now = sys::now();
        self.findings.checked(Check::Failed);
        self.findings.checked(Check::Hang);
        let name = self.lives.name(life);
        let Some(of) = self.lives.get_mut(life) else { return Ok(()) };
        of.closed = true;
        let (has_failed, was_ready) = (of.failed, of.ready.is_some());
        let (slot, role, is_expected) = (of.slot, of.role, of.killed.is_some() || of.done);
        if let Some(why) = why {
            self.findings.violation(Check::Failed, now, name.clone(), format!("its log: {why}"));
        }
        let Some(place) = self.slots.get_mut(slot) else { return Ok(()) };
        let Some(worker) = place.worker.as_mut().filter(|worker| worker.life == life) else {
            return Ok(());
        };
        let status = worker.child.wait();
        place.worker = None;
        // Nothing has begun: what is wrong is the address, or the machine.
        if life == 0 && !was_ready {
            let why = self.findings.violations.pop().map(|found| found.what);
            let why = std::io::Error::other(why.unwrap_or_else(|| format!("{status:?}")));
            return Err(Failure::Io("the first worker".into(), why));
        }
        if is_expected {
            return Ok(());
        }
        self.failures += 1;
        self.stuck |= self.failures > MOST_FAILURES;
        let status = status.map_or_else(|why| why.to_string(), |status| status.to_string());
        if !has_failed {
            let what = format!("it ended by itself ({status})");
            self.findings.violation(Check::Failed, now, name, what);
        }
        let last = self.lives.get(life).map_or(now, |of| of.last);
        self.lives.kill(life, last, now);
        if self.stuck || !role.is_victim() { Ok(()) } else { self.start(slot) }
    }

    /// Tells these workers to end in order, and waits for it.
    fn finish(&mut self, which: impl Fn(Role) -> bool) -> Result<()> {
        for slot in self.slots.iter_mut().filter(|slot| which(slot.role)) {
            if let Some(input) = slot.worker.as_mut().and_then(|worker| worker.input.as_mut()) {
                let _ = writeln!(input, "{FINISH}");
            }
        }
        self.until("all workers end", |driver| {
            driver.slots.iter().all(|slot| !which(slot.role) || slot.worker.is_none())
        })
    }

    /// After the run, or instead of its end: kills what still runs, searches for what is left over,
    /// and removes it. Then the oracle
    /// concludes, unless the run was cut short.
    ///
    /// # Errors
    /// The search cannot be started.
    pub(super) fn clean_up(&mut self, cut_short: bool) -> Result<()> {
        for slot in &mut self.slots {
            if let Some(mut worker) = slot.worker.take() {
                let now = sys::now();
                let _ = worker.child.kill();
                let _ = worker.child.wait();
                self.lives.kill(worker.life, now, sys::now());
            }
        }
        let slot = self.slots.len();
        let worker = self.spawn(slot, Role::Tidy)?;
        self.slots.push(Slot { role: Role::Tidy, worker: Some(worker) });
        let end = Instant::now() + CLEANING;
        // A signal that has come already must not end this.
        while self.slots[slot].worker.is_some() && Instant::now() < end {
            match self.news.1.recv_timeout(Duration::from_millis(100)) {
                Ok(News::Records(life, records)) => {
                    records.iter().for_each(|record| self.see(life, record));
                }
                Ok(News::End(life, why)) => self.ended(life, why)?,
                Err(_) => {}
            }
        }
        self.findings.checked(Check::Left);
        for file in files(self.place.path()) {
            self.left(sys::now(), file);
        }
        if !cut_short && !self.stuck {
            self.oracle.conclude(&self.lives, &mut self.findings);
        }
        Ok(())
    }
}

impl Drop for Driver<'_> {
    fn drop(&mut self) {
        for worker in self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut()) {
            let _ = worker.child.kill();
            let _ = worker.child.wait();
        }
    }
}
