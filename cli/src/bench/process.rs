//! The second process as the driver holds it.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::case::PeerKind;
use super::guard::Guard;
use super::link::Failure;
use super::meeting::Order;
use super::peer::{self, Report, Used};
use super::sys::{self, Whose};

/// The second process. The [`Guard`] ends it with the benchmark.
#[derive(Debug)]
pub(super) struct Process {
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

impl Process {
    fn start(guard: &Guard) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "--peer"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        sys::keep_signals_off(&mut command);
        let mut child = command.spawn()?;
        let (orders, reports) = (child.stdin.take(), child.stdout.take());
        guard.watch(child);
        match (orders, reports) {
            (Some(orders), Some(reports)) => Ok(Self { orders, reports: BufReader::new(reports) }),
            _ => Err("the second process has no pipes".into()),
        }
    }

    fn order(&mut self, order: &Order) -> Result<(), Failure> {
        let line = serde_json::to_string(order)?;
        writeln!(self.orders, "{line}")
            .and_then(|()| self.orders.flush())
            .map_err(|why| format!("the second process ended: {why}").into())
    }

    fn report(&mut self) -> Result<Used, Failure> {
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

/// The other sides of all rows: the process is started when first needed and serves one row after the other.
#[derive(Debug, Default)]
pub(super) struct Peers {
    process: Option<Process>,
    thread: Option<JoinHandle<Result<Used, Failure>>>,
}

impl Peers {
    /// Tells the other side to connect.
    pub(super) fn order(
        &mut self,
        kind: PeerKind,
        order: Order,
        guard: &Guard,
    ) -> Result<(), Failure> {
        match kind {
            PeerKind::Nobody => Ok(()),
            PeerKind::Thread => {
                self.thread = Some(thread::spawn(move || peer::serve(&order, Whose::Thread)));
                Ok(())
            }
            PeerKind::Process => match &mut self.process {
                Some(process) => process.order(&order),
                none => none.insert(Process::start(guard)?).order(&order),
            },
        }
    }

    /// Waits until it is done; returns the CPU time that it used. Call it once for every order.
    pub(super) fn report(&mut self, kind: PeerKind) -> Result<Used, Failure> {
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
