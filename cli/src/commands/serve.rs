use std::process::ExitCode;
use std::time::Duration;

use anyipc::{ErrorKind, Operation};
use serde::Serialize;

use crate::failure::Result;
use crate::output::Output;
use crate::owner::Owner;
use crate::target::Target;

/// Longest wait for a peer to take its answer: others wait meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Creates the object and answers all peers until a signal comes, or after --count answers. \
A peer that does not take its answer for 5 s is disconnected.

Examples:
  anyipc serve shm://echo --echo &
  anyipc call shm://echo 'anyone there?'";

/// Answer messages, as the owner, of all connected peers
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Answer each message with itself
    #[arg(long, required = true)]
    echo: bool,

    /// End after this many messages
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

#[derive(Serialize)]
struct Summary {
    address: String,
    served: u64,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.channel(Operation::Create)?;
    let mut owner = Owner::create(&address, out)?;
    let mut served = 0;
    while args.count.is_none_or(|count| served < count) {
        let Some((id, message)) = owner.next_message(true, None)? else { break };
        served += 1;
        match owner.inbox.send_timeout(id, &message, TIMEOUT) {
            Ok(()) => {}
            // The peer wants no answer, or is gone, which the inbox reports.
            Err(error) if matches!(error.kind(), ErrorKind::Closed | ErrorKind::PeerGone) => {}
            Err(error) => {
                out.note(format_args!("{}: {error}", owner.describe(id)));
                owner.inbox.disconnect(id);
            }
        }
    }
    if out.json() {
        out.record(Summary { address: owner.inbox.endpoint().address().to_string(), served })?;
    }
    owner.close()?;
    Ok(ExitCode::SUCCESS)
}
