//! The loop of a server: reads what clients ask for, and sends what they get. It never waits for a
//! handler or for one client: what a channel has no room for stays in the client's outbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Operation, Peer, Result, Source, Wait, Waiter};
use serde::de::DeserializeOwned;

use super::answer::write_failure;
use super::intake::{Asked, ById, Intake};
use super::jobs::{Control, Job, Replies, Reply};
use super::{OnEvent, ServerEvent};
use crate::codec::CodecId;
use crate::inbox::turn::Turn;
use crate::inbox::{Inbox, PeerId};
use crate::request::failure::{Cause, Failure};
use crate::request::frame::{Frame, MAX_CALLS, broken};
use crate::request::{Names, max_bytes};
use crate::wait::sleeper::Sleeper;
use crate::wait::spin::Spinner;
use crate::wait::{Waitable, wait};

/// The most messages that are read between two jobs.
const READS: usize = 256;

/// A request that is not begun.
struct Queued<Request> {
    id: u32,
    until: Option<Instant>,
    request: Request,
}

/// One client.
struct Client<Request> {
    peer: Arc<Peer>,
    /// The calls that are not answered; with a control if they are running streams.
    intake: Intake<Option<Arc<Control>>>,
    queue: VecDeque<Queued<Request>>,
    /// The client is in `Serving::turns`.
    has_turn: bool,
    /// Answers that the channel has no room for, the first sent up to `offset`.
    outbox: VecDeque<Reply>,
    offset: usize,
    /// Bytes in the outbox.
    unsent: usize,
    /// At this many no further call is begun.
    max_unsent: usize,
    max_message: usize,
}

/// How handlers are executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// In the loop or on threads: one response.
    Single,
    /// On threads: a stream of responses.
    Streams,
    /// As tasks.
    Tasks,
}

pub(crate) struct Serving<'a, Request> {
    inbox: &'a mut Inbox,
    codec: CodecId,
    names: Names,
    clients: ById<PeerId, Client<Request>>,
    /// The clients with queued requests, in the order of their turns.
    turns: VecDeque<PeerId>,
    /// Clients with answers in their outbox.
    congested: Vec<PeerId>,
    /// What a task sleeps on until there is room for them.
    room: Option<Sleeper>,
    replies: Arc<Replies>,
    /// Jobs that run.
    pub(super) running: usize,
    kind: Kind,
    on_event: OnEvent<'a>,
    /// Everything that has come was read.
    has_read_all: bool,
    /// Why the server ends, other than by its stopper.
    fault: Option<Error>,
}

/// What was read from a client.
enum Read<Request> {
    Queued(Queued<Request>),
    Refused(u32, Failure),
    Cancel(u32),
    Nothing,
    Fault(Error),
}

/// The most items of a stream that wait for room, whatever the client says.
const MAX_WINDOW: u16 = 256;

impl<'a, Request: DeserializeOwned> Serving<'a, Request> {
    pub(crate) fn new(
        inbox: &'a mut Inbox,
        codec: CodecId,
        names: Names,
        replies: Arc<Replies>,
        kind: Kind,
        on_event: OnEvent<'a>,
    ) -> Self {
        Self {
            inbox,
            codec,
            names,
            clients: ById::default(),
            turns: VecDeque::new(),
            congested: Vec::new(),
            room: None,
            replies,
            running: 0,
            kind,
            on_event,
            has_read_all: false,
            fault: None,
        }
    }

