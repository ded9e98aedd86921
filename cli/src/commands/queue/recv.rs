use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, Operation, Queue};
use serde::Serialize;

use super::{open, open_or_create};
use crate::failure::Result;
use crate::interrupt::{self, SLICE};
use crate::message::Payload;
use crate::output::Output;
use crate::target::Target;
use crate::values;

const EXAMPLES: &str = "\
Prints each message as its bytes and a line end; with --json as \
{\"schema\":1,\"priority\",\"len\",\"text\"}, or \"data_hex\" for bytes that are not UTF-8. A \
printed message is out of the queue. Each message is written before the next one is taken; one \
that cannot be written goes back to the end of the queue.

Ends when the queue is empty, after --count messages, or never with --follow. Both options create \
a missing queue and hold it until the end.

Examples:
  anyipc queue recv mq://jobs
  anyipc queue recv mq://jobs --count 1 --timeout 10s
  anyipc queue recv mq://jobs --follow --json | jq .text";

/// Take messages out of a queue
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Wait for this many messages and end
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    count: Option<u64>,

    /// Wait for more messages without end
    #[arg(short, long)]
    follow: bool,

    /// Fail if no message comes for this long, such as 10s
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Received<'a> {
    priority: u32,
    #[serde(flatten)]
    message: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    interrupt::install()?;
    let address = args.target.address(Operation::Open)?;
    let waits = args.follow || args.count.is_some();
    let (endpoint, mut queue) = if waits { open_or_create(&address, 0) } else { open(&address) }?;
    if waits {
        out.note(format_args!("waiting at {}", endpoint.address()));
    }
    let mut received = 0;
    while args.count.is_none_or(|count| received < count) {
        let Some((priority, message)) = next(&mut queue, waits, args.timeout)? else { break };
        received += 1;
        if let Err(failure) = print(priority, &message, out) {
            put_back(&mut queue, priority, &message, out);
            return Err(failure);
        }
    }
    drop(queue);
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a message to the standard output.
fn print(priority: u32, message: &[u8], out: &Output) -> Result<()> {
    if out.json() {
        out.record(Received { priority, message: Payload::new(message) })?;
    } else {
        out.bytes(message)?;
        out.bytes(b"\n")?;
    }
    out.flush()
}

/// Sends a message back to the queue: it was taken and cannot be printed.
fn put_back(queue: &mut Queue, priority: u32, message: &[u8], out: &Output) {
    match queue.try_send(priority, message) {
        Ok(()) => {
            out.note("the message that could not be written is at the end of the queue again")
        }
        Err(error) => {
            let len = message.len();
            out.note(format_args!(
                "a message of {len} bytes is lost, it could not be written: {error}"
            ));
        }
    }
}

/// The next message. `None` if the queue is empty and `waits` is false.
fn next(
    queue: &mut Queue,
    waits: bool,
    timeout: Option<Duration>,
) -> Result<Option<(u32, Vec<u8>)>> {
    interrupt::check()?;
    match queue.try_recv() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        done => return Ok(Some(done?)),
    }
    if !waits {
        return Ok(None);
    }
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match queue.recv_timeout(left.map_or(SLICE, |left| left.min(SLICE))) {
            Err(error)
                if error.kind() == ErrorKind::TimedOut && left.is_none_or(|left| left > SLICE) => {}
            done => return Ok(Some(done?)),
        }
        interrupt::check()?;
    }
}
