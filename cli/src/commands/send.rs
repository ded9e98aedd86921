use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::process::ExitCode;
use std::time::Duration;

use anyipc::{Address, Operation, Sender};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::message::PeerInfo;
use crate::output::Output;
use crate::target::Target;
use crate::values;

const EXAMPLES: &str = "\
Without TEXT, or with `-`, each line of the standard input is one message, without its line end. \
Ends when everything has been handed over; it arrives even if the receiver reads it later. Answers are not \
waited for: use `anyipc call` for those.

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
    let address = args.target.address_within(Operation::Connect, args.timeout)?;
    let text = args.text.clone().filter(|text| text != "-").map(OsString::into_encoded_bytes);
    let summary = interrupt::guard(move || send(&address, text))?;
    if out.json() {
        out.record(summary)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn send(address: &Address, text: Option<Vec<u8>>) -> Result<Summary> {
    // Without a receiving half an owner that answers is told so, instead of waiting for room.
    let (mut sender, receiver) = anyipc::connect(address)?.split();
    receiver.close();
    match text {
        Some(text) => sender.send(&text)?,
        None => send_lines(&mut sender, io::stdin().lock())?,
    }
    let (stats, peer) = (sender.stats(), sender.peer().into());
    sender.close()?;
    Ok(Summary { address: address.to_string(), sent: stats.messages_sent, bytes: stats.bytes_sent, peer })
}

fn send_lines(sender: &mut Sender, mut input: impl BufRead) -> Result<()> {
    // One byte over the longest message and its line end: what is longer is refused without being read.
    let longest = sender.max_message() as u64 + 2;
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = (&mut input)
            .take(longest)
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::Io("reading the standard input".into(), error))?;
        if count == 0 {
            return Ok(());
        }
        sender.send(line.strip_suffix(b"\n").unwrap_or(&line))?;
    }
}
