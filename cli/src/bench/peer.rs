//! The other side: a second process, or a second thread for a transport that reaches no other process.
//! Orders and reports go over a process's stdin and stdout as lines of JSON; only messages go over the link.

use std::io::{BufRead, Write};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::link::Failure;
use super::meeting::Order;
use super::sys::{self, Whose};

/// What it says when the driver has ended a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// All went well.
    Done(Used),
    /// Why it gave up.
    Failed(String),
}

/// CPU time of the other side.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Used {
    /// In the last phase.
    pub(super) phase: Option<Duration>,
    /// From the order to the report.
    pub(super) all: Option<Duration>,
}

/// Serves one order, until the driver closes.
pub(super) fn serve(order: &Order, whose: Whose) -> Result<Used, Failure> {
    let since = |before: Option<Duration>| sys::cpu_time(whose)?.checked_sub(before?);
    let began = sys::cpu_time(whose);
    if let Some(core) = order.core {
        sys::pin(core);
    }
    let mut wire = order.join()?;
    let mut phase = None;
    loop {
        let before = sys::cpu_time(whose);
        if !order.pattern.serve(&mut wire, order.size)? {
            return Ok(Used { phase, all: since(began) });
        }
        phase = since(before);
    }
}

/// The second process: serves orders until stdin ends.
pub(super) fn run() -> Result<(), Failure> {
    sys::end_with_parent()?;
    let mut reports = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let report = match serve(&order, Whose::Process) {
            Ok(used) => Report::Done(used),
            Err(error) => Report::Failed(error.to_string()),
        };
        writeln!(reports, "{}", serde_json::to_string(&report)?)?;
        reports.flush()?;
    }
    Ok(())
}