    /// The next job, if fewer than `limit` run. Blocks until there is one, and meanwhile does what
    /// needs no handler. `None` once the server has stopped.
    ///
    /// # Errors
    /// `Forked`, `Removed`.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Job<Request>>> {
        loop {
            match self.try_next(limit) {
                Err(error) if error.is_would_block() => {
                    wait(self, Operation::Serve, None, Self::idle_step)?;
                }
                next => return next,
            }
        }
    }

    /// As [`next`](Self::next), without blocking: after `WouldBlock`, wait for an
    /// [`idle_step`](Self::idle_step).
    pub(crate) fn try_next(&mut self, limit: usize) -> Result<Option<Job<Request>>> {
        if !std::mem::take(&mut self.has_read_all) {
            // All that has come, so that no call is begun that was cancelled since.
            for _ in 0..READS {
                match self.step() {
                    Ok(()) => {}
                    Err(error) if error.is_would_block() => break,
                    Err(error) => return Err(error),
                }
            }
        }
        if self.running < limit
            && let Some(job) = self.begin()
        {
            return Ok(Some(job));
        }
        if self.is_over() {
            return self.fault.take().map_or(Ok(None), Err);
        }
        Err(Error::new(Operation::Serve, ErrorKind::WouldBlock))
    }

    /// A step of a server that had nothing to do.
    pub(crate) fn idle_step(&mut self) -> Result<()> {
        let running = self.running;
        self.step()?;
        // If no job has ended meanwhile, this came to an idle server, and is all there is.
        self.has_read_all = running == self.running;
        Ok(())
    }

    /// Takes over the peers that have connected before.
    pub(super) fn adopt(&mut self) {
        let peers: Vec<_> = self.inbox.peers().collect();
        peers.into_iter().for_each(|id| self.connected(id));
    }

    /// Nobody sends what streams that still run go on to make.
    pub(super) fn cancel_all(&self) {
        let calls = self.clients.values().flat_map(|client| client.intake.iter());
        calls.flatten().for_each(|control| control.cancel());
    }

    /// True if the server stops, and everything is answered and sent.
    fn is_over(&self) -> bool {
        let stops = self.replies.is_stopped() || self.fault.is_some();
        stops && self.running == 0 && self.turns.is_empty() && self.congested.is_empty()
    }

    /// Does one thing that is to be done. `WouldBlock` if there is none.
    ///
    /// # Errors
    /// `Forked`.
    fn step(&mut self) -> Result<()> {
        if self.replies.has_news() {
            for reply in self.replies.take() {
                self.running -= usize::from(reply.ends);
                self.send(reply);
            }
            return Ok(());
        }
        if !self.congested.is_empty() && self.flush() {
            return Ok(());
        }
        let Self { inbox, clients, codec, kind, .. } = self;
        let mut read = Some(|id: PeerId, message: &[u8]| {
            let read = match clients.get_mut(&id) {
                Some(client) => client.read(message, *codec, *kind),
                None => Read::Nothing,
            };
            (id, read)
        });
        match inbox.turn(&mut read) {
            Ok(Turn::Message((id, read))) => self.take(id, read),
            Ok(Turn::Connected(id)) => self.connected(id),
            Ok(Turn::Disconnected(id, reason)) => self.disconnected(id, reason),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Forked => return Err(error),
                // Nobody finds this server any more: it answers what it has, and ends.
                ErrorKind::Removed => self.fault = Some(error.during(Operation::Serve)),
                _ => (self.on_event)(ServerEvent::NotAccepted(error)),
            },
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, id: PeerId, read: Read<Request>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        match read {
            Read::Queued(queued) => {
                if self.replies.is_stopped() || self.fault.is_some() {
                    let stopping = Failure::because(Cause::Stopping, "the server stops");
                    return self.refuse(id, queued.id, &stopping);
                }
                client.queue.push_back(queued);
                if !std::mem::replace(&mut client.has_turn, true) {
                    self.turns.push_back(id);
                }
            }
            Read::Refused(call, failure) => {
                if client.outbox.len() > 2 * MAX_CALLS {
                    let fault = "it goes on asking, and takes no answers";
                    return self.end(id, broken(fault));
                }
                self.refuse(id, call, &failure);
            }
            Read::Cancel(call) => {
                let before = client.queue.len();
                client.queue.retain(|queued| queued.id != call);
                if client.queue.len() < before {
                    let cancelled = Failure::because(Cause::Cancelled, "the call was cancelled");
                    self.refuse(id, call, &cancelled);
                } else if let Some(Some(control)) = client.intake.get(call) {
                    control.cancel();
                }
            }
            Read::Nothing => {}
            Read::Fault(fault) => self.end(id, fault),
        }
    }

    fn connected(&mut self, id: PeerId) {
        let Some(peer) = self.inbox.peer(id).cloned() else { return };
        let Ok(sender) = self.inbox.own_sender(id) else { return };
        let max_message = sender.max_message();
        if !self.names.are_of(&peer) {
            let error = Error::new(Operation::Serve, ErrorKind::Mismatch)
                .because("the peer opened a plain channel, and requests are served here");
            self.inbox.disconnect(id);
            return (self.on_event)(ServerEvent::Left(peer, error));
        }
        (self.on_event)(ServerEvent::Connected(peer.clone()));
        let client = Client {
            peer: Arc::new(peer),
            intake: Intake::new(max_message),
            queue: VecDeque::new(),
            has_turn: false,
            outbox: VecDeque::new(),
            offset: 0,
            unsent: 0,
            max_unsent: max_bytes(max_message),
            max_message,
        };
        self.clients.insert(id, client);
    }

    fn disconnected(&mut self, id: PeerId, reason: Error) {
        let Some(client) = self.clients.remove(&id) else { return };
        client.intake.iter().flatten().for_each(|control| control.cancel());
        self.turns.retain(|turn| *turn != id);
        self.congested.retain(|congested| *congested != id);
        self.inbox.disconnect(id);
        (self.on_event)(ServerEvent::Left((*client.peer).clone(), reason));
    }

    /// Ends the connection of a client that broke the protocol, and tells it so.
    fn end(&mut self, id: PeerId, fault: Error) {
        let mut frame = Frame::Fault.encode().to_vec();
        frame.extend(fault.message().unwrap_or_default().as_bytes());
        if let Ok(sender) = self.inbox.own_sender(id) {
            // Where there is no room for it, the end of the connection tells enough.
            let _ = sender.try_send(&frame);
        }
        self.disconnected(id, fault);
    }

    /// Answers a call that is not executed.
    fn refuse(&mut self, to: PeerId, id: u32, failure: &Failure) {
        let mut frame = Vec::new();
        write_failure(id, failure, &mut frame);
        self.send(Reply { to, id, ends: true, frame });
    }

    /// The next call to execute, of the client that has its turn.
    fn begin(&mut self) -> Option<Job<Request>> {
        for _ in 0..self.turns.len() {
            let id = self.turns.pop_front()?;
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.has_turn = false;
            if client.unsent > client.max_unsent {
                // It has a turn again once it has taken some of its answers.
                continue;
            }
            let Some(queued) = client.queue.pop_front() else { continue };
            if !client.queue.is_empty() {
                client.has_turn = true;
                self.turns.push_back(id);
            }
            if queued.until.is_some_and(|at| Instant::now() >= at) {
                let late = Failure::because(Cause::Late, "its time was over before it was begun");
                self.refuse(id, queued.id, &late);
                continue;
            }
            self.running += 1;
            return Some(Job {
                from: id,
                id: queued.id,
                peer: Arc::clone(&client.peer),
                until: queued.until,
                request: queued.request,
                max_message: client.max_message,
                control: client.intake.get(queued.id).cloned().flatten(),
            });
        }
        None
    }

    /// Sends the answer of a job that was executed here.
    #[inline]
    pub(super) fn answer(&mut self, to: PeerId, id: u32, frame: &mut Vec<u8>) {
        self.running -= 1;
        if let Some(client) = self.clients.get_mut(&to)
            && client.outbox.is_empty()
            && let Ok(sender) = self.inbox.own_sender(to)
            && sender.try_send(frame).is_ok()
        {
            client.intake.finish(id);
            return;
        }
        self.send(Reply { to, id, ends: true, frame: std::mem::take(frame) });
    }

    /// Sends a frame now or later.
    fn send(&mut self, reply: Reply) {
        let to = reply.to;
        let Some(client) = self.clients.get_mut(&to) else { return };
        client.unsent += reply.frame.len();
        client.outbox.push_back(reply);
        if client.outbox.len() == 1 && !client.flush(self.inbox, to) {
            self.congested.push(to);
        }
    }

    /// Sends what there is room for now. True if there was some.
    fn flush(&mut self) -> bool {
        let Self { inbox, clients, congested, turns, .. } = self;
        let mut progress = false;
        congested.retain(|id| {
            let Some(client) = clients.get_mut(id) else { return false };
            let before = (client.outbox.len(), client.offset);
            let is_empty = client.flush(inbox, *id);
            progress |= before != (client.outbox.len(), client.offset);
            let may_begin = client.unsent <= client.max_unsent && !client.queue.is_empty();
            if may_begin && !std::mem::replace(&mut client.has_turn, true) {
                turns.push_back(*id);
            }
            !is_empty
        });
        progress
    }
}

