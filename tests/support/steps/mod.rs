//! Death after any instruction of an operation. A victim is stepped to a point of its operation
//! and killed there; then the survivor checks what the victim left.
//!
//! Three processes. The test spawns the *survivor* ([`survive`]), with a directory of its own. The
//! survivor spawns the *tracer* ([`tracer`]), which never uses the library itself. For each death
//! the tracer forks a *victim*, which is as new as a fresh process, but sooner there.
//!
//! A victim marks its operation with [`begin`] and [`end`]. The survivor's round is:
//! `start`, what the victim's preparation needs, `ready`, `go`, what the operation needs, `dead`,
//! and its checks.
//!
//! A step costs some 20 µs. So the first victim of an operation with few system calls is stepped
//! through it and shows its path; later ones run to an address that they pass seldom and go on
//! from there in steps. A point on an operation with many system calls is a number of calls and
//! then of instructions, because a death matters around what others can see.

pub(crate) mod blocks;
pub(crate) mod channels;
pub(crate) mod events;
pub(crate) mod leases;
pub(crate) mod meetings;
pub(crate) mod queues;
pub(crate) mod readers;
pub(crate) mod sync;
mod trace;

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::sync::mpsc::channel;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use rustix::thread::gettid;

use crate::support::place::{Scratch, files};
use crate::support::process::{Process, hear, say, spawn, spawn_here};
use crate::support::random::Random;
use crate::support::watchdog::watchdog;
use trace::{Stop, Traced};

/// Prepares, and does one operation between its marks.
pub(crate) type Victim = fn(&[&str]);

/// What a victim does at its point, instead of dying.
const STANDS: &str = "stands";
const BEGIN: Signal = Signal::USR1;
const END: Signal = Signal::USR2;

/// What a death may cost the survivor. One time of ten a busy machine may be to blame.
const IN_TIME: Duration = Duration::from_secs(1);
/// What no machine is to blame for.
const TOO_LATE: Duration = Duration::from_secs(20);
/// An operation of more system calls is long.
const MANY_CALLS: u64 = 8;
/// An operation of more instructions is long: where some points are tried, and where all are.
const LONG: [u64; 2] = [6_000, 25_000];
/// How many instructions after a system call a victim dies, at most, where the operation is long:
/// two to the power of this.
const BEHIND_A_CALL: u64 = 13;

/// The victim's side: the operation begins.
pub(crate) fn begin() {
    let _ = kill_process(getpid(), BEGIN);
}

/// The victim's side: the operation has returned. The victim never gets any further.
pub(crate) fn end() {
    let _ = kill_process(getpid(), END);
}

/// What is in the name of a victim that waits as a task.
const TASK: &str = "-as-task";
/// How victims wait.
const WAITS: &[&str] = if cfg!(feature = "tokio") { &["", TASK] } else { &[""] };

#[cfg(feature = "tokio")]
fn as_task(task: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(task);
}

/// Another process comes to its [`begin`], and is killed there.
pub(crate) fn corpse(until: impl FnOnce()) {
    drop(Traced::fork(BEGIN.as_raw(), until));
}

/// Where a victim dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    /// So many system calls, run at full speed,
    calls: u64,
    /// and then so many instructions, a system call being one.
    steps: u64,
}

/// What became of a victim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Death {
    at: Point,
    /// True if the operation had returned.
    pub(crate) ended: bool,
}

