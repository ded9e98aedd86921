//! Attaching and detaching, explored in full: three processes, every interleaving of their system
//! calls, and a kill at every step. Each step below is one system call of `attach.rs` or
//! `attachment.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test panics")]

use std::collections::HashSet;

const PROCESSES: usize = 3;
/// How often each process attaches.
const TURNS: u8 = 2;

type Inode = u8;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Lock {
    None,
    Shared,
    Exclusive,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Want {
    Create,
    Open,
    OpenOrCreate,
}

/// What a process does next.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Step {
    Choose,
    Open,
    TryExclusive,
    CheckStale,
    UnlinkStale,
    TryShared,
    CheckShared,
    MakeNameless,
    LockNew,
    LinkNew,
    /// Only where the lock comes after the name.
    LockNamed,
    Attached,
    /// No lock is upgraded: the shared one goes first.
    Unlock,
    TryLast,
    CheckLast,
    UnlinkLast,
    /// Closes the file; then tries again or is done with this turn.
    Close,
    CloseAndRetry,
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
struct Process {
    step: Step,
    want: Want,
    file: Option<Inode>,
    lock: Lock,
    /// Start over after detaching.
    again: bool,
    turns: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    name: Option<Inode>,
    processes: [Process; PROCESSES],
    killed: bool,
}

/// What the protocol under test leaves out.
#[derive(Clone, Copy, Default)]
struct Variant {
    no_check_after_shared: bool,
    no_check_before_reclaim: bool,
    no_check_at_detach: bool,
    lock_after_create: bool,
    refused_create_only_closes: bool,
    upgrade_without_unlock: bool,
}

impl State {
    fn new() -> Self {
        let process = Process {
            step: Step::Choose,
            want: Want::Open,
            file: None,
            lock: Lock::None,
            again: false,
            turns: TURNS,
        };
        Self { name: None, processes: [process; PROCESSES], killed: false }
    }

    fn fresh_inode(&self) -> Inode {
        let used = |i| self.name == Some(i) || self.processes.iter().any(|p| p.file == Some(i));
        (0..).find(|&i| !used(i)).unwrap()
    }

    /// Takes the lock if none stands against it, the process's own included: Windows refuses to
    /// upgrade a lock. A `flock` differs in that alone, and no step asks for a second lock.
    fn try_lock(&mut self, process: usize, lock: Lock) -> bool {
        let file = self.processes[process].file;
        let free = self.processes.iter().all(|p| {
            p.file != file
                || p.lock == Lock::None
                || (p.lock == Lock::Shared && lock == Lock::Shared)
        });
        if free {
            self.processes[process].lock = lock;
        }
        free
    }

    fn is_named(&self, process: usize) -> bool {
        self.name == self.processes[process].file
    }

    /// All states after one system call of a process.
    fn after(&self, process: usize, variant: Variant) -> Vec<Self> {
        use Step::*;
        if self.processes[process].step == Choose {
            return [Want::Create, Want::Open, Want::OpenOrCreate]
                .into_iter()
                .filter(|_| self.processes[process].turns > 0)
                .map(|want| {
                    let mut next = self.clone();
                    let p = &mut next.processes[process];
                    (p.want, p.turns, p.step) = (want, p.turns - 1, Open);
                    next
                })
                .collect();
        }
        let mut s = self.clone();
        let want = s.processes[process].want;
        let now = s.processes[process].step;
        let step = match now {
            Choose | Dead => return Vec::new(),
            Open => match s.name {
                Some(inode) => {
                    s.processes[process].file = Some(inode);
                    TryExclusive
                }
                None if want == Want::Open => Choose,
                None => MakeNameless,
            },
            TryExclusive if s.try_lock(process, Lock::Exclusive) => CheckStale,
            TryExclusive => TryShared,
            CheckStale if variant.no_check_before_reclaim || s.is_named(process) => UnlinkStale,
            CheckStale => CloseAndRetry,
            UnlinkStale => {
                s.name = None;
                CloseAndRetry
            }
            TryShared if s.try_lock(process, Lock::Shared) => CheckShared,
            TryShared => CloseAndRetry,
            CheckShared if variant.no_check_after_shared || s.is_named(process) => {
                match (want, variant.refused_create_only_closes) {
                    (Want::Create, true) => Close,
                    (Want::Create, false) => Unlock,
                    _ => Attached,
                }
            }
            CheckShared => {
                s.processes[process].again = true;
                Unlock
            }
            MakeNameless => {
                s.processes[process].file = Some(s.fresh_inode());
                if variant.lock_after_create { LinkNew } else { LockNew }
            }
            LockNew => {
                assert!(s.try_lock(process, Lock::Shared), "nobody else knows the file");
                LinkNew
            }
            LinkNew if s.name.is_some() => CloseAndRetry,
            LinkNew => {
                s.name = s.processes[process].file;
                if variant.lock_after_create { LockNamed } else { Attached }
            }
            LockNamed if s.try_lock(process, Lock::Shared) => Attached,
            LockNamed => CloseAndRetry,
            Attached => Unlock,
            Unlock => {
                if !variant.upgrade_without_unlock {
                    s.processes[process].lock = Lock::None;
                }
                TryLast
            }
            TryLast if s.try_lock(process, Lock::Exclusive) => CheckLast,
            TryLast if s.processes[process].again => CloseAndRetry,
            TryLast => Close,
            CheckLast if variant.no_check_at_detach || s.is_named(process) => UnlinkLast,
            CheckLast if s.processes[process].again => CloseAndRetry,
            CheckLast => Close,
            UnlinkLast => {
                s.name = None;
                if s.processes[process].again { CloseAndRetry } else { Close }
            }
            Close | CloseAndRetry => {
                let again = now == CloseAndRetry;
                let p = &mut s.processes[process];
                (p.file, p.lock, p.again) = (None, Lock::None, false);
                if again { Open } else { Choose }
            }
        };
        s.processes[process].step = step;
        vec![s]
    }

    fn killed(&self, process: usize) -> Option<Self> {
        let p = self.processes[process];
        let idle = p.step == Step::Dead || (p.step == Step::Choose && p.turns == 0);
        (!idle).then(|| {
            let mut next = self.clone();
            // The kernel closes its files, which gives its locks back.
            let (file, lock, turns) = (None, Lock::None, 0);
            next.processes[process] =
                Process { step: Step::Dead, file, lock, turns, again: false, ..p };
            next.killed = true;
            next
        })
    }

    fn fault(&self, next: &[Self]) -> Option<&'static str> {
        // In particular, no two processes are attached to different files.
        let lost =
            |p: &Process| p.step == Step::Attached && (self.name != p.file || p.file.is_none());
        if self.processes.iter().any(lost) {
            return Some("a live block has lost its name");
        }
        if next.is_empty() {
            if !self.killed && self.name.is_some() {
                return Some("an orderly last close left a file");
            }
            if !self.recovers() {
                return Some("a create after the crash did not succeed");
            }
        }
        None
    }

    /// Whether one more process, alone, can create, and leaves nothing.
    fn recovers(&self) -> bool {
        let mut s = self.clone();
        let p = &mut s.processes[0];
        (p.step, p.want, p.file, p.lock) = (Step::Open, Want::Create, None, Lock::None);
        let mut attached = false;
        for _ in 0..40 {
            attached |= s.processes[0].step == Step::Attached;
            if s.processes[0].step == Step::Choose {
                break;
            }
            s = s.after(0, Variant::default()).remove(0);
        }
        attached && s.name.is_none()
    }

    /// One state for all that differ only in the order of the processes.
    fn canonical(mut self) -> Self {
        self.processes.sort_unstable();
        let mut seen: Vec<Inode> = Vec::new();
        let mut rename = |file: &mut Option<Inode>| {
            if let Some(inode) = file {
                let new = seen.iter().position(|i| i == inode).unwrap_or_else(|| {
                    seen.push(*inode);
                    seen.len() - 1
                });
                *inode = new as Inode;
            }
        };
        rename(&mut self.name);
        self.processes.iter_mut().for_each(|p| rename(&mut p.file));
        self
    }
}

