//! The peer: a second process, or a second thread for a transport that reaches no other process.
//! Orders and reports go over the process's stdin and stdout as lines of JSON; messages only go
//! over the link.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyipc_measure::Result;
use anyipc_measure::cores::pin;
use anyipc_measure::cpu::CpuClock;
use anyipc_measure::process::end_with_parent;
use serde::{Deserialize, Serialize};

use super::meeting::Order;

/// The peer's last word on a row.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// The driver ended the row.
    Done(Used),
    /// The reason to give up.
    Failed(String),
}

/// CPU time of the peer.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Used {
    /// In the last phase.
    pub(super) phase: Option<Duration>,
    /// From the order to the report.
    pub(super) all: Option<Duration>,
}

/// Serves one order, until the driver ends it.
pub(super) fn serve(order: &Order, cpu: CpuClock) -> Result<Used> {
    let began = cpu.now();
    if let Some(core) = order.core {
        pin(core);
    }
    let mut wire = order.join()?;
    let mut phase = None;
    loop {
        let before = cpu.now();
        if !order.pattern.serve(&mut wire, order.size)? {
            return Ok(Used { phase, all: cpu.since(began) });
        }
        phase = cpu.since(before);
    }
}

/// The second process: serves orders until stdin ends.
pub(super) fn run() -> Result<()> {
    end_with_parent()?;
    let mut reports = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let report = match serve(&order, CpuClock::Process) {
            Ok(used) => Report::Done(used),
            Err(error) => Report::Failed(error.to_string()),
        };
        writeln!(reports, "{}", serde_json::to_string(&report)?)?;
        reports.flush()?;
    }
    Ok(())
}
