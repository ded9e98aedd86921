use std::process::ExitCode;

use anyipc::{Error, ErrorKind, Operation};

use crate::failure::Result;
use crate::hold::{hold, release};
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
The block holds zeroes and lives until its last holder closes it. --hold keeps it, and prints \
`ready` when it exists. In a script, keep the standard input open: \
`sleep infinity | anyipc block create … --hold &`.

Example:
  anyipc block create shm://scratch --size 64KiB --hold";

/// Create a block
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Bytes, such as 4096 or 64KiB; not needed if the address has size=
    #[arg(long, value_name = "N")]
    size: Option<String>,

    /// Print `ready` and keep the block until the standard input closes or a signal comes
    #[arg(long)]
    hold: bool,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let mut address = args.target.address(Operation::Create)?;
    if let Some(size) = &args.size {
        address = address.with("size", size);
    } else if address.get("size").is_none() {
        let why = "a block needs a size: give --size N, or size= in the address";
        return Err(Error::new(Operation::Create, ErrorKind::InvalidOption)
            .because(why)
            .at(address)
            .into());
    }
    let endpoint = anyipc::create(&address)?;
    if args.hold {
        hold(endpoint, out)?;
    } else {
        release(endpoint, out)?;
        out.note("it has no holder, so it is gone already; --hold keeps it");
    }
    Ok(ExitCode::SUCCESS)
}