/// Visits every reachable state. The number of states, or the first fault.
fn explore(variant: Variant) -> Result<usize, (&'static str, State)> {
    let start = State::new();
    let mut seen = HashSet::from([start.clone()]);
    let mut todo = vec![start];
    while let Some(state) = todo.pop() {
        let mut next: Vec<State> =
            (0..PROCESSES).flat_map(|process| state.after(process, variant)).collect();
        if let Some(fault) = state.fault(&next) {
            return Err((fault, state));
        }
        next.extend((0..PROCESSES).filter_map(|process| state.killed(process)));
        for state in next {
            let state = state.canonical();
            if seen.insert(state.clone()) {
                todo.push(state);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn the_protocol_holds_with_a_kill_at_every_step() {
    match explore(Variant::default()) {
        Ok(states) => {
            println!("{states} states");
            assert!(states > 10_000, "only {states} states: the model does not run");
        }
        Err((fault, state)) => panic!("{fault}: {state:#?}"),
    }
}

#[test]
fn leaving_out_an_inode_check_is_caught() {
    let variants = [
        Variant { no_check_after_shared: true, ..Variant::default() },
        Variant { no_check_before_reclaim: true, ..Variant::default() },
        Variant { no_check_at_detach: true, ..Variant::default() },
    ];
    for variant in variants {
        assert_eq!(explore(variant).unwrap_err().0, "a live block has lost its name");
    }
}

#[test]
fn locking_after_creating_is_caught() {
    let variant = Variant { lock_after_create: true, ..Variant::default() };
    assert_eq!(explore(variant).unwrap_err().0, "a live block has lost its name");
}

#[test]
fn leaving_without_detaching_is_caught() {
    let variant = Variant { refused_create_only_closes: true, ..Variant::default() };
    assert_eq!(explore(variant).unwrap_err().0, "an orderly last close left a file");
}

#[test]
fn upgrading_without_unlocking_is_caught() {
    let variant = Variant { upgrade_without_unlock: true, ..Variant::default() };
    assert_eq!(explore(variant).unwrap_err().0, "an orderly last close left a file");
}
