use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyipc::{Address, Operation};
use serde::Serialize;

use crate::failure::Result;
use crate::interrupt;
use crate::message::PeerInfo;
use crate::output::Output;
use crate::target::Target;
use crate::text;
use crate::values;

const EXAMPLES: &str = "\
Without TEXT, or with `-`, each line of the standard input is one message, without its line end. \
Ends when all messages are handed over; the receiver may read them later. Does not wait for \
answers: use `anyipc call` for those.

Examples:
  anyipc send shm://hello 'hello, world'
  seq 1000 | anyipc send shm://numbers
  anyipc send --config anyipc.toml errors 'main.c:3: syntax error'";

/// Send messages to an owner
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// The message, or `-` for one message per line of the standard input
    text: Option<OsString>,

    /// Longest wait for an owner, such as 500ms (default: the address's timeout, 5s)
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Summary {
    address: String,
    sent: u64,
    bytes: u64,
    peer: PeerInfo,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.channel_within(Operation::Connect, args.timeout)?;
    let text = text::given(args.text.as_ref());
    let summary = interrupt::guard(move || send(&address, text))?;
    if out.json() {
        out.record(summary)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn send(address: &Address, text: Option<Vec<u8>>) -> Result<Summary> {
    // Without a receiving half, an owner that answers gets an error instead of waiting for room.
    let (mut sender, receiver) = anyipc::connect(address)?.split();
    receiver.close();
    let longest = sender.max_message() as u64;
    text::each(text.as_deref(), longest, &mut |message| {
        Ok(sender.send(message).map_err(|error| error.at(address))?)
    })?;
    let (stats, peer) = (sender.stats(), sender.peer().into());
    sender.close()?;
    Ok(Summary {
        address: address.to_string(),
        sent: stats.messages_sent,
        bytes: stats.bytes_sent,
        peer,
    })
}
