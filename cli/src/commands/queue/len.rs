use std::process::ExitCode;

use anyipc::Operation;

use super::open;
use super::status::Status;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Prints the number of messages that can be received now; with --json all that `anyipc queue status` \
shows.

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

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let (endpoint, queue) = open(&args.target.address(Operation::Open)?)?;
    let status = queue.status()?;
    if out.json() {
        out.record(Status::new(endpoint.address().to_string(), &status))?;
    } else {
        out.line(status.messages)?;
    }
    drop(queue);
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