/// The tracer's role: makes victims of one operation for the survivor, until it has ended.
pub(crate) fn tracer(victims: &[&[(&str, Victim)]]) {
    let mut path = Path::default();
    while let Some(line) = hear() {
        let words: Vec<&str> = line.split(' ').collect();
        let victim =
            victims.iter().copied().flatten().find(|(name, _)| *name == words[0]).unwrap().1;
        let traced = Traced::fork(BEGIN.as_raw(), || victim(&words[1..]));
        say(&format!("ready {}", traced.pid()));
        let Some(order) = hear() else { return };
        let order: Vec<&str> = order.split(' ').collect();
        let to = Point { calls: number(order[0]), steps: number(order[1]) };
        let mut death = if to.calls > 0 { run(&traced, to) } else { path.walk(&traced, to.steps) };
        if order[2] == STANDS {
            say(STANDS);
            hear();
            while !death.ended {
                death.ended = has_ended(traced.go_on());
            }
        }
        drop(traced);
        say(&format!("{} {} {}", death.at.calls, death.at.steps, u8::from(death.ended)));
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap()
}

/// Takes a victim over so many system calls and instructions, or to the end of its operation.
fn run(victim: &Traced, to: Point) -> Death {
    let mut at = Point { calls: 0, steps: 0 };
    while at.calls < to.calls {
        for _ in 0..2 {
            if has_ended(victim.half_a_call()) {
                return Death { at, ended: true };
            }
        }
        at.calls += 1;
    }
    while at.steps < to.steps {
        if has_ended(victim.step()) {
            return Death { at, ended: true };
        }
        at.steps += 1;
    }
    Death { at, ended: false }
}

/// True if a victim has come to the end of its operation.
fn has_ended(stop: Stop) -> bool {
    match stop {
        Stop::Trap => false,
        Stop::Signal(signal) if signal == END.as_raw() => true,
        stop => panic!("in its operation the victim met {stop:?}"),
    }
}

/// The addresses of an operation's instructions, as its first victim passed them. They are those of
/// all victims, which are forks of one process; one that takes another way dies elsewhere, or after
/// the end.
#[derive(Default)]
struct Path {
    places: Vec<u64>,
    /// How often the place was passed until then.
    times: Vec<u64>,
}

impl Path {
    /// Takes a victim over so many instructions, or to the end of its operation.
    fn walk(&mut self, victim: &Traced, steps: u64) -> Death {
        let is_first = self.places.is_empty();
        let mut at = if is_first { 0 } else { self.shortcut(steps) };
        let mut ended = at > 0 && {
            let index = at as usize;
            has_ended(victim.run_to(self.places[index], self.times[index]))
        };
        while !ended && at < steps {
            if is_first {
                self.places.push(victim.place());
            }
            ended = has_ended(victim.step());
            at += u64::from(!ended);
        }
        if is_first {
            let mut passed = HashMap::new();
            let times = self.places.iter().map(|place| {
                let times = passed.entry(*place).or_insert(0);
                *times += 1;
                *times
            });
            self.times = times.collect();
        }
        Death { at: Point { calls: 0, steps: at }, ended }
    }

    /// The place on the way to `steps` from which it is reached with the fewest stops.
    fn shortcut(&self, steps: u64) -> u64 {
        let last = steps.min(self.places.len() as u64 - 1);
        let stops = |at: u64| self.times[at as usize] + (steps - at);
        // Not the first one, where every victim stands at its start.
        let places = (1..=last).filter(|at| self.places[*at as usize] != self.places[0]);
        places.min_by_key(|at| stops(*at)).filter(|at| stops(*at) < steps).unwrap_or(0)
    }
}

/// The survivor's side of one death.
pub(crate) struct Round<'a> {
    tracer: &'a mut Process,
    /// Differs from round to round, so that values can differ: memory may still hold the old ones.
    pub(crate) number: u8,
    to: Point,
    /// The victim's process, once it stands before its operation.
    pid: String,
    death: Option<Death>,
    died: Instant,
    /// The survivor took longer than it may, unless the machine is to blame.
    is_late: Cell<bool>,
}

