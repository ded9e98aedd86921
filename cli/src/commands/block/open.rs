use std::process::ExitCode;

use anyipc::Operation;

use crate::failure::Result;
use crate::hold::{hold, release};
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Without --hold only the exit code says whether the block can be opened.

Examples:
  anyipc block open shm://scratch --hold
  anyipc block open shm://scratch && echo it is there";

/// Open a block and hold it
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Print `ready` and keep the block until the standard input closes or a signal comes
    #[arg(long)]
    hold: bool,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Open)?;
    let endpoint = anyipc::open(&address)?;
    endpoint.block().map_err(|error| error.during(Operation::Open))?;
    if args.hold {
        hold(endpoint, out)?;
    } else {
        release(endpoint, out)?;
    }
    Ok(ExitCode::SUCCESS)
}
