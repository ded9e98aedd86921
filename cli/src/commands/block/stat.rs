use std::process::ExitCode;

use anyipc::{Error, ErrorKind, Operation, Registry};

use crate::commands::inspect::show;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Does not hold the block. With --json the line has the fields of `anyipc ls`.

Example:
  anyipc block stat shm://scratch";

/// Show a block's size, state and holders
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Open)?;
    let mut objects = Registry::global().inspect(&address)?;
    objects.retain(|object| object.kind == "block");
    if objects.is_empty() {
        let why = "no block has this name; create one with --size";
        return Err(Error::new(Operation::Open, ErrorKind::NotFound)
            .because(why)
            .at(address)
            .into());
    }
    show(&address, &objects, out)?;
    Ok(ExitCode::SUCCESS)
}
