use std::io::{self, Read};
use std::process::ExitCode;

use anyipc::{Error, ErrorKind, Operation};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use crate::target::Target;
use crate::values;

const EXAMPLES: &str = "\
Nothing is written if the input does not fit behind the offset.

With --value the input becomes the stored value of the block, at most half as long as the block. \
Readers see it as a whole, and `anyipc block watch` prints it.

Examples:
  echo hello | anyipc block write shm://scratch --offset 16
  printf dark | anyipc block write shm://settings --value";

/// Write the standard input into a block
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Offset of the first byte
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::bytes)]
    offset: u64,

    /// Store the input as the block's value
    #[arg(long, conflicts_with = "offset")]
    value: bool,
}

#[derive(Serialize)]
struct Written {
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    written: usize,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Open)?;
    let offset = usize::try_from(args.offset).unwrap_or(usize::MAX);
    let value = args.value;
    let written = interrupt::guard(move || {
        let endpoint = anyipc::open(&address)?;
        let block = endpoint.block().map_err(|error| error.during(Operation::Open))?;
        let room = block.len().saturating_sub(offset);
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .take(room as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::Io("reading the standard input".into(), error))?;
        if bytes.len() > room {
            let why = format!(
                "the standard input has more than the {room} bytes from offset {offset} to the \
                 end of {}; nothing was written",
                block.len()
            );
            return Err(Error::new(Operation::Block, ErrorKind::OutOfBounds)
                .because(why)
                .at(&address)
                .into());
        }
        let done = if value { block.store_bytes(&bytes) } else { block.write_at(offset, &bytes) };
        done.map_err(|error| error.at(&address))?;
        endpoint.close()?;
        let offset = (!value).then_some(offset);
        Ok(Written { address: address.to_string(), offset, written: bytes.len() })
    })?;
    if out.json() {
        out.record(written)?;
    }
    Ok(ExitCode::SUCCESS)
}