impl Round<'_> {
    /// Starts a victim: its name and its arguments, separated by spaces.
    pub(crate) fn start(&mut self, victim: &str) {
        self.tracer.say(victim);
    }

    /// Waits until the victim stands before its operation.
    pub(crate) fn ready(&mut self) {
        let line = self.tracer.hear();
        self.pid = line.strip_prefix("ready ").unwrap().to_owned();
    }

    /// Sends the victim to its death. Does not wait.
    pub(crate) fn go(&mut self) {
        self.send("dies");
    }

    /// Runs `beside` while the victim stands still at its point; then the victim goes on to the end
    /// of its operation, and dies there.
    pub(crate) fn stand<T>(&mut self, beside: impl FnOnce() -> T) -> T {
        self.send(STANDS);
        self.tracer.expect(STANDS);
        let done = beside();
        self.tracer.say("go on");
        self.dead();
        done
    }

    fn send(&mut self, then: &str) {
        self.tracer.say(&format!("{} {} {then}", self.to.calls, self.to.steps));
    }

    /// True if the victim is dead by now.
    pub(crate) fn is_dead(&mut self) -> bool {
        if self.death.is_none()
            && let Some(line) = self.tracer.try_hear()
        {
            self.note(&line);
        }
        self.death.is_some()
    }

    /// Waits for the death. True if the operation had returned before.
    pub(crate) fn dead(&mut self) -> bool {
        if self.death.is_none() {
            let line = self.tracer.hear();
            self.note(&line);
        }
        self.death.unwrap().ended
    }

    /// `start`, `ready`, `go` and `dead`, for a victim that needs nothing of the survivor.
    pub(crate) fn kill(&mut self, victim: &str) -> bool {
        self.kill_beside(victim, |_| ())
    }

    /// As [`kill`](Self::kill), for a victim that needs something within its operation.
    pub(crate) fn kill_beside(&mut self, victim: &str, beside: impl FnOnce(&mut Self)) -> bool {
        self.start(victim);
        self.ready();
        self.go();
        beside(self);
        self.dead()
    }

    /// Waits until the victim sleeps in a system call, or is dead.
    pub(crate) fn asleep_or_dead(&mut self) {
        let stat = format!("/proc/{}/stat", self.pid);
        while !is_asleep(&stat) && !self.is_dead() {
            std::thread::yield_now();
        }
    }

    /// True for about every other point, so that a round may check in two ways.
    pub(crate) fn is_odd(&self) -> bool {
        !(self.to.calls + self.to.steps).is_multiple_of(2)
    }

    fn note(&mut self, line: &str) {
        let words: Vec<u64> = line.split(' ').map(number).collect();
        let at = Point { calls: words[0], steps: words[1] };
        self.death = Some(Death { at, ended: words[2] == 1 });
        self.died = Instant::now();
    }

    /// The survivor has gone on: that must be within a second of the death.
    #[track_caller]
    pub(crate) fn in_time(&self) {
        let took = self.died.elapsed();
        assert!(took < TOO_LATE, "the survivor went on after {took:?}");
        self.is_late.set(self.is_late.get() || took > IN_TIME);
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("failed: to {:?}, {:?}", self.to, self.death));
        }
    }
}

/// How many points of each operation are tried: `ANYIPC_STEPS`, a number or `all`.
fn wanted() -> Option<usize> {
    match std::env::var("ANYIPC_STEPS").as_deref() {
        Ok("all") => None,
        Ok(number) => Some(number.parse().unwrap()),
        Err(_) => Some(16),
    }
}

