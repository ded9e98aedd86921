use std::collections::VecDeque;
use std::ffi::CStr;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyipc_core::{
    Armed, Attempt, Error, ErrorKind, Hello, Interest, Operation, Peer, Rejections, Reply, Result, Source,
};
use anyipc_os::{Set, user};

use super::guest::{Guest, Step};
use crate::halves::{Receiver, Sender, duplex, halves};
use crate::named::Access;
use crate::proof::{Key, Nonce, nonce};
use crate::sys::{Listener, Stream, is_shortage};
use crate::text::{self, Text};

/// The most handshakes that are kept half-open; more wait in the listener's queue.
const MAX_HALF_OPEN: usize = 256;
/// How soon to look again while no more can be taken in.
const CROWDED: Duration = Duration::from_millis(5);

/// What a connector has to show.
#[derive(Debug)]
pub enum Entry {
    /// The kernel says that it is one of these users.
    Users(Access),
    /// It proves to know a secret. Then it may also ask for the text.
    Secret(Arc<Key>, Text),
}

/// The owner's side of the handshakes.
#[derive(Debug)]
pub struct Acceptor {
    listener: Listener,
    set: Arc<Set>,
    entry: Entry,
    /// Bytes in flight per direction of a channel; 0 leaves it to the transport.
    capacity: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    half_open: VecDeque<Guest>,
    /// No more can be taken in for want of descriptors or memory: connectors wait in the listener's queue.
    short: bool,
    rejections: Rejections,
}

