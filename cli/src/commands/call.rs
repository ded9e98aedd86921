use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyipc::Operation;
use serde::Serialize;

use crate::failure::Result;
use crate::interrupt;
use crate::message::{Payload, PeerInfo};
use crate::output::Output;
use crate::target::Target;
use crate::values;

/// Longest wait for the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  anyipc call shm://echo ping
  anyipc call shm://echo ping --timeout 500ms --json";

/// Send one message and print the answer
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// The message
    text: OsString,

    /// Longest wait for an owner, and then for its answer (default: 5s)
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    timeout: Option<Duration>,
}

#[derive(Serialize)]
struct Answer<'a> {
    peer: PeerInfo,
    /// From before the send to after the answer, in microseconds.
    micros: f64,
    #[serde(flatten)]
    message: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.channel_within(Operation::Connect, args.timeout)?;
    let text = args.text.clone().into_encoded_bytes();
    let timeout = args.timeout.unwrap_or(TIMEOUT);
    let (peer, elapsed, answer) = interrupt::guard(move || {
        let mut channel = anyipc::connect(&address)?;
        let peer = PeerInfo::from(channel.peer());
        let started = Instant::now();
        channel.send_timeout(&text, timeout).map_err(|error| error.at(&address))?;
        let answer = channel.recv_timeout(timeout).map_err(|error| error.at(&address))?;
        let elapsed = started.elapsed();
        channel.close()?;
        Ok((peer, elapsed, answer))
    })?;
    if out.json() {
        let micros = elapsed.as_nanos() as f64 / 1000.0;
        out.record(Answer { peer, micros, message: Payload::new(&answer) })?;
    } else {
        out.bytes(&answer)?;
        out.bytes(b"\n")?;
    }
    Ok(ExitCode::SUCCESS)
}
