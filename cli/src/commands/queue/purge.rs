use std::process::ExitCode;

use anyipc::Operation;
use serde::Serialize;

use super::open;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Prints the number of removed messages. The queue stays.

Examples:
  anyipc queue purge mq://jobs";

/// Remove all messages of a queue
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Purged {
    address: String,
    removed: u64,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let (endpoint, mut queue) = open(&args.target.address(Operation::Open)?)?;
    let removed = queue.purge()?;
    if out.json() {
        out.record(Purged { address: endpoint.address().to_string(), removed })?;
    } else {
        out.line(removed)?;
    }
    drop(queue);
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
