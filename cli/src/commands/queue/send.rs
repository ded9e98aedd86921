use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use anyipc::{Address, Operation, Queue};
use serde::Serialize;

use super::open_or_wait;
use crate::failure::Result;
use crate::interrupt;
use crate::output::Output;
use crate::target::Target;
use crate::text;
use crate::values;

const EXAMPLES: &str = "\
Without TEXT, or with `-`, each line of the standard input is one message, without its line end. \
Waits while the queue is full, unless its full= says otherwise. With persist=true a missing queue \
is created.

Examples:
  anyipc queue send 'mq://jobs?persist=true' 'index /home'
  seq 1000 | anyipc queue send mq://jobs --priority 2
  anyipc queue send mq://jobs --after 10m 'look again'";

/// Longest wait for a missing queue.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Put messages into a queue
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// The message, or `-` for one message per line of the standard input
    text: Option<OsString>,

    /// Priority, from 0 (the lowest)
    #[arg(long, value_name = "N", default_value_t = 0)]
    priority: u32,

    /// No receiver sees the messages for this long, such as 5s
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    after: Option<Duration>,

    /// Longest wait for the queue, and for room for each message, such as 500ms (default: 5s for
    /// the queue, without end for room)
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Summary {
    address: String,
    sent: u64,
    bytes: u64,
    dropped: u64,
}

/// The messages of one command.
struct Job {
    address: Address,
    text: Option<Vec<u8>>,
    priority: u32,
    after: Option<Duration>,
    timeout: Option<Duration>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let job = Job {
        address: args.target.address(Operation::Open)?,
        text: text::given(args.text.as_ref()),
        priority: args.priority,
        after: args.after,
        timeout: args.timeout,
    };
    let summary = interrupt::guard(move || job.send())?;
    if summary.dropped > 0 {
        out.note(format_args!(
            "{} messages were dropped because the queue was full",
            summary.dropped
        ));
    }
    if out.json() {
        out.record(summary)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Job {
    fn send(&self) -> Result<Summary> {
        let (endpoint, mut queue) =
            open_or_wait(&self.address, self.priority, self.timeout.unwrap_or(TIMEOUT))?;
        let before = queue.status()?;
        let (mut sent, mut bytes) = (0, 0);
        let mut put = |message: &[u8]| -> Result<()> {
            match (self.after, self.timeout) {
                (Some(after), _) => queue.send_after(after, self.priority, message),
                (None, Some(timeout)) => queue.send_timeout(self.priority, message, timeout),
                (None, None) => queue.send(self.priority, message),
            }?;
            sent += 1;
            bytes += message.len() as u64;
            Ok(())
        };
        text::each(self.text.as_deref(), before.max_message, &mut put)?;
        let dropped = dropped_since(&queue, before.dropped)?;
        endpoint.close()?;
        Ok(Summary { address: self.address.to_string(), sent, bytes, dropped })
    }
}

/// Messages that the queue has dropped since then, of any sender.
fn dropped_since(queue: &Queue, before: u64) -> Result<u64> {
    Ok(queue.status()?.dropped.saturating_sub(before))
}
