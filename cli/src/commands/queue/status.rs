use std::process::ExitCode;

use anyipc::{Operation, QueueStatus};
use serde::Serialize;

use super::open;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
messages are those that can be received now; leased ones come back unless they are acknowledged; \
delayed ones wait for their time; dead ones had no attempt left (attempts=, dead=).

Examples:
  anyipc queue status mq://jobs
  anyipc queue status mq://jobs --json | jq .leased";

/// Show what is in a queue, and its limits
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
pub(super) struct Status {
    address: String,
    messages: u64,
    leased: u64,
    delayed: u64,
    bytes: u64,
    capacity: u64,
    max_message: u64,
    priorities: u32,
    dropped: u64,
    dead: u64,
}

impl Status {
    pub(super) fn new(address: String, status: &QueueStatus) -> Self {
        Self {
            address,
            messages: status.messages,
            leased: status.leased,
            delayed: status.delayed,
            bytes: status.bytes,
            capacity: status.capacity,
            max_message: status.max_message,
            priorities: status.priorities,
            dropped: status.dropped,
            dead: status.dead,
        }
    }
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let (endpoint, queue) = open(&args.target.address(Operation::Open)?)?;
    let status = queue.status()?;
    if out.json() {
        out.record(Status::new(endpoint.address().to_string(), &status))?;
    } else {
        let lines = [
            ("messages", status.messages),
            ("leased", status.leased),
            ("delayed", status.delayed),
            ("bytes", status.bytes),
            ("capacity", status.capacity),
            ("longest message", status.max_message),
            ("priorities", status.priorities.into()),
            ("dropped", status.dropped),
            ("dead", status.dead),
        ];
        for (name, number) in lines {
            out.line(format_args!("{name:<16}{number}"))?;
        }
    }
    drop(queue);
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