impl Acceptor {
    /// Accepts whoever comes to the listener and has what it takes.
    pub fn new(listener: Listener, entry: Entry, capacity: u64, operation: Operation) -> Result<Self> {
        let fail = |error| Error::io(operation, "preparing to accept", error);
        let set = Set::new().map_err(fail)?;
        set.watch(&listener, Interest::Readable).map_err(fail)?;
        Ok(Self { listener, set, entry, capacity, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes every handshake a step further; gives the first that is complete.
    pub(crate) fn try_accept(&self, attempt: &Attempt) -> Result<(Sender, Receiver, Peer)> {
        let state = &mut *self.state();
        // Who is late is judged by what it has said until now: if we come late, that is no fault of it.
        let now = Instant::now();
        self.welcome_newcomers(state)?;
        for _ in 0..state.half_open.len() {
            let Some(guest) = state.half_open.pop_front() else { break };
            if let Some(done) = self.attend(guest, &attempt.hello, state)? {
                return Ok(done);
            }
        }
        state.reject_late(now);
        Err(Error::new(Operation::Accept, ErrorKind::WouldBlock))
    }

    fn welcome_newcomers(&self, state: &mut State) -> Result<()> {
        let was_short = std::mem::take(&mut state.short);
        while state.half_open.len() < MAX_HALF_OPEN {
            let stream = match self.listener.accept() {
                Ok(Some(stream)) => stream,
                Ok(None) => break,
                Err(error) if is_shortage(&error) => {
                    state.short = true;
                    if !was_short {
                        tracing::warn!(%error, "connectors have to wait");
                    }
                    break;
                }
                Err(error) => return Err(Error::io(Operation::Accept, "accepting", error)),
            };
            let (who, stranger) = match &self.entry {
                Entry::Users(access) => match stream.credentials() {
                    Ok(who) => (Some(who), access.stranger(&who)),
                    Err(_) => continue,
                },
                Entry::Secret(..) => (None, None),
            };
            let guest = Guest::new(stream, who);
            if let Some(uid) = stranger {
                let why = format!("user {uid} may not connect to user {}", user());
                let error = Error::new(Operation::Accept, ErrorKind::PermissionDenied).because(why);
                state.reject(&guest, error);
                continue;
            }
            match self.set.watch(guest.stream(), Interest::Readable) {
                Ok(()) => state.half_open.push_back(guest),
                Err(error) => {
                    state.reject(&guest, Error::io(Operation::Accept, "watching a connector", error))
                }
            }
        }
        Ok(())
    }

    /// One guest's next step; a channel if that was the last.
    fn attend(
        &self,
        mut guest: Guest,
        ours: &Hello,
        state: &mut State,
    ) -> Result<Option<(Sender, Receiver, Peer)>> {
        match guest.step(&self.entry) {
            Ok(Step::Waits) => state.half_open.push_back(guest),
            Ok(Step::Left | Step::Told) => {}
            Ok(Step::Said(theirs)) if text::is_question(&theirs) => self.tell(guest, state)?,
            Ok(Step::Said(theirs)) => {
                let mut ours = ours.clone();
                if ours.capacity == 0 {
                    ours.capacity = self.capacity;
                }
                match ours.check(&theirs) {
                    Ok(()) => return self.admit(guest, theirs, &ours, state),
                    Err(error) => state.reject(&guest, error),
                }
            }
            Ok(Step::Joins(ticket)) => {
                let welcome = !ticket.controls || self.both_ways();
                let whose = state.half_open.iter().position(|other| welcome && other.expects(&ticket.nonce));
                match whose.and_then(|at| state.half_open.remove(at)) {
                    Some(first) => {
                        self.set.forget(guest.stream());
                        let (stream, peer) = first.into_peer();
                        let made = match ticket.controls {
                            true => duplex(stream, guest.into_stream(), self.capacity),
                            false => halves(guest.into_stream(), stream, self.capacity),
                        };
                        return channel(made, peer).map(Some);
                    }
                    None => state.reject(
                        &guest,
                        Error::new(Operation::Accept, ErrorKind::PermissionDenied)
                            .because("the connector's ticket is not one of ours"),
                    ),
                }
            }
            Err(error) => state.reject(&guest, error),
        }
        Ok(None)
    }

    /// Whether a stream that a guest came over can carry both directions, and the one that it adds is for control.
    fn both_ways(&self) -> bool {
        matches!(self.entry, Entry::Secret(..)) && Stream::TCP_BOTH_WAYS
    }

    /// Welcomes a guest. A local one gets the end of a control stream, where that is possible; others get a ticket for
    /// a stream of theirs.
    fn admit(
        &self,
        mut guest: Guest,
        theirs: Hello,
        ours: &Hello,
        state: &mut State,
    ) -> Result<Option<(Sender, Receiver, Peer)>> {
        let mut welcome = Reply::Welcome(ours.clone()).encode()?;
        let gone = |error| Error::io(Operation::Accept, "sending the welcome", error);
        self.set.forget(guest.stream());
        match self.entry {
            Entry::Users(_) if Stream::PASSES_STREAMS => {
                let made = Stream::pair().map_err(|e| Error::io(Operation::Accept, "making a channel", e));
                let sent = made.and_then(|(control, other)| {
                    whole(guest.stream().send_with(&welcome, &other).map_err(gone)?, &welcome)?;
                    Ok(control)
                });
                guest.welcome(theirs, None);
                match sent {
                    Ok(control) => {
                        let (data, peer) = guest.into_peer();
                        return channel(duplex(data, control, self.capacity), peer).map(Some);
                    }
                    Err(error) => state.reject(&guest, error),
                }
            }
            _ => {
                let ticket: Nonce = nonce().map_err(|error| error.during(Operation::Accept))?;
                welcome.extend(ticket);
                welcome.push(self.both_ways().into());
                let sent = guest.stream().send(&welcome).map_err(gone);
                match sent.and_then(|sent| whole(sent, &welcome)) {
                    Ok(()) => {
                        guest.welcome(theirs, Some(ticket));
                        state.half_open.push_back(guest);
                    }
                    Err(error) => state.reject(&guest, error),
                }
            }
        }
        Ok(None)
    }

    /// Begins to tell a guest the text.
    fn tell(&self, mut guest: Guest, state: &mut State) -> Result<()> {
        let Entry::Secret(_, text) = &self.entry else {
            state.reject(
                &guest,
                Error::new(Operation::Accept, ErrorKind::Mismatch)
                    .because("only over tcp:// is a text asked for"),
            );
            return Ok(());
        };
        guest.tell(text.clone());
        self.set
            .watch_for(guest.stream(), Interest::Writable)
            .map_err(|error| Error::io(Operation::Accept, "watching a reader", error))?;
        state.half_open.push_back(guest);
        Ok(())
    }

    /// The owner's own text.
    pub(crate) fn read_text(&self, read: &mut dyn FnMut(&CStr)) -> Result<()> {
        match &self.entry {
            Entry::Secret(_, text) => text.read(read),
            Entry::Users(_) => Err(Error::new(Operation::ReadLpsz, ErrorKind::Unsupported)),
        }
    }

    pub(crate) fn arm(&self) -> Result<Armed> {
        let state = &mut *self.state();
        if state.half_open.len() >= MAX_HALF_OPEN || state.short {
            return Ok(Armed::After(CROWDED));
        }
        self.set
            .ring_at(state.half_open.iter().map(Guest::deadline).min())
            .map_err(|error| Error::io(Operation::Accept, "setting the clock", error))?;
        Ok(Armed::Source(Interest::Readable))
    }

    pub(crate) fn source(&self) -> Source {
        self.set.source()
    }

    pub(crate) fn rejections(&self) -> Rejections {
        self.state().rejections.clone()
    }
}

impl State {
    /// Rejects those whose time was over then.
    fn reject_late(&mut self, now: Instant) {
        let late = |guest: &Guest| guest.deadline() <= now;
        while let Some(guest) = self.half_open.iter().position(late).and_then(|at| self.half_open.remove(at))
        {
            let seconds = guest.patience().as_secs();
            let error = Error::new(Operation::Accept, ErrorKind::TimedOut)
                .because(format!("the connector did not finish its handshake within {seconds} s"));
            self.reject(&guest, error);
        }
    }

    /// Counts and logs the rejection and tells the connector, if it has shown that it may know.
    fn reject(&mut self, guest: &Guest, error: Error) {
        tracing::warn!(who = ?guest.who(), %error, "connector rejected");
        if guest.is_known()
            && let Ok(reply) = Reply::reject(&error).encode()
        {
            let _ = guest.stream().send(&reply);
        }
        self.rejections.count += 1;
        self.rejections.last = Some(error.to_string());
    }
}

/// The channel of a welcomed guest.
fn channel(made: io::Result<(Sender, Receiver)>, peer: Peer) -> Result<(Sender, Receiver, Peer)> {
    let (sender, receiver) = made.map_err(|error| Error::io(Operation::Accept, "sizing a channel", error))?;
    Ok((sender, receiver, peer))
}

/// What is sent on a fresh connection has room.
fn whole(sent: usize, bytes: &[u8]) -> Result<()> {
    if sent == bytes.len() {
        return Ok(());
    }
    Err(Error::new(Operation::Accept, ErrorKind::Io).because("the welcome went out in part"))
}
