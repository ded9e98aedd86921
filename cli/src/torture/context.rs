//! What every worker has: its order, its log, and what tells it to finish.

use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyipc::{Error, ErrorKind, Operation};
use anyipc_measure::process::end_with_parent;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::kind::{Kind, Role};
use super::random::{Random, mix};
use super::record::{Log, What};
use crate::failure::{Failure, Result};
use crate::sys;

/// What a worker is to do: the first line of its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) address: String,
    /// The number of this process in the run.
    pub(super) life: u32,
    pub(super) seed: u64,
    /// Bytes of the longest message.
    pub(super) size: usize,
}

/// Longer than any run.
pub(super) const FOREVER: Duration = Duration::from_secs(1 << 24);

/// The line that tells a worker to finish in order. At the end of its input it ends at once.
pub(super) const FINISH: &str = "finish";

/// Where a worker fails on purpose: for tests of the oracle.
pub(super) const FAULT: &str = "ANYIPC_TORTURE_FAULT";

/// What goes wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A message is not sent, in spite of its `Ok`.
    Lose,
    /// A message is sent twice.
    Duplicate,
    /// A byte of a message is another one.
    Tear,
    /// A message overtakes the one before.
    Reorder,
    /// The receiver says that its peer has died.
    FalseDeath,
    /// The receiver says so too late.
    Late,
    /// The worker does nothing more.
    Hang,
    /// The worker ends by itself.
    Leave,
    /// A file stays.
    File,
    /// A descriptor stays.
    Descriptor,
    /// A value that was replaced is loaded again.
    Stale,
    /// A lock is not taken.
    Overlap,
    /// The death of the owner before is not reported.
    Silence,
}

impl Fault {
    fn from_environment() -> Option<Self> {
        let word = std::env::var(FAULT).ok()?;
        let all = [
            ("lose", Self::Lose),
            ("duplicate", Self::Duplicate),
            ("tear", Self::Tear),
            ("reorder", Self::Reorder),
            ("false-death", Self::FalseDeath),
            ("late", Self::Late),
            ("hang", Self::Hang),
            ("leave", Self::Leave),
            ("file", Self::File),
            ("descriptor", Self::Descriptor),
            ("stale", Self::Stale),
            ("overlap", Self::Overlap),
            ("silence", Self::Silence),
        ];
        all.into_iter().find_map(|(name, fault)| (name == word).then_some(fault))
    }
}

/// One worker process.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) order: Order,
    pub(super) log: Log,
    fault: Option<Fault>,
    finishing: AtomicBool,
    tasks: Runtime,
}

impl Context {
    /// True once the worker has to finish in order.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing.load(Ordering::Relaxed)
    }

    /// True if this part of the work waits as tasks do: a quarter of all.
    pub(super) fn is_async(&self, part: u64) -> bool {
        mix(self.order.seed ^ part).is_multiple_of(4)
    }

    /// Makes something async.
    pub(super) fn in_runtime<R>(&self, make: impl FnOnce() -> R) -> R {
        let _runtime = self.tasks.enter();
        make()
    }

    /// A call of a task, which is cancelled after this time: `TimedOut`.
    pub(super) fn within<R>(
        &self,
        limit: Duration,
        call: impl Future<Output = anyipc::Result<R>>,
    ) -> anyipc::Result<R> {
        let cancelled = || Err(Error::new(Operation::Receive, ErrorKind::TimedOut));
        let limited = async { timeout(limit, call).await.unwrap_or_else(|_| cancelled()) };
        self.tasks.block_on(limited)
    }

    /// A call of a task. It is cancelled if it takes longer than a millisecond, and made again: a
    /// cancelled one has done nothing.
    pub(super) fn again<R>(
        &self,
        mut call: impl AsyncFnMut() -> anyipc::Result<R>,
    ) -> anyipc::Result<R> {
        match self.within(Duration::from_millis(1), call()) {
            Err(error) if error.kind() == ErrorKind::TimedOut => self.within(FOREVER, call()),
            done => done,
        }
    }

    /// A call of a task, of which half are cancelled.
    pub(super) fn task<R>(
        &self,
        random: &mut Random,
        call: impl Future<Output = anyipc::Result<R>>,
    ) -> anyipc::Result<R> {
        let limit = if random.below(2) == 0 { random.instant(13) } else { FOREVER };
        self.within(limit, call)
    }

    /// True if this has to go wrong.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

/// A worker process from its order to its end.
///
/// # Errors
/// There is no order, or no way to report.
pub(super) fn run() -> Result<()> {
    let failed = |what: &str, why| Failure::Io(what.into(), why);
    end_with_parent().map_err(|why| failed("following the parent", why))?;
    let log = Log::new().map_err(|why| failed("the log", why))?;
    let mut line = String::new();
    io::stdin().read_line(&mut line).map_err(|why| failed("reading the order", why))?;
    let order = serde_json::from_str(&line).map_err(|why| failed("the order", why.into()))?;
    let (fault, finishing) = (Fault::from_environment(), AtomicBool::new(false));
    let tasks = Builder::new_current_thread().enable_all().build();
    let tasks = tasks.map_err(|why| failed("making a runtime", why))?;
    let context = Arc::new(Context { order, log, fault, finishing, tasks });
    let obeying = Arc::clone(&context);
    thread::Builder::new()
        .spawn(move || obey(&obeying))
        .map_err(|why| failed("starting a thread", why))?;
    let panicking = Arc::clone(&context);
    std::panic::set_hook(Box::new(move |info| {
        panicking.log.say(What::Failed, &info.to_string());
        std::process::exit(1);
    }));
    let done = context.order.kind.work(&context);
    if context.has(Fault::File) {
        leave_file();
    }
    match done {
        Ok(()) => context.log.say(What::Done, ""),
        Err(error) => context.log.say(What::Failed, &error.to_string()),
    }
    Ok(())
}

/// Waits for the word to finish, and for the end of the input.
fn obey(context: &Context) {
    for line in io::stdin().lock().lines() {
        match line {
            Ok(line) if line == FINISH => context.finishing.store(true, Ordering::Relaxed),
            _ => break,
        }
    }
    // Whether in order or not, the driver has no more use for this process.
    std::process::exit(0);
}

/// Leaves a file among the objects.
fn leave_file() {
    for directory in std::fs::read_dir(sys::base()).into_iter().flatten().flatten() {
        let _ = std::fs::write(directory.path().join("left"), "");
    }
}
