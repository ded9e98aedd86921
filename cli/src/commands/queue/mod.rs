//! `anyipc queue …`: queues of many senders and many receivers.

mod len;
mod purge;
mod recv;
mod send;
mod settle;
mod status;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyipc::{Address, Endpoint, Error, ErrorKind, Operation, Queue, Registry};

use crate::failure::Result;
use crate::interrupt;
use crate::output::Output;

const EXAMPLES: &str = "\
A queue lives until its last holder closes it; with persist=true it stays, with its messages, \
until `anyipc rm`. Each message goes to one receiver, the highest priority first.

Examples:
  anyipc queue send 'mq://jobs?persist=true&priorities=4' --priority 3 'the urgent one'
  anyipc queue len mq://jobs
  anyipc queue recv mq://jobs                  # all waiting messages
  anyipc queue recv mq://jobs --follow --json  # and all later ones
  anyipc queue recv mq://jobs --lease 1m       # they come back unless they are acknowledged
  anyipc queue purge mq://jobs";

/// Send to, receive from, lease from, count and empty queues
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Send(send::Args),
    Recv(recv::Args),
    Ack(settle::Ack),
    Retry(settle::Retry),
    Extend(settle::Extend),
    Len(len::Args),
    Status(status::Args),
    Purge(purge::Args),
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    match &args.command {
        Command::Send(args) => send::run(args, out),
        Command::Recv(args) => recv::run(args, out),
        Command::Ack(args) => args.run(out),
        Command::Retry(args) => args.run(out),
        Command::Extend(args) => args.run(out),
        Command::Len(args) => len::run(args, out),
        Command::Status(args) => status::run(args, out),
        Command::Purge(args) => purge::run(args, out),
    }
}

/// A wait for an absent queue tries to open it this often.
const RETRY: Duration = Duration::from_millis(10);

/// The existing queue.
fn open(address: &Address) -> Result<(Endpoint, Queue)> {
    let endpoint = anyipc::open(address)?;
    let queue = endpoint.queue()?;
    Ok((endpoint, queue))
}

/// The existing queue, or a new one if it would have this priority.
fn open_or_create(address: &Address, priority: u32) -> Result<(Endpoint, Queue)> {
    let absent = |error: &Error| error.kind() == ErrorKind::NotFound;
    let endpoint = match anyipc::open(address) {
        Err(error) if absent(&error) => {
            check_priority(address, priority)?;
            anyipc::create(address.clone().with("create", "open_or_create"))
        }
        other => other,
    }?;
    let queue = endpoint.queue()?;
    Ok((endpoint, queue))
}

/// Fails if a new queue could not take this priority: a persistent queue would be left behind.
fn check_priority(address: &Address, priority: u32) -> Result<()> {
    let (transport, options) = Registry::global().resolve(address)?;
    let key = transport.keys().iter().find(|key| key.name == "priorities");
    let count = key.and_then(|key| options.number(*key).or(key.default?.parse().ok()));
    match count {
        Some(count) if (1..=priority.into()).contains(&count) => Err(Error::new(
            Operation::Send,
            ErrorKind::InvalidOption,
        )
        .because(format!(
            "priority {priority}: the new queue would have 0 to {}; give priorities= for more",
            count - 1
        ))
        .at(address)
        .into()),
        _ => Ok(()),
    }
}

/// The queue. If there is none, creates one with persist=true; otherwise waits for one.
fn open_or_wait(address: &Address, priority: u32, timeout: Duration) -> Result<(Endpoint, Queue)> {
    if address.get("persist") == Some("true") {
        return open_or_create(address, priority);
    }
    let deadline = Instant::now() + timeout;
    loop {
        interrupt::check()?;
        match anyipc::open(address) {
            Err(error) if error.kind() == ErrorKind::NotFound && Instant::now() < deadline => {
                std::thread::sleep(RETRY);
            }
            other => {
                let endpoint = other?;
                let queue = endpoint.queue()?;
                return Ok((endpoint, queue));
            }
        }
    }
}
