//! Messages on their way to one peer or to many, as something to wait for, by threads and tasks
//! alike.

use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};

use super::PeerId;
use super::shared_sender::Turn;
use crate::address::settings::WaitMode;
use crate::channel::sender::Sender;
use crate::wait::sleeper::Sleeper;
use crate::wait::spin::Spinner;
use crate::wait::unpark::Unpark;
use crate::wait::{Waitable, wait};

/// One message on its way to one peer.
pub(crate) struct Sending<'a> {
    to: To<'a>,
    /// Bytes that have left already.
    offset: usize,
    /// For the time before a shared sender's turn: does not spin.
    spinner: Spinner,
    unpark: Unpark,
}

enum To<'a> {
    Own(&'a mut Sender),
    Shared(Turn),
}

impl<'a> Sending<'a> {
    pub(super) fn own(sender: &'a mut Sender) -> Self {
        Self::new(To::Own(sender))
    }

    pub(super) fn shared(turn: Turn) -> Self {
        Self::new(To::Shared(turn))
    }

    fn new(to: To<'a>) -> Self {
        Self { to, offset: 0, spinner: Spinner::new(WaitMode::Block), unpark: Unpark::default() }
    }

    /// Sends the message, or more of it.
    ///
    /// # Errors
    /// `WouldBlock` while there is no room or another one sends; `PeerGone` once the inbox has
    /// ended the connection; those of [`Sender::send`].
    pub(crate) fn attempt(&mut self, message: &[u8]) -> Result<()> {
        let sender = match &mut self.to {
            To::Own(sender) => sender,
            To::Shared(turn) => turn.take()?,
        };
        if self.offset == 0 {
            sender.check_len(message.len())?;
        }
        sender.try_send_rest(message, &mut self.offset)
    }

    /// Sends the message as a thread, until the deadline at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of [`attempt`](Self::attempt).
    pub(super) fn send(mut self, message: &[u8], deadline: Option<Instant>) -> Result<()> {
        match self.attempt(message) {
            Err(error) if error.is_would_block() => {
                wait(&mut self, Operation::Send, deadline, |sending| sending.attempt(message))
            }
            done => done,
        }
        .map_err(|error| self.explain(error))
    }

    pub(crate) fn explain(&self, error: Error) -> Error {
        match &self.to {
            To::Own(sender) => sender.explain(error),
            To::Shared(turn) => turn.explain(error),
        }
    }

    /// The sender, if it is this one's turn.
    fn sender(&self) -> Option<&Sender> {
        match &self.to {
            To::Own(sender) => Some(sender),
            To::Shared(turn) => turn.held(),
        }
    }

    fn sender_mut(&mut self) -> Option<&mut Sender> {
        match &mut self.to {
            To::Own(sender) => Some(sender),
            To::Shared(turn) => turn.held_mut(),
        }
    }
}

impl Wait for Sending<'_> {
    fn source(&self) -> Result<Source> {
        match self.sender() {
            Some(sender) => sender.as_wait().source(),
            None => Err(Error::new(Operation::Send, ErrorKind::Unsupported)),
        }
    }

    fn drained(&self) -> bool {
        // The end of the connection comes without a readiness.
        false
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        if let To::Shared(turn) = &mut self.to {
            let waker = match waiter {
                Waiter::Task(waker) => waker,
                Waiter::Thread => self.unpark.waker(),
            };
            if turn.leave_waker(waker) {
                return Ok(Armed::Ready);
            }
        }
        match (self.sender_mut(), waiter) {
            (Some(sender), _) => sender.target().arm(waiter),
            (None, Waiter::Task(_)) => Ok(Armed::Waker),
            (None, Waiter::Thread) => Ok(Armed::Park),
        }
    }

    fn due(&self) -> Option<Duration> {
        self.sender()?.as_wait().due()
    }

    fn park(&mut self, timeout: Duration) {
        match self.sender_mut() {
            Some(sender) => sender.target().park(timeout),
            None => std::thread::park_timeout(timeout),
        }
    }

    fn disarm(&mut self) {
        if let Some(sender) = self.sender_mut() {
            sender.target().disarm();
        }
        // The end of the turn takes the waker back, so that it keeps its place meanwhile.
    }
}

