use std::process::ExitCode;
use std::time::Duration;

use anyipc::Operation;
use serde::Serialize;

use crate::failure::Result;
use crate::message::{Payload, PeerInfo};
use crate::output::Output;
use crate::owner::Owner;
use crate::target::Target;
use crate::values;

const EXAMPLES: &str = "\
Creates the object and owns it; several senders may connect at once. Prints each message as its \
bytes and a line end. For messages with line ends or bytes that are not UTF-8 use --json, which \
prints {\"schema\":1,\"peer\":{\"id\",\"pid\",\"uid\"},\"len\",\"text\"}, or \"data_hex\" \
instead of text.

Ends when all senders, at least one, have left, after --count messages, or never with --follow. \
Messages still on their way after --count messages are lost, and their senders get an error. Each \
message is written before the next one is taken.

Examples:
  anyipc recv shm://hello
  anyipc recv shm://hello --follow --json | jq .text
  anyipc recv shm://hello --count 1 --timeout 10s";

/// Receive messages, as the owner, from all connected senders
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// End after this many messages
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    count: Option<u64>,

    /// Go on after all senders have left
    #[arg(short, long)]
    follow: bool,

    /// Fail if no message comes for this long, such as 10s
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Received<'a> {
    peer: Option<&'a PeerInfo>,
    #[serde(flatten)]
    message: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.channel(Operation::Create)?;
    let mut owner = Owner::create(&address, out)?;
    let forever = args.follow || args.count.is_some();
    let mut received = 0;
    while args.count.is_none_or(|count| received < count) {
        let Some((id, message)) = owner.next_message(forever, args.timeout)? else { break };
        received += 1;
        if out.json() {
            out.record(Received { peer: owner.peer(id), message: Payload::new(&message) })?;
        } else {
            out.bytes(&message)?;
            out.bytes(b"\n")?;
        }
        // Before the next one is taken: a failed write then costs one message only.
        out.flush()?;
    }
    owner.close()?;
    Ok(ExitCode::SUCCESS)
}
