use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyipc::{Address, ErrorKind, Operation, Receiver, Sender};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::interrupt::{self, SLICE};
use crate::message::{Payload, PeerInfo};
use crate::output::Output;
use crate::target::Target;
use crate::text;
use crate::values;

const EXAMPLES: &str = "\
Each line of the standard input is one message to the owner, without its line end. Each message \
from the owner is printed as its bytes and a line end, at once. For messages with line ends or \
bytes that are not UTF-8 use --json, which prints \
{\"schema\":1,\"peer\":{\"pid\",\"uid\"},\"len\",\"text\"}, or \"data_hex\" instead of text.

The end of the standard input ends one direction: the owner is told, and can go on answering. The \
command ends when both directions have ended, and when the owner has left in order; lines that \
were not read by then are not sent. It fails if a line cannot be sent, and if the owner dies, \
after everything that the owner had sent is printed. An owner may keep its direction open although \
it has answered all: --linger 1s ends the command then.

Examples:
  anyipc connect shm://echo                          # to type to an `anyipc serve` by hand
  seq 3 | anyipc connect shm://echo
  anyipc connect local://edix.edits --json | jq -r .text";

/// Talk to an owner: lines of the standard input out, messages in
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,

    /// Longest wait for an owner, such as 500ms (default: the address's timeout, 5s)
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    timeout: Option<Duration>,

    /// End once the input has ended and no message has come for this long, such as 1s
    #[arg(long, value_name = "TIME", value_parser = values::span)]
    linger: Option<Duration>,
}

#[derive(Serialize)]
struct Received<'a> {
    peer: &'a PeerInfo,
    #[serde(flatten)]
    message: Payload<'a>,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<ExitCode> {
    let address = args.target.channel_within(Operation::Connect, args.timeout)?;
    let connecting = address.clone();
    let channel = interrupt::guard(move || Ok(anyipc::connect(&connecting)?))?;
    out.note(format_args!("connected to {address}"));
    let peer = PeerInfo::from(channel.peer());
    let (sender, mut receiver) = channel.split();
    let mut sending = Sending::start(sender, address.clone())?;
    while let Some(message) = next(&mut receiver, &mut sending, &address, args.linger)? {
        if out.json() {
            out.record(Received { peer: &peer, message: Payload::new(&message) })?;
        } else {
            out.bytes(&message)?;
            out.bytes(b"\n")?;
        }
        out.flush()?;
    }
    while !sending.has_ended()? {
        interrupt::check()?;
        if sending.is_unheard() {
            out.note("the owner has left");
            break;
        }
        thread::sleep(SLICE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The next message. `None` if the owner sends no more, or none for `linger` after the input.
fn next(
    receiver: &mut Receiver,
    sending: &mut Sending,
    address: &Address,
    linger: Option<Duration>,
) -> Result<Option<Vec<u8>>> {
    let mut silent_since = None;
    loop {
        interrupt::check()?;
        // A failure to send counts once nothing is left to receive.
        let finished = sending.is_finished();
        let slice = linger.map_or(SLICE, |linger| linger.min(SLICE));
        match receiver.recv_timeout(slice) {
            Ok(message) => return Ok(Some(message)),
            Err(error) if error.kind() == ErrorKind::TimedOut => {
                if finished && sending.has_ended()? {
                    let silent = silent_since.get_or_insert_with(Instant::now).elapsed() + slice;
                    if linger.is_some_and(|linger| silent >= linger) {
                        return Ok(None);
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(None),
            Err(error) => return Err(error.at(address).into()),
        }
    }
}

/// The direction to the owner: a thread sends the lines of the standard input.
struct Sending {
    /// `None` once the thread has closed it.
    sender: Arc<Mutex<Option<Sender>>>,
    /// `None` once its result was taken.
    thread: Option<JoinHandle<Result<()>>>,
}

impl Sending {
    fn start(sender: Sender, address: Address) -> Result<Self> {
        let longest = sender.max_message() as u64;
        let sender = Arc::new(Mutex::new(Some(sender)));
        let shared = Arc::clone(&sender);
        let thread = thread::Builder::new()
            .spawn(move || send_lines(&shared, longest, &address))
            .map_err(|error| Failure::Io("starting a thread".into(), error))?;
        Ok(Self { sender, thread: Some(thread) })
    }

    fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// True once the direction has ended in order.
    ///
    /// # Errors
    /// What ended it otherwise.
    fn has_ended(&mut self) -> Result<bool> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let panicked = |_| Failure::Io("sending".into(), io::Error::other("it panicked"));
            thread.join().map_err(panicked)??;
        }
        Ok(self.thread.is_none())
    }

    /// True if the owner takes no more messages. A send that waits finds out by itself.
    fn is_unheard(&self) -> bool {
        let Ok(mut sender) = self.sender.try_lock() else { return false };
        sender.as_mut().is_some_and(|sender| !sender.is_heard())
    }
}

fn send_lines(sender: &Mutex<Option<Sender>>, longest: u64, address: &Address) -> Result<()> {
    let locked = || sender.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = text::each(None, longest, &mut |line| match locked().as_mut() {
        Some(sender) => Ok(sender.send(line).map_err(|error| error.at(address))?),
        None => Ok(()),
    });
    let closed = locked().take().map_or(Ok(()), Sender::close);
    sent?;
    Ok(closed.map_err(|error| error.at(address))?)
}
