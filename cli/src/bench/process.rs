//! The peers as the driver holds them.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyipc_measure::Result;
use anyipc_measure::cpu::CpuClock;
use anyipc_measure::process::{keep_signals_off, second_process};
use anyipc_measure::watchdog::Watchdog;

use super::case::PeerKind;
use super::meeting::Order;
use super::peer::{self, Report, Used};

/// The second process. The [`Watchdog`] ends it with the benchmark.
#[derive(Debug)]
pub(super) struct Process {
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Process {
    fn start(watchdog: &Watchdog) -> Result<Self> {
        let mut command = second_process()?;
        command.args(["bench", "--peer"]).stdout(Stdio::piped());
        keep_signals_off(&mut command);
        let mut child = command.spawn()?;
        let (orders, reports) = (child.stdin.take(), child.stdout.take());
        watchdog.watch(child);
        match (orders, reports) {
            (Some(orders), Some(reports)) => Ok(Self { orders, reports: BufReader::new(reports) }),
            _ => Err("the second process has no pipes".into()),
        }
    }

    fn order(&mut self, order: &Order) -> Result<()> {
        let line = serde_json::to_string(order)?;
        writeln!(self.orders, "{line}")
            .and_then(|()| self.orders.flush())
            .map_err(|why| format!("the second process ended: {why}").into())
    }

    fn report(&mut self) -> Result<Used> {
        let mut line = String::new();
        if self.reports.read_line(&mut line)? == 0 {
            return Err("the second process ended".into());
        }
        match serde_json::from_str(&line)? {
            Report::Done(used) => Ok(used),
            Report::Failed(why) => Err(why.into()),
        }
    }
}

/// The peers of all rows. The process starts with the first row that needs it and serves all.
#[derive(Debug, Default)]
pub(super) struct Peers {
    process: Option<Process>,
    thread: Option<JoinHandle<Result<Used>>>,
}

impl Peers {
    /// Tells the peer to connect.
    pub(super) fn order(
        &mut self,
        kind: PeerKind,
        order: Order,
        watchdog: &Watchdog,
    ) -> Result<()> {
        match kind {
            PeerKind::Nobody => Ok(()),
            PeerKind::Thread => {
                self.thread = Some(thread::spawn(move || peer::serve(&order, CpuClock::Thread)));
                Ok(())
            }
            PeerKind::Process => match &mut self.process {
                Some(process) => process.order(&order),
                none => none.insert(Process::start(watchdog)?).order(&order),
            },
        }
    }

    /// Waits until the peer is done, and returns its CPU time. Call it once for each order.
    pub(super) fn report(&mut self, kind: PeerKind) -> Result<Used> {
        match (kind, &mut self.process, self.thread.take()) {
            (PeerKind::Nobody, ..) => {
                Ok(Used { phase: Some(Duration::ZERO), all: Some(Duration::ZERO) })
            }
            (PeerKind::Process, Some(process), _) => process.report(),
            (PeerKind::Thread, _, Some(thread)) => {
                thread.join().unwrap_or_else(|_| Err("the second thread panicked".into()))
            }
            _ => Err("nothing was ordered".into()),
        }
    }
}
