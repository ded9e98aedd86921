//! The first instance: takes the launches of later ones, and answers them.

use std::fmt;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::launch::Launch;
use super::word::Word;
use crate::endpoint::Endpoint;
use crate::inbox::sender::InboxSender;
use crate::inbox::{Event, Inbox, PeerId};
use crate::wait::deadline;
use crate::wait::select::select_as;

/// The most events without a launch in one call that does not wait.
const EVENTS: usize = 64;

/// The first instance of a program, from [`SingleInstance::start`](super::SingleInstance::start):
/// gets what later instances hand over.
///
/// Later instances wait for [`next`](Self::next) and its likes, as long as their address's
/// `timeout` at most. A program that is busy in between, such as one with windows, calls them in a
/// thread of its own.
///
/// Its drop gives the name back. A later instance that was not taken by then becomes the first one;
/// one that was taken and has no answer yet gets an error.
pub struct FirstInstance {
    pub(crate) inbox: Inbox,
    answers: InboxSender,
}

impl FirstInstance {
    pub(crate) fn new(owner: Endpoint) -> Result<Self> {
        let hello = super::hello(&owner, super::word::NAME, super::sys::LAUNCH);
        let (answers, inbox) = Inbox::with_hello(owner, hello)?.split();
        Ok(Self { inbox, answers })
    }

    /// The next launch that a later instance hands over. Blocks until there is one, without a limit
    /// of time.
    ///
    /// A later instance that gave up is passed over: it has told its user so.
    ///
    /// # Errors
    /// Those of the owner, as [`Inbox::recv`](crate::Inbox::recv) returns them.
    #[expect(clippy::should_implement_trait, reason = "it does not end")]
    pub fn next(&mut self) -> Result<Handover> {
        loop {
            let event = self.inbox.next_event()?;
            if let Some(handover) = self.handle(event) {
                return Ok(handover);
            }
        }
    }

    /// As [`next`](Self::next), for `timeout` at most.
    ///
    /// # Errors
    /// `TimedOut`, and those of `next`.
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Handover> {
        let deadline = deadline(Some(timeout));
        loop {
            let left = match deadline {
                Some(at) => at.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            let event = self.inbox.next_event_timeout(left)?;
            if let Some(handover) = self.handle(event) {
                return Ok(handover);
            }
        }
    }

    /// As [`next`](Self::next), without blocking. A [`Select`](crate::Select) can wait for it;
    /// it is ready also for what is no launch yet.
    ///
    /// # Errors
    /// `WouldBlock` if there is no launch, and those of `next`.
    pub fn try_next(&mut self) -> Result<Handover> {
        for _ in 0..EVENTS {
            let event = self.inbox.try_next_event()?;
            if let Some(handover) = self.handle(event) {
                return Ok(handover);
            }
        }
        Err(Error::new(Operation::Receive, ErrorKind::WouldBlock))
    }

    /// The owner's endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        self.inbox.endpoint()
    }

    /// Goes one step further with a later instance.
    pub(crate) fn handle(&mut self, event: Event) -> Option<Handover> {
        let (id, launch) = match event {
            Event::Connected(id) => (id, None),
            Event::Message(id, bytes) => match Launch::decode(&bytes) {
                Some(launch) => (id, Some(launch)),
                None => {
                    self.inbox.disconnect(id);
                    return None;
                }
            },
            Event::Disconnected(..) => return None,
        };
        let word = if launch.is_some() { Word::Taken } else { Word::Ready };
        // A later instance that has left gave up: it must not be served behind its user's back. The
        // confirmation is sent before the program sees the launch: without one, a later instance
        // knows that it was not taken, whenever this process dies.
        if !self.inbox.is_heard(id) || self.inbox.try_send(id, &word.encode()).is_err() {
            self.inbox.disconnect(id);
            return None;
        }
        let pid = self.inbox.peer(id).and_then(|peer| peer.pid);
        let answers = self.answers.clone();
        launch.map(|launch| Handover { launch, pid, id, answers, is_answered: false })
    }
}

select_as!([] FirstInstance, inbox);

impl fmt::Debug for FirstInstance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FirstInstance").field("inbox", &self.inbox).finish()
    }
}

/// A launch that the first instance has taken. A later instance waits for its
/// [`answer`](Self::answer); if this is dropped without one, the later instance gets an error.
///
/// Any thread can answer, at any time; later instances are served meanwhile.
#[derive(Debug)]
pub struct Handover {
    launch: Launch,
    pid: Option<u32>,
    id: PeerId,
    answers: InboxSender,
    is_answered: bool,
}

impl Handover {
    /// What was handed over.
    pub fn launch(&self) -> &Launch {
        &self.launch
    }

    /// The process of the later instance, where the transport knows it.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Answers with the code with which the later instance is to exit. Does not block.
    ///
    /// # Errors
    /// `PeerGone` or `Closed` if the later instance is gone.
    pub fn answer(mut self, code: i32) -> Result<()> {
        self.is_answered = true;
        self.answers.try_send(self.id, &Word::Code(code).encode())
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        if !self.is_answered {
            let _ = self.answers.try_send(self.id, &Word::NoCode.encode());
        }
    }
}
