//! What an inbox does next: the door and those inside take turns.

use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::{Connection, Event, Inbox, PeerId, Turn};
use crate::channel::Channel;
use crate::wait::{SLICE, Waitable};

/// Messages of the queued peers, at least, between two looks at who else has some.
const ROUND: usize = 8;

/// Whose turn comes after so many others can have its message fetched meanwhile.
const SOON: usize = 4;

/// Turns between two looks at the clock while there is always something to do.
const TURNS: u32 = 64;

/// Time between two looks at the door meanwhile: each takes as long as some fifty messages.
const DOOR: Duration = Duration::from_micros(50);

/// An owner that cannot accept says so this often at most: its peers are there, and are served.
const FAULT: Duration = Duration::from_millis(100);

impl Inbox {
    /// The next thing that happened, if anything did. The door and those inside take turns: neither a crowd
    /// of connectors nor a loud peer keeps the other waiting.
    pub(super) fn turn<R, F: FnOnce(PeerId, &[u8]) -> R>(
        &mut self,
        read: &mut Option<F>,
    ) -> Result<Turn<R>> {
        if let Some(found) = self.found.take() {
            match found? {
                Event::Connected(id) => return Ok(Turn::Connected(id)),
                Event::Disconnected(id, reason) => return Ok(Turn::Disconnected(id, reason)),
                Event::Message(id, message) => {
                    if let Some(read) = read.take() {
                        return Ok(Turn::Message(read(id, &message)));
                    }
                }
            }
        }
        self.turn = self.turn.wrapping_add(1);
        if self.turn.is_multiple_of(TURNS) {
            self.accept_due |= self.is_door_due();
            self.scan_due = self.scanned.elapsed() >= SLICE;
        }
        if !std::mem::take(&mut self.inside_first)
            && let Some(id) = self.accept()?
        {
            return Ok(Turn::Connected(id));
        }
        if let Some(turn) = self.serve(read)? {
            return Ok(turn);
        }
        if let Some(id) = self.accept()? {
            return Ok(Turn::Connected(id));
        }
        if let Some(fault) = self.fault.take() {
            self.fault_told = Some(Instant::now());
            return Err(fault);
        }
        Err(Error::new(Operation::Receive, ErrorKind::WouldBlock))
    }

    /// Whoever is at the door is let in by the next turn; those inside come first if it was looked at just now.
    pub(super) fn heed_door(&mut self) {
        self.accept_due = true;
        self.inside_first |= !self.is_door_due();
    }

    fn is_door_due(&self) -> bool {
        self.door_seen.elapsed() >= DOOR
    }

    /// What one of the peers has, if any has something.
    pub(super) fn serve<R, F: FnOnce(PeerId, &[u8]) -> R>(
        &mut self,
        read: &mut Option<F>,
    ) -> Result<Option<Turn<R>>> {
        let mut looked = self.round == 0 || self.scan_due;
        if looked {
            self.refill();
        } else if self.queue.is_empty()
            && let Some(place) = self.last
            && let Some(connection) = self.peers.at(place)
        {
            // Who spoke last may speak again: its message is seen sooner than the hint of it.
            connection.enqueue(place, &mut self.queue);
        }
        let mut interrupted = None;
        loop {
            // It stays in the queue during the call, which does not return from a panic of `read`.
            while let Some(&place) = self.queue.front() {
                if let Some(soon) = self.queue.get(1 + SOON)
                    && let Some(connection) = self.peers.at(*soon)
                {
                    connection.receiver.prefetch();
                }
                let Some(connection) = self.peers.at(place) else {
                    self.queue.pop_front();
                    continue;
                };
                // The others had their turn meanwhile.
                if interrupted == Some(place) {
                    return Ok(None);
                }
                let id = connection.id;
                let mut show = Some(|message: &[u8]| read.take().map(|read| read(id, message)));
                match connection.receiver.try_with(&mut show) {
                    Ok(result) => {
                        self.queue.pop_front();
                        self.queue.push_back(place);
                        self.steady = self.last.replace(place) == Some(place);
                        self.round = self.round.saturating_sub(1);
                        if let Some(result) = result {
                            return Ok(Some(Turn::Message(result)));
                        }
                    }
                    Err(error) if error.is_would_block() => {
                        self.queue.pop_front();
                        // In the midst of a long message, or of very many fragments.
                        connection.queued = connection.receiver.interrupted();
                        if connection.queued {
                            self.queue.push_back(place);
                            self.busy = true;
                            interrupted.get_or_insert(place);
                        }
                    }
                    // Our own fault, not the peer's.
                    Err(error) if error.kind() == ErrorKind::Forked => return Err(error),
                    Err(error) => {
                        self.queue.pop_front();
                        let reason = connection.receiver.explain(error);
                        match reason.kind() {
                            ErrorKind::Closed => self.peers.hear_out(id),
                            _ => drop(self.peers.remove(id)),
                        }
                        return Ok(Some(Turn::Disconnected(id, reason)));
                    }
                }
            }
            if std::mem::replace(&mut looked, true) {
                return Ok(None);
            }
            self.refill();
        }
    }

    /// Lets one in, if that is due and one is at the door.
    #[inline]
    fn accept(&mut self) -> Result<Option<PeerId>> {
        if std::mem::take(&mut self.accept_due) { self.let_in() } else { Ok(None) }
    }

    /// Lets one in, if one is at the door. A failure to do so is kept for later, see [`FAULT`].
    #[cold]
    fn let_in(&mut self) -> Result<Option<PeerId>> {
        self.door_seen = Instant::now();
        let accepted = self.endpoint.raw().try_connect(&mut self.attempt);
        self.door_stuck = false;
        let halves = match accepted {
            Ok(halves) => halves,
            Err(error) if error.is_would_block() => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Forked => return Err(error),
            Err(error) => {
                self.stick(error);
                return Ok(None);
            }
        };
        // More may stand at the door.
        self.accept_due = true;
        self.inside_first = true;
        let (sender, receiver) =
            Channel::new(halves, self.endpoint.address(), self.endpoint.settings()).split();
        self.last_id += 1;
        let id = PeerId(self.last_id);
        let place = self.peers.insert(Connection { id, sender, receiver, queued: true });
        self.queue.push_back(place);
        Ok(Some(id))
    }

    pub(super) fn stick(&mut self, error: Error) {
        self.door_stuck = true;
        if self.fault_told.is_none_or(|told| told.elapsed() >= FAULT) {
            self.fault = Some(error);
        }
    }

    /// Queues whoever may have something: by hint, or everybody when that is due.
    pub(super) fn refill(&mut self) {
        let everybody = std::mem::take(&mut self.scan_due);
        let (peers, queue) = (&mut self.peers, &mut self.queue);
        let keep = self.last.filter(|_| self.steady).and_then(|place| peers.token_at(place));
        let hinted = self.endpoint.raw().ready(keep, &mut |token| {
            if let Some(place) = peers.place_of(token)
                && let Some(connection) = peers.at(place)
            {
                connection.enqueue(place, queue);
            }
        });
        if everybody {
            self.scanned = Instant::now();
            peers.forget_those_that_left();
        }
        if everybody || !hinted || !peers.all_hinted() {
            for (place, connection) in peers.iter_mut() {
                if everybody || !hinted || connection.receiver.token().is_none() {
                    connection.enqueue(place, queue);
                }
            }
        }
        self.round = self.queue.len().max(ROUND);
    }
}
