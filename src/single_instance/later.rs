//! A later instance: offers its launch, and waits for the exit code.

use std::fmt;
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Hello, Operation, Result};

use super::launch::Launch;
use super::sys;
use super::word::{self, Word, corrupt};
use crate::address::Address;
use crate::channel::Channel;
use crate::endpoint::Endpoint;
use crate::registry::first::Race;

/// A launch on its way to a first instance.
pub(crate) struct Offer {
    bytes: Vec<u8>,
}

impl Offer {
    pub(crate) fn new(launch: &Launch) -> Result<Self> {
        Ok(Self { bytes: launch.encode()? })
    }

    pub(crate) fn hello(endpoint: &Endpoint) -> Result<Hello> {
        Ok(super::hello(endpoint, sys::LAUNCH, word::NAME))
    }

    /// The launch as a message.
    #[cfg(feature = "tokio")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Hands the launch over. `None` if the first instance left without having taken it.
    pub(super) fn make(&self, mut channel: Channel, race: &Race) -> Result<Option<LaterInstance>> {
        let (pid, left) = (channel.peer().pid, || race.left().unwrap_or(Duration::MAX));
        let said = channel.recv_timeout(left());
        if !race.hears(Word::Ready, said, pid)? {
            return Ok(None);
        }
        let sent = channel.send_timeout(&self.bytes, left());
        if !race.has_sent(sent, pid)? {
            return Ok(None);
        }
        let said = channel.recv_timeout(left());
        if !race.hears(Word::Taken, said, pid)? {
            return Ok(None);
        }
        Ok(Some(LaterInstance::new(channel, race)))
    }
}

impl Race {
    /// What a send of the launch says: false if the first instance left before it had it whole.
    /// `pid` is the process of the first instance, as far as the channel knows it.
    pub(crate) fn has_sent(&self, sent: Result<()>, pid: Option<u32>) -> Result<bool> {
        match sent {
            Ok(()) => Ok(true),
            Err(error) => match error.kind() {
                ErrorKind::Closed | ErrorKind::PeerGone => Ok(false),
                ErrorKind::TimedOut => Err(self.unserved(pid, NOT_HANDED_OVER)),
                _ => Err(error),
            },
        }
    }

    /// What the first instance says, which should be `word`: false if it left, and has not taken
    /// the launch.
    pub(crate) fn hears(
        &self,
        word: Word,
        said: Result<Vec<u8>>,
        pid: Option<u32>,
    ) -> Result<bool> {
        let is_handed_over = word == Word::Taken;
        match said {
            Ok(bytes) if Word::decode(&bytes)? == word => Ok(true),
            Ok(_) => Err(corrupt().at(self.address())),
            Err(error) => match error.kind() {
                // Over most transports, what a process has sent outlives it: there was no `Taken`.
                ErrorKind::PeerGone if is_handed_over && !self.delivers_after_death() => {
                    let first = name(pid);
                    Err(error.because(format!("{first} died, and may have taken the launch")))
                }
                ErrorKind::Closed | ErrorKind::PeerGone => Ok(false),
                ErrorKind::TimedOut if is_handed_over => {
                    Err(self.unserved(pid, "was handed over and may still be taken"))
                }
                ErrorKind::TimedOut => Err(self.unserved(pid, NOT_HANDED_OVER)),
                _ => Err(error),
            },
        }
    }

    /// The error if the first instance does not answer in time.
    fn unserved(&self, pid: Option<u32>, launch: &str) -> Error {
        let holders = self.holders();
        let first = name(pid.or_else(|| holders.as_ref()?.owner_pid()));
        let why = match holders {
            Some(holders) if holders.owner_is_stopped() => "is stopped",
            _ => "is stopped, hangs or is busy",
        };
        Error::new(Operation::Connect, ErrorKind::TimedOut)
            .because(format!("{first} takes no launch: it {why}; this launch {launch}"))
            .at(self.address())
    }
}

/// The end of a sentence about a launch.
const NOT_HANDED_OVER: &str = "was not handed over";

fn name(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("the first instance, process {pid},"),
        None => "the first instance".into(),
    }
}

/// A later instance, from [`SingleInstance::start`](super::SingleInstance::start). The first one
/// has taken its launch.
pub struct LaterInstance {
    channel: Channel,
    first: Option<u32>,
}

impl LaterInstance {
    pub(crate) fn new(channel: Channel, race: &Race) -> Self {
        let first = channel.peer().pid.or_else(|| race.holders()?.owner_pid());
        Self { channel, first }
    }

    /// The process of the first instance, where it is known.
    pub fn first_pid(&self) -> Option<u32> {
        self.first
    }

    /// The exit code that the first instance answers, for [`std::process::exit`]. Blocks until it
    /// does, without a limit of time; a program may take as long as its user wants.
    ///
    /// # Errors
    /// `PeerGone` or `Closed` if the first instance died, left, or dropped the launch, at once.
    pub fn wait(mut self) -> Result<i32> {
        let said = self.channel.recv();
        code(said, self.first, self.channel.address())
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, after which the call can be repeated, and those of `wait`.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<i32> {
        let said = self.channel.recv_timeout(timeout);
        code(said, self.first, self.channel.address())
    }

    /// The channel, and the process of the first instance.
    #[cfg(feature = "tokio")]
    pub(crate) fn into_parts(self) -> (Channel, Option<u32>) {
        (self.channel, self.first)
    }
}

/// The exit code that was said.
pub(crate) fn code(said: Result<Vec<u8>>, first: Option<u32>, address: &Address) -> Result<i32> {
    let first = name(first);
    let error = match said.and_then(|bytes| Word::decode(&bytes)) {
        Ok(Word::Code(code)) => return Ok(code),
        Ok(Word::NoCode) => Error::new(Operation::Receive, ErrorKind::Closed)
            .because(format!("{first} took the launch, but dropped it without an answer")),
        Ok(_) => corrupt(),
        Err(error) => match error.kind() {
            ErrorKind::Closed | ErrorKind::PeerGone => {
                error.because(format!("{first} took the launch, but left without an answer"))
            }
            ErrorKind::TimedOut => error.because(format!("{first} has not answered yet")),
            _ => error,
        },
    };
    Err(error.at(address))
}

impl fmt::Debug for LaterInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaterInstance({}", self.channel.address())?;
        match self.first {
            Some(pid) => write!(f, ", the first is process {pid})"),
            None => f.write_str(")"),
        }
    }
}