impl<Request: DeserializeOwned> Client<Request> {
    /// Reads one message of the client.
    #[inline]
    fn read(&mut self, message: &[u8], codec: CodecId, kind: Kind) -> Read<Request> {
        let keep = |window: u16| {
            let window = window.min(MAX_WINDOW);
            let has_control = kind == Kind::Tasks || kind == Kind::Streams && window > 0;
            has_control.then(|| Arc::new(Control::new(window)))
        };
        match self.intake.take(message, keep) {
            Ok(Asked::Call { id, until, request, .. }) => match codec.decode(request) {
                Ok(request) => Read::Queued(Queued { id, until, request }),
                Err(error) => Read::Refused(id, Failure::because(Cause::Codec, error.to_string())),
            },
            Ok(Asked::Refused { id, cause, why }) => {
                Read::Refused(id, Failure::because(cause, why))
            }
            Ok(Asked::Cancel { id }) => Read::Cancel(id),
            Ok(Asked::Credit { id, items }) => match self.intake.get(id) {
                Some(Some(control)) if !control.grant(items) => {
                    Read::Fault(broken("a credit is larger than the stream's window"))
                }
                _ => Read::Nothing,
            },
            Ok(Asked::Nothing) => Read::Nothing,
            Err(fault) => Read::Fault(fault),
        }
    }

