//! One turn of an inbox: one event, if there is one. Connectors and peers take turns: neither many
//! connectors nor a busy peer delays the others.

use anyipc_core::{Error, ErrorKind, Operation, Result};

use super::{Event, Inbox, PeerId};
use crate::wait::Waitable;

/// An event, with the message as the caller's closure read it.
pub(crate) enum Turn<R> {
    Message(R),
    Connected(PeerId),
    Disconnected(PeerId, Error),
}

impl Inbox {
    /// The next event. `WouldBlock` if there is none.
    pub(crate) fn turn<R, F: FnOnce(PeerId, &[u8]) -> R>(
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
        if self.schedule.begin_turn() {
            self.listener.due |= self.listener.is_time();
        }
        if !std::mem::take(&mut self.listener.peers_first)
            && let Some(id) = self.accept()?
        {
            return Ok(Turn::Connected(id));
        }
        if let Some(turn) = self.try_peers(read)? {
            return Ok(turn);
        }
        if let Some(id) = self.accept()? {
            return Ok(Turn::Connected(id));
        }
        match self.listener.take_fault() {
            Some(fault) => Err(fault),
            None => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
        }
    }

    /// Accepts a connector if that is due and one is there.
    #[inline]
    fn accept(&mut self) -> Result<Option<PeerId>> {
        Ok(self.listener.accept(&self.endpoint)?.map(|channel| {
            let (id, place) = self.peers.insert(channel);
            self.schedule.enqueue_new(place);
            id
        }))
    }

    /// Tries the queued peers until one has a message or has left. Queues others once if none has.
    fn try_peers<R, F: FnOnce(PeerId, &[u8]) -> R>(
        &mut self,
        read: &mut Option<F>,
    ) -> Result<Option<Turn<R>>> {
        let Self { endpoint, schedule, peers, .. } = self;
        let mut refilled = schedule.is_round_over();
        if refilled {
            schedule.refill(endpoint, peers);
        } else {
            schedule.enqueue_last(peers);
        }
        // The first peer of this call that was interrupted within a long message.
        let mut interrupted = None;
        loop {
            while let Some(place) = schedule.front(peers) {
                let Some(connection) = peers.at(place) else {
                    schedule.pop();
                    continue;
                };
                // All others had their turn since.
                if interrupted == Some(place) {
                    return Ok(None);
                }
                let id = connection.id;
                let mut show = Some(|message: &[u8]| read.take().map(|read| read(id, message)));
                match connection.receiver.try_with(&mut show) {
                    Ok(result) => {
                        schedule.note_message(place);
                        if let Some(result) = result {
                            return Ok(Some(Turn::Message(result)));
                        }
                    }
                    Err(error) if error.is_would_block() => {
                        connection.queued = connection.receiver.take_interrupted();
                        if connection.queued {
                            schedule.rotate(place);
                            self.interrupted = true;
                            interrupted.get_or_insert(place);
                        } else {
                            schedule.pop();
                        }
                    }
                    // The owner's fault, not the peer's.
                    Err(error) if error.kind() == ErrorKind::Forked => return Err(error),
                    Err(error) => {
                        schedule.pop();
                        let reason = connection.receiver.explain(error);
                        match reason.kind() {
                            ErrorKind::Closed => peers.end_sending(id),
                            _ => drop(peers.remove(id)),
                        }
                        return Ok(Some(Turn::Disconnected(id, reason)));
                    }
                }
            }
            if std::mem::replace(&mut refilled, true) {
                return Ok(None);
            }
            schedule.refill(endpoint, peers);
        }
    }
}