/// The survivor's side: one operation, one round for each point.
pub(crate) fn explore(operation: &str, random: &mut Random, mut round: impl FnMut(&mut Round<'_>)) {
    let mut tracer = spawn_here("tracer");
    let (mut number, mut late) = (0u8, 0);
    let mut die_at = |to| {
        number = number.wrapping_add(1);
        let died = Instant::now();
        let tracer = &mut tracer;
        let mut one = Round {
            tracer,
            number,
            to,
            pid: String::new(),
            death: None,
            died,
            is_late: Cell::default(),
        };
        round(&mut one);
        late += u32::from(one.is_late.get());
        one.death.unwrap()
    };
    let start = Instant::now();
    let calls = die_at(Point { calls: u64::MAX, steps: 0 }).at.calls;
    let most = LONG[usize::from(wanted().is_none())];
    let steps = (calls <= MANY_CALLS)
        .then(|| die_at(Point { calls: 0, steps: most }))
        .and_then(|death| (death.at.steps < most).then_some(death.at.steps));
    let points = match steps {
        Some(steps) => short(steps, random),
        None => long(calls, random),
    };
    let (mut deaths, mut returned) = (0, 0);
    for point in &points {
        let death = die_at(*point);
        deaths += 1;
        returned += u32::from(death.ended);
    }
    assert!(late <= 1 + deaths / 10, "{operation}: the survivor was late {late} times");
    let steps = steps.map_or("many".into(), |steps| steps.to_string());
    eprintln!(
        "{operation}: {calls} system calls, {steps} instructions; {deaths} deaths, {returned} of \
         them behind its return; {:.1?}",
        start.elapsed()
    );
    tracer.hush();
    tracer.finish();
}

/// All points of a short operation, or some of them. The first and the last one always.
fn short(steps: u64, random: &mut Random) -> BTreeSet<Point> {
    let mut points: BTreeSet<u64> = match wanted() {
        None => (0..=steps).collect(),
        Some(some) => (0..some).map(|_| random.below(steps + 1)).collect(),
    };
    points.extend([0, steps]);
    points.into_iter().map(|steps| Point { calls: 0, steps }).collect()
}

/// Points around the system calls of a long operation: close behind each of them more than far.
fn long(calls: u64, random: &mut Random) -> BTreeSet<Point> {
    let mut met = BTreeSet::new();
    let mut far = |calls| {
        // Few instructions as often as many.
        let most = 1 << random.below(BEHIND_A_CALL + 1);
        Point { calls, steps: random.below(most) }
    };
    match wanted() {
        None => {
            // Of a call that comes again and again, some.
            let all: Vec<u64> = (0..=calls).step_by(1 + calls as usize / 60).collect();
            let near =
                all.iter().flat_map(|calls| (0..40).map(|steps| Point { calls: *calls, steps }));
            near.chain(all.iter().flat_map(|calls| [*calls; 60]).map(&mut far)).collect()
        }
        Some(some) => {
            // Around the calls in turn, so that few points meet as many calls as they can: first
            // right behind each call, later further on.
            let (first, all) = (far(0).steps, calls + 1);
            // No divisor, so that every call is met.
            let stride = [7, 11, 13].into_iter().find(|stride| all % stride != 0).unwrap_or(1);
            (0..some as u64)
                .map(|i| (first + i * stride) % all)
                .map(|calls| if met.insert(calls) { Point { calls, steps: 0 } } else { far(calls) })
                .collect()
        }
    }
}

/// Runs a call in a thread, and returns when that sleeps in a system call.
pub(crate) fn asleep<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    call: impl FnOnce() -> T + Send + 's,
) -> ScopedJoinHandle<'s, T> {
    let (told, thread) = channel();
    let sleeper = scope.spawn(move || {
        told.send(gettid().as_raw_nonzero()).unwrap();
        call()
    });
    let stat = format!("/proc/self/task/{}/stat", thread.recv().unwrap());
    while !sleeper.is_finished() && !is_asleep(&stat) {
        std::thread::yield_now();
    }
    sleeper
}

/// Whether a thread sleeps, by its file in `/proc`. False if it is traced and stands still.
fn is_asleep(stat: &str) -> bool {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    text.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
}

/// The files of the survivor's directory.
pub(crate) fn left() -> Vec<String> {
    let mut files = files(std::path::Path::new(&std::env::var_os("ANYIPC_DIR").unwrap()));
    files.sort_unstable();
    files
}

/// Runs the role `survivor NAME SHARE` for each share of the work, all at once, each in a process
/// and a directory of its own.
pub(crate) fn survive(name: &str, shares: usize) {
    let _watchdog = watchdog(name, LIMIT);
    let place = Scratch::new("steps");
    let start = |share| {
        let own = Scratch::under(place.path(), name);
        let survivor = spawn(own.path(), &format!("survivor {name} {share}"));
        (survivor, own)
    };
    let survivors: Vec<_> = (0..shares).map(start).collect();
    for (mut survivor, _own) in survivors {
        let word = survivor.hear_within(LIMIT);
        assert_eq!(word, "done", "{name}");
        survivor.finish();
    }
}

/// All points take minutes.
const LIMIT: Duration = Duration::from_secs(3600);
