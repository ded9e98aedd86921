use std::process::ExitCode;
use std::time::Duration;

use anyipc::{LeaseId, Operation, Settle};
use serde::Serialize;

use super::open;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;
use crate::values;

const ACK_EXAMPLES: &str = "\
The id is what `anyipc queue recv --lease` printed. Fails with not_found if the lease is over: its \
time has ended and the message was given back, perhaps to another receiver.

Examples:
  anyipc queue ack mq://jobs 12-345
  anyipc queue recv mq://jobs --lease 1m | while IFS=$'\\t' read -r id job; do
    do-it \"$job\" && anyipc queue ack mq://jobs \"$id\"
  done";

/// Take leased messages out of a queue: they are done
#[derive(clap::Args, Debug)]
#[command(after_help = ACK_EXAMPLES)]
pub(crate) struct Ack {
    #[command(flatten)]
    leases: Leases,
}

const RETRY_EXAMPLES: &str = "\
A message that comes back is the next one of its priority. The attempt counts.

Examples:
  anyipc queue retry mq://jobs 12-345
  anyipc queue retry mq://jobs 12-345 --after 30s";

/// Give leased messages back to their queue
#[derive(clap::Args, Debug)]
#[command(after_help = RETRY_EXAMPLES)]
pub(crate) struct Retry {
    #[command(flatten)]
    leases: Leases,

    /// No receiver sees them for this long
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    after: Option<Duration>,
}

const EXTEND_EXAMPLES: &str = "\
Examples:
  anyipc queue extend mq://jobs 12-345 --lease 1m";

/// Prolong the leases of messages
#[derive(clap::Args, Debug)]
#[command(after_help = EXTEND_EXAMPLES)]
pub(crate) struct Extend {
    #[command(flatten)]
    leases: Leases,

    /// They end this long from now
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    lease: Duration,
}

#[derive(clap::Args, Debug)]
struct Leases {
    #[command(flatten)]
    target: Target,

    /// The leases, as `queue recv --lease` printed them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<LeaseId>,
}

#[derive(Serialize)]
struct Settled {
    address: String,
    lease: String,
}

impl Ack {
    pub(crate) fn run(&self, out: &Output) -> Result<ExitCode> {
        self.leases.settle(Settle::Ack, out)
    }
}

impl Retry {
    pub(crate) fn run(&self, out: &Output) -> Result<ExitCode> {
        self.leases.settle(Settle::Retry(self.after.unwrap_or_default()), out)
    }
}

impl Extend {
    pub(crate) fn run(&self, out: &Output) -> Result<ExitCode> {
        self.leases.settle(Settle::Extend(self.lease), out)
    }
}

impl Leases {
    /// In the order given, up to the first that fails.
    fn settle(&self, how: Settle, out: &Output) -> Result<ExitCode> {
        let (endpoint, mut queue) = open(&self.target.address(Operation::Open)?)?;
        for id in &self.ids {
            queue.settle(*id, how)?;
            if out.json() {
                let address = endpoint.address().to_string();
                out.record(Settled { address, lease: id.to_string() })?;
            }
        }
        drop(queue);
        endpoint.close()?;
        Ok(ExitCode::SUCCESS)
    }
}
