use std::io::{self, Read};
use std::process::ExitCode;

use anyipc::Operation;
use anyipc::codec::CodecId;
use serde::Serialize;
use serde_json::Value;

use super::json_codec;
use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
The value is JSON, and the address says so: codec=json. It takes at most half of the block. \
Readers see it as a whole, and those that wait are woken. What is no JSON is \
refused, and nothing is stored.

A program reads it with `Block::load_bytes` and `codec::Json`; `BlockExt::load` reads postcard, \
which only a program that knows the type can write.

Examples:
  anyipc block store 'shm://settings?codec=json' '{\"theme\":\"dark\",\"font_size\":11}'
  jq -n '{theme: \"light\"}' | anyipc block store 'shm://settings?codec=json'";

/// Store JSON as the value of a block
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// The value, or `-` for the standard input, which is read as a whole
    #[arg(allow_negative_numbers = true)]
    value: Option<String>,
}

#[derive(Serialize)]
struct Stored {
    address: String,
    version: u64,
    written: usize,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.address(Operation::Open)?;
    json_codec(&address)?;
    let given = args.value.clone().filter(|value| value != "-");
    let stored = interrupt::guard(move || {
        let endpoint = anyipc::open(&address)?;
        let block = endpoint.block().map_err(|error| error.during(Operation::Open))?;
        let text = match given {
            Some(text) => text.into_bytes(),
            None => {
                // More than fits, blanks included, is refused below.
                let mut text = Vec::new();
                io::stdin()
                    .lock()
                    .take(block.len() as u64 + 1)
                    .read_to_end(&mut text)
                    .map_err(|error| Failure::Io("reading the standard input".into(), error))?;
                text
            }
        };
        let at = |error: anyipc::Error| error.during(Operation::Block).at(&address);
        let value: Value = CodecId::Json.decode(&text).map_err(at)?;
        let mut bytes = Vec::new();
        CodecId::Json.encode(&value, &mut bytes).map_err(at)?;
        block.store_bytes(&bytes).map_err(at)?;
        let version = block.version().map_err(at)?;
        endpoint.close()?;
        Ok(Stored { address: address.to_string(), version, written: bytes.len() })
    })?;
    if out.json() {
        out.record(stored)?;
    }
    Ok(ExitCode::SUCCESS)
}
