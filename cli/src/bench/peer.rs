//! The other side: a second process, or a second thread for a transport that reaches no other process.
//! Orders and reports go over a process's stdin and stdout as lines of JSON; only messages go over the link.

use std::io::{BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link::Failure;
use super::pattern::Pattern;
use super::sys::{self, Whose};

/// What the other side is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Order {
    /// Where to connect.
    pub(super) url: String,
    /// The pattern of traffic.
    pub(super) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(super) size: usize,
    /// The core to run on.
    pub(super) core: Option<usize>,
}

/// What it says when the channel is closed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// All went well.
    Done {
        /// CPU time of the last phase, in ns.
        cpu_ns: Option<u64>,
    },
    /// Why it gave up.
    Failed(String),
}

/// Serves one order, until the driver closes. Returns the CPU time of the last phase.
pub(super) fn serve(order: &Order, whose: Whose) -> Result<Option<Duration>, Failure> {
    if let Some(core) = order.core {
        sys::pin(core);
    }
    let mut channel = anyipc::connect(&order.url)?;
    let mut cpu = None;
    loop {
        let before = sys::cpu_time(whose);
        if !order.pattern.serve(&mut channel, order.size)? {
            return Ok(cpu);
        }
        cpu = before.and_then(|before| sys::cpu_time(whose)?.checked_sub(before));
    }
}

/// The second process: serves orders until stdin ends.
pub(super) fn run() -> Result<(), Failure> {
    let mut reports = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let report = match serve(&order, Whose::Process) {
            Ok(cpu) => Report::Done { cpu_ns: cpu.and_then(|cpu| u64::try_from(cpu.as_nanos()).ok()) },
            Err(error) => Report::Failed(error.to_string()),
        };
        writeln!(reports, "{}", serde_json::to_string(&report)?)?;
        reports.flush()?;
    }
    Ok(())
}
