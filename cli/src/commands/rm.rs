use std::process::ExitCode;

use anyipc::{ErrorKind, Operation, Registry};
use serde::Serialize;

use crate::failure::Result;
use crate::objects;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
A live object is refused (exit code 1) without --force. With it, holders keep their memory and \
channels, but the name no longer leads to them, and their close reports an error. \
There is rarely a reason: the next create or open reclaims what a crash left behind.

Examples:
  anyipc rm shm://hello
  anyipc rm shm://hello --force";

/// Remove the objects of one name
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Also remove live and damaged objects
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Remove)?;
    Registry::global().remove(&address, args.force).map_err(|error| match error.kind() {
        ErrorKind::NotFound => objects::not_found(Operation::Remove, &address),
        _ => error,
    })?;
    if out.json() {
        out.record(Removed { removed: address.to_string() })?;
    }
    Ok(ExitCode::SUCCESS)
}
