use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyipc::{ErrorKind, LeaseId, Operation, Queue, Settle};
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

With --lease the messages stay in the queue, invisible, and each line begins with the lease's id \
and a tab; with --json the record has \"lease\" and \"attempts\". The lease belongs to its time \
alone, not to this command or to the shell: the message comes back when the time is over, unless \
`anyipc queue ack` took it out before. Without persist=true or another process that holds the \
queue, it is gone with this command.

Ends when the queue is empty, after --count messages, or never with --follow. Both options create \
a missing queue and hold it until the end.

Examples:
  anyipc queue recv mq://jobs
  anyipc queue recv mq://jobs --count 1 --timeout 10s
  anyipc queue recv mq://jobs --follow --json | jq .text
  anyipc queue recv mq://jobs --count 1 --lease 30s";

/// Take messages out of a queue
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Leave each message in the queue, invisible for this long, such as 30s
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    lease: Option<Duration>,

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
    lease: Option<Lease>,
    #[serde(flatten)]
    message: Payload<'a>,
}

#[derive(Serialize)]
struct Lease {
    lease: String,
    attempts: u32,
}

/// What was received or leased.
struct Item {
    priority: u32,
    message: Vec<u8>,
    lease: Option<(LeaseId, u32)>,
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
        let Some(item) = next(&mut queue, args, waits)? else { break };
        received += 1;
        if let Err(failure) = print(&item, out) {
            put_back(&mut queue, &item, out);
            return Err(failure);
        }
    }
    drop(queue);
    endpoint.close()?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a message to the standard output.
fn print(item: &Item, out: &Output) -> Result<()> {
    if out.json() {
        let lease = item.lease.map(|(id, attempts)| Lease { lease: id.to_string(), attempts });
        let message = Payload::new(&item.message);
        out.record(Received { priority: item.priority, lease, message })?;
    } else {
        if let Some((id, _)) = item.lease {
            out.bytes(format!("{id}\t").as_bytes())?;
        }
        out.bytes(&item.message)?;
        out.bytes(b"\n")?;
    }
    out.flush()
}

/// Gives a message back to the queue: it was taken and cannot be printed.
fn put_back(queue: &mut Queue, item: &Item, out: &Output) {
    let Item { priority, message, lease } = item;
    if let Some((id, _)) = lease {
        // Otherwise it comes back when its time is over.
        let _ = queue.settle(*id, Settle::Retry(Duration::ZERO));
        return;
    }
    match queue.try_send(*priority, message) {
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
fn next(queue: &mut Queue, args: &Args, waits: bool) -> Result<Option<Item>> {
    interrupt::check()?;
    match take(queue, args.lease, None) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        done => return Ok(Some(done?)),
    }
    if !waits {
        return Ok(None);
    }
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match take(queue, args.lease, Some(left.map_or(SLICE, |left| left.min(SLICE)))) {
            Err(error)
                if error.kind() == ErrorKind::TimedOut && left.is_none_or(|left| left > SLICE) => {}
            done => return Ok(Some(done?)),
        }
        interrupt::check()?;
    }
}

/// Receives or leases a message, waiting for `timeout` if there is one.
fn take(
    queue: &mut Queue,
    lease: Option<Duration>,
    timeout: Option<Duration>,
) -> anyipc::Result<Item> {
    let Some(time) = lease else {
        let (priority, message) = match timeout {
            Some(timeout) => queue.recv_timeout(timeout),
            None => queue.try_recv(),
        }?;
        return Ok(Item { priority, message, lease: None });
    };
    let job = match timeout {
        Some(timeout) => queue.lease_timeout(time, timeout),
        None => queue.try_lease(time),
    }?;
    let (priority, message, attempts) = (job.priority(), job.message().to_vec(), job.attempts());
    // Before it is printed: what reads the id may end the lease at once.
    let id = job.detach()?;
    Ok(Item { priority, message, lease: Some((id, attempts)) })
}
