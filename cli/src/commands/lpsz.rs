use std::ffi::OsString;
use std::process::ExitCode;

use anyipc::Operation;
use serde::Serialize;

use crate::failure::Result;
use crate::hold::{hold_and_accept, release};
use crate::message::Payload;
use crate::output::Output;
use crate::target::Target;

const EXAMPLES: &str = "\
With TEXT: creates an object of its length + 1 bytes that holds the text and a NUL. It lives until \
its last holder closes it: --hold keeps it, and prints `ready` when it exists. Without TEXT: \
prints the stored text.

Examples:
  anyipc lpsz shm://motd 'hello, world' --hold
  anyipc lpsz shm://motd";

/// Store a NUL-terminated text, or read it
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// The text to store; without it the stored text is printed
    text: Option<OsString>,

    /// Print `ready` and keep the text until the standard input closes or a signal comes
    #[arg(long, requires = "text")]
    hold: bool,
}

#[derive(Serialize)]
struct Stored<'a> {
    address: String,
    #[serde(flatten)]
    text: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    match &args.text {
        Some(text) => {
            let address = args.target.address(Operation::AllocLpsz)?;
            let endpoint = anyipc::alloc_lpsz(&address, text.as_encoded_bytes())?;
            if args.hold {
                hold_and_accept(endpoint, out)?;
            } else {
                release(endpoint, out)?;
                out.note("it has no holder, so it is gone already; --hold keeps it");
            }
        }
        None => {
            let address = args.target.address(Operation::Open)?;
            let endpoint = anyipc::open(&address)?;
            let text = endpoint.lpsz()?;
            if out.json() {
                out.record(Stored {
                    address: address.to_string(),
                    text: Payload::new(text.to_bytes()),
                })?;
            } else {
                out.bytes(text.to_bytes())?;
                out.bytes(b"\n")?;
            }
            endpoint.close()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
