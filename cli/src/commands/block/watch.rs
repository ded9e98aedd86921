use std::process::ExitCode;

use anyipc::{BlockExt, ErrorKind, Operation};
use serde::Serialize;

use crate::failure::Result;
use crate::interrupt::{self, SLICE};
use crate::message::Payload;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Prints the stored value of a block, if there is one, and then each newer one, as its bytes and a \
line end; with --json as {\"schema\":1,\"address\",\"version\",\"len\",\"text\"}, or \"data_hex\" \
for bytes that are not UTF-8. The version counts the stores: values that were replaced before they \
could be printed are left out, the last one never is.

A stored value is what `Block::store` and `anyipc block write --value` put there. Holds the block \
until --count values were printed or a signal comes.

Examples:
  anyipc block watch shm://settings
  anyipc block watch shm://settings --json | jq .version
  anyipc block watch shm://settings --count 1    # the present value, or the first one";

/// Print the stored value of a block whenever it changes
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// End after this many values
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Value<'a> {
    address: String,
    version: u64,
    #[serde(flatten)]
    bytes: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    interrupt::install()?;
    let address = args.target.address(Operation::Open)?;
    let endpoint = anyipc::open(&address)?;
    let block = endpoint.block().map_err(|error| error.during(Operation::Open))?;
    let (mut printed, mut seen) = (0, 0);
    while args.count.is_none_or(|count| printed < count) {
        interrupt::check()?;
        let value = match block.load_newer_bytes(&mut seen, SLICE) {
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            done => done.map_err(|error| error.at(&address))?,
        };
        printed += 1;
        if out.json() {
            let bytes = Payload::new(&value);
            out.record(Value { address: address.to_string(), version: seen, bytes })?;
        } else {
            out.bytes(&value)?;
            out.bytes(b"\n")?;
        }
        out.flush()?;
    }
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
