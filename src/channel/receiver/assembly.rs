//! Putting fragments together. The fragments of a peer are not trusted: any violation ends the
//! channel.

use anyipc_core::{Error, ErrorKind, Flags, Operation, Result, give_back};

use super::Receiver;

/// The most one try takes of an unfinished message, in bytes, before its caller looks at the clock.
/// Less than a millisecond of work, also for one-byte fragments and for messages that are called
/// off.
const STEP: usize = 2 << 20;
/// What a frame counts for in addition to its bytes.
const FRAME: usize = 4 << 10;

#[derive(Debug, Default)]
pub(super) struct Assembly {
    /// In `Partial` the fragments so far, in `Whole` the message; otherwise nothing that matters.
    pub(super) partial: Vec<u8>,
    pub(super) state: State,
    /// The last try stopped after [`STEP`] bytes and may have left more.
    pub(super) interrupted: bool,
    /// Messages received when `partial` last held one.
    used_at: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// Between two messages.
    #[default]
    Idle,
    /// Some fragments of a message have arrived.
    Partial,
    /// A whole message has arrived and was not asked for yet.
    Whole,
    /// The peer broke the protocol: nothing it sends has a meaning any more.
    Broken,
}

impl Assembly {
    /// Called when there is nothing to receive: frees the buffer of a large message if enough of
    /// the `messages` received so far did not need it.
    #[cold]
    pub(super) fn give_back(&mut self, messages: u64) {
        if self.state == State::Idle {
            give_back(&mut self.partial, messages - self.used_at);
        }
    }

    /// Checks the frame of the last `added` bytes of `partial`. True if the message is whole.
    fn add(&mut self, flags: Flags, added: usize, limit: usize) -> Result<bool> {
        if flags.contains(Flags::ABORT) {
            if flags != Flags::ABORT || added != 0 || self.state != State::Partial {
                return Err(corrupt("it called a message off that it had not begun"));
            }
            self.partial.clear();
            self.state = State::Idle;
            return Ok(false);
        }
        if self.partial.len() > limit {
            return Err(corrupt(&format!("it sent a message longer than max_message={limit}")));
        }
        if flags == Flags::NONE {
            self.state = State::Idle;
            return Ok(true);
        }
        if added == 0 {
            return Err(corrupt("it sent an empty fragment"));
        }
        self.state = State::Partial;
        Ok(false)
    }
}

impl Receiver {
    /// Receives fragments into `partial` until the message is whole. `first` are the flags of a
    /// frame that is in `partial` already.
    pub(super) fn try_assemble(&mut self, first: Option<Flags>) -> Result<()> {
        match self.assembly.state {
            State::Broken => return Err(corrupt("it broke the protocol earlier")),
            State::Whole => {
                self.assembly.state = State::Idle;
                return Ok(());
            }
            State::Idle | State::Partial => {}
        }
        let (mut flags, mut before) = (first, 0);
        let mut done = 0;
        loop {
            if let Some(flags) = flags {
                let added = self.assembly.partial.len() - before;
                match self.assembly.add(flags, added, self.limit) {
                    Ok(true) => {
                        self.count(self.assembly.partial.len());
                        self.assembly.used_at = self.messages;
                        return Ok(());
                    }
                    Ok(false) => {}
                    Err(error) => {
                        self.assembly.state = State::Broken;
                        self.assembly.partial = Vec::new();
                        return Err(error);
                    }
                }
                done += FRAME + added;
                if done >= STEP {
                    self.assembly.interrupted = true;
                    return Err(Error::new(Operation::Receive, ErrorKind::WouldBlock));
                }
            }
            before = self.assembly.partial.len();
            flags = Some(self.half.try_recv_into(&mut self.assembly.partial)?);
        }
    }
}

fn corrupt(why: &str) -> Error {
    Error::new(Operation::Receive, ErrorKind::Corrupt)
        .because(format!("the peer is not to be trusted: {why}"))
}