impl Waitable for Sending<'_> {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        let sender = match &mut self.to {
            To::Own(sender) => Some(&mut **sender),
            To::Shared(turn) => turn.held_mut(),
        };
        match sender {
            Some(sender) => sender.spinner(),
            None => &mut self.spinner,
        }
    }
}

/// One message on its way to many peers. None waits for another.
pub(crate) struct Broadcast<'a, 'm> {
    message: &'m [u8],
    pending: Vec<(PeerId, Sending<'a>)>,
    failed: Vec<(PeerId, Error)>,
    /// Made by the first sleep.
    sleeper: Option<Sleeper>,
    spinner: Spinner,
}

impl<'a, 'm> Broadcast<'a, 'm> {
    pub(super) fn new(
        message: &'m [u8],
        to: impl IntoIterator<Item = (PeerId, Sending<'a>)>,
    ) -> Self {
        Self {
            message,
            pending: to.into_iter().collect(),
            failed: Vec::new(),
            sleeper: None,
            spinner: Spinner::new(WaitMode::Block),
        }
    }

    /// Sends, or sends on, to each peer that is not done. `WouldBlock` while there are any.
    pub(crate) fn attempt(&mut self) -> Result<()> {
        let Self { message, pending, failed, .. } = self;
        pending.retain_mut(|(id, sending)| match sending.attempt(message) {
            Ok(()) => false,
            Err(error) if error.is_would_block() => true,
            Err(error) => {
                failed.push((*id, sending.explain(error)));
                false
            }
        });
        if pending.is_empty() {
            return Ok(());
        }
        Err(Error::new(Operation::Send, ErrorKind::WouldBlock))
    }

    /// Sends to those that have room now.
    pub(super) fn try_all(mut self) -> Vec<(PeerId, Error)> {
        let tried = self.attempt();
        self.end(tried)
    }

    /// Sends, and waits as a thread for the peers without room.
    pub(super) fn send(mut self, deadline: Option<Instant>) -> Vec<(PeerId, Error)> {
        let mut ended = self.attempt();
        if ended.is_err() {
            ended = wait(&mut self, Operation::Send, deadline, Self::attempt);
        }
        self.end(ended)
    }

    /// The peers that the message did not reach, with the reasons; `ended` is that of the rest.
    pub(crate) fn end(mut self, ended: Result<()>) -> Vec<(PeerId, Error)> {
        if let Err(error) = ended {
            for (id, sending) in self.pending.drain(..) {
                let mut same = Error::new(Operation::Send, error.kind());
                if error.kind() != ErrorKind::WouldBlock && error.kind() != ErrorKind::TimedOut {
                    same = same.because(error.to_string());
                }
                self.failed.push((id, sending.explain(same)));
            }
        }
        self.failed.sort_by_key(|(id, _)| *id);
        self.failed
    }
}

impl Wait for Broadcast<'_, '_> {
    fn source(&self) -> Result<Source> {
        match &self.sleeper {
            Some(sleeper) => sleeper.source(),
            None => Err(Error::new(Operation::Send, ErrorKind::Unsupported)),
        }
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let sleeper = match &mut self.sleeper {
            Some(sleeper) => sleeper,
            none => none.insert(Sleeper::new().map_err(|error| {
                Error::io(Operation::Send, "making the waker of a broadcast", error)
            })?),
        };
        sleeper.reset(waiter);
        let waker = sleeper.waker();
        for place in 0..self.pending.len() {
            let Some((id, sending)) = self.pending.get_mut(place) else { break };
            let armed = sending.arm(Waiter::Task(&waker));
            match armed.and_then(|armed| sleeper.add(armed, || sending.source())) {
                Ok(true) => {
                    if let Some(due) = sending.due() {
                        sleeper.limit(due);
                    }
                }
                Ok(false) => return Ok(Armed::Ready),
                Err(error) => {
                    self.failed.push((*id, sending.explain(error)));
                    self.pending.remove(place);
                    return Ok(Armed::Ready);
                }
            }
        }
        sleeper.armed()
    }

    fn due(&self) -> Option<Duration> {
        self.sleeper.as_ref()?.due()
    }

    fn park(&mut self, timeout: Duration) {
        if let Some(sleeper) = &mut self.sleeper {
            sleeper.sleep(timeout);
        }
    }

    fn disarm(&mut self) {
        self.pending.iter_mut().for_each(|(_, sending)| sending.disarm());
    }
}

impl Waitable for Broadcast<'_, '_> {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        &mut self.spinner
    }
}
