use std::process::ExitCode;

use anyipc::{Error, ErrorKind, Operation, Result as IpcResult};
use serde::Serialize;

use crate::failure::Result;
use crate::message::Payload;
use crate::output::Output;
use crate::target::Target;
use crate::values;

/// Bytes read at a time.
const PIECE: usize = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  anyipc block cat shm://scratch | xxd
  anyipc block cat shm://scratch --offset 16 --len 6";

/// Print the bytes of a block
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Offset of the first byte
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::bytes)]
    offset: u64,

    /// Number of bytes (default: to the end)
    #[arg(long, value_name = "N", value_parser = values::bytes)]
    len: Option<u64>,
}

#[derive(Serialize)]
struct Contents<'a> {
    address: String,
    offset: usize,
    #[serde(flatten)]
    bytes: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Open)?;
    let endpoint = anyipc::open(&address)?;
    let block = endpoint.block().map_err(|error| error.during(Operation::Open))?;
    let offset = usize::try_from(args.offset).unwrap_or(usize::MAX);
    let len = match args.len {
        Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
        None => block.len().saturating_sub(offset),
    };
    // Before anything is printed. `checked_add`: the sum may overflow.
    if offset.checked_add(len).is_none_or(|end| end > block.len()) {
        let why = format!("{len} bytes at offset {offset} of a block of {} bytes", block.len());
        return Err(Error::new(Operation::Block, ErrorKind::OutOfBounds)
            .because(why)
            .at(&address)
            .into());
    }
    let read = |offset: usize, bytes: &mut [u8]| -> IpcResult<()> {
        block.read_at(offset, bytes).map_err(|error| error.at(&address))
    };
    if out.json() {
        let mut bytes = vec![0; len];
        read(offset, &mut bytes)?;
        out.record(Contents { address: address.to_string(), offset, bytes: Payload::new(&bytes) })?;
    } else {
        let mut piece = vec![0; PIECE.min(len)];
        let mut done = 0;
        while done < len {
            piece.truncate(len - done);
            read(offset + done, &mut piece)?;
            out.bytes(&piece)?;
            done += piece.len();
        }
    }
    out.flush()?;
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
