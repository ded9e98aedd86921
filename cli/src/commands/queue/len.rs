use std::process::ExitCode;

use anyipc::Operation;
use serde::Serialize;

use super::open;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Prints the number of messages; with --json also their bytes, the queue's limits, and the number of \
messages dropped because it was full.

Examples:
  anyipc queue len mq://jobs
  anyipc queue len mq://jobs --json | jq .dropped";

/// Count the messages of a queue
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Length {
    address: String,
    messages: u64,
    bytes: u64,
    capacity: u64,
    max_message: u64,
    priorities: u32,
    dropped: u64,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let (endpoint, queue) = open(&args.target.address(Operation::Open)?)?;
    let status = queue.status()?;
    if out.json() {
        out.record(Length {
            address: endpoint.address().to_string(),
            messages: status.messages,
            bytes: status.bytes,
            capacity: status.capacity,
            max_message: status.max_message,
            priorities: status.priorities,
            dropped: status.dropped,
        })?;
    } else {
        out.line(status.messages)?;
    }
    drop(queue);
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
