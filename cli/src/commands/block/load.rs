use std::process::ExitCode;
use std::time::Duration;

use anyipc::codec::CodecId;
use anyipc::{BlockExt, Error, ErrorKind, Operation};
use serde::Serialize;
use serde_json::Value;

use super::json_codec;
use crate::failure::Result;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
Prints the stored value as one line of JSON, its keys in alphabetical order; with --json as \
{\"schema\":1,\"address\",\"version\",\"value\"}. The version counts the stores.

The value must have been stored as JSON, and the address must say so: codec=json. That is what \
`anyipc block store` does, and a program with `Block::store_bytes` and `codec::Json`. \
`BlockExt::store` writes postcard, which does not describe itself: no program can read it without \
its type, and `anyipc block watch` prints its bytes.

Examples:
  anyipc block load 'shm://settings?codec=json'
  anyipc block load 'shm://settings?codec=json' --json | jq .value.theme";

/// Print the stored value of a block as JSON
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

#[derive(Serialize)]
struct Loaded {
    address: String,
    version: u64,
    value: Value,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Open)?;
    json_codec(&address)?;
    let endpoint = anyipc::open(&address)?;
    let block = endpoint.block().map_err(|error| error.during(Operation::Open))?;
    let mut version = 0;
    let bytes = block.load_newer_bytes(&mut version, Duration::ZERO).map_err(|error| {
        match error.kind() {
            ErrorKind::TimedOut => Error::new(Operation::Block, ErrorKind::NotFound)
                .because("no value was stored in it yet"),
            _ => error,
        }
        .at(&address)
    })?;
    let value: Value = CodecId::Json
        .decode(&bytes)
        .map_err(|error| error.during(Operation::Block).at(&address))?;
    if out.json() {
        out.record(Loaded { address: address.to_string(), version, value })?;
    } else {
        out.bytes(value.to_string().as_bytes())?;
        out.bytes(b"\n")?;
    }
    out.flush()?;
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}