    /// Sends from the outbox as long as there is room. True if it is empty.
    fn flush(&mut self, inbox: &mut Inbox, id: PeerId) -> bool {
        let Ok(sender) = inbox.own_sender(id) else {
            // It has left; the inbox reports it.
            self.outbox.clear();
            return true;
        };
        while let Some(reply) = self.outbox.front() {
            match sender.try_send_rest(&reply.frame, &mut self.offset) {
                Ok(()) => {}
                Err(error) if error.is_would_block() => return false,
                Err(_) => {
                    self.outbox.clear();
                    return true;
                }
            }
            self.offset = 0;
            let len = reply.frame.len();
            self.unsent -= len;
            if reply.ends {
                self.intake.finish(reply.id);
            } else if let Some(Some(control)) = self.intake.get(reply.id) {
                control.note_sent(len);
            }
            self.outbox.pop_front();
        }
        true
    }
}

impl<Request> Wait for Serving<'_, Request> {
    fn source(&self) -> Result<Source> {
        self.inbox.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let armed = self.inbox.arm_with(waiter, &self.congested, &mut self.room)?;
        // First the waker, then the look: what comes from now on wakes.
        self.replies.set_waker(self.inbox.waker());
        Ok(if self.replies.has_news() { Armed::Ready } else { armed })
    }

    fn due(&self) -> Option<Duration> {
        self.inbox.due()
    }

    fn park(&mut self, timeout: Duration) {
        self.inbox.park(timeout);
    }

    fn disarm(&mut self) {
        self.inbox.disarm_senders(&self.congested);
    }
}

impl<Request> Waitable for Serving<'_, Request> {
    fn target(&mut self) -> &mut dyn Wait {
        self
    }
    fn spinner(&mut self) -> &mut Spinner {
        self.inbox.spinner()
    }
    fn take_interrupted(&mut self) -> bool {
        self.inbox.take_interrupted()
    }
}
