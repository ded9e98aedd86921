//! The connections of an inbox. Each has a place, by which a hint finds it without a search.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::PeerId;
use super::sender::{PeerSender, Senders};
use super::sending::Sending;
use crate::channel::Channel;
use crate::channel::receiver::Receiver;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: PeerId,
    pub(super) sender: PeerSender,
    pub(super) receiver: Receiver,
    /// Its place is in the queue of the schedule.
    pub(super) queued: bool,
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    /// The connections that still send; `None` at the places in `free`.
    places: Vec<Option<Connection>>,
    /// Places without a connection.
    free: Vec<usize>,
    /// The place of each connection.
    ids: BTreeMap<PeerId, usize>,
    /// The places of the connections with hints, by the number in the hints.
    tokens: HashMap<u64, usize>,
    /// Peers that have ended their sending half in order and may still receive.
    receive_only: BTreeMap<PeerId, PeerSender>,
    /// At this length of `receive_only`, those that have left are removed.
    receive_only_limit: usize,
    /// The last id given; 0 is never one.
    last_id: u64,
    /// The list of all senders, if they are shared.
    shared: Option<Arc<Senders>>,
}

impl Peers {
    /// Adds a connection, marked as queued. Returns its id and place.
    pub(super) fn insert(&mut self, channel: Channel) -> (PeerId, usize) {
        let (sender, receiver) = channel.split();
        self.last_id += 1;
        let id = PeerId(self.last_id);
        let place = self.free.pop().unwrap_or(self.places.len());
        self.ids.insert(id, place);
        if let Some(token) = receiver.token() {
            self.tokens.insert(token, place);
        }
        let sender = PeerSender::new(id, sender, self.shared.as_ref());
        let connection = Some(Connection { id, sender, receiver, queued: true });
        match self.places.get_mut(place) {
            Some(free) => *free = connection,
            None => self.places.push(connection),
        }
        (id, place)
    }

    pub(super) fn remove(&mut self, id: PeerId) -> Option<Connection> {
        let place = self.ids.remove(&id)?;
        let connection = self.places.get_mut(place)?.take()?;
        if let Some(token) = connection.receiver.token() {
            self.tokens.remove(&token);
        }
        self.free.push(place);
        Some(connection)
    }

    /// Removes a connection after its peer has ended its sending half. The sender is kept while the
    /// peer receives.
    pub(super) fn end_sending(&mut self, id: PeerId) {
        let Some(Connection { mut sender, .. }) = self.remove(id) else { return };
        if !sender.is_heard() {
            return;
        }
        // The limit grows with the number that stays, so that each of many peers that come and go
        // costs a constant time.
        if self.receive_only.len() >= self.receive_only_limit {
            self.forget_departed();
            self.receive_only_limit = 2 * self.receive_only.len() + 16;
        }
        self.receive_only.insert(id, sender);
    }

    /// Removes the peers that have ended their sending half and do not receive any more.
    pub(super) fn forget_departed(&mut self) {
        self.receive_only.retain(|_, sender| sender.is_heard());
    }

    /// Removes a peer. False if it was not connected.
    pub(super) fn disconnect(&mut self, id: PeerId) -> bool {
        let receive_only = self.receive_only.remove(&id);
        self.remove(id).is_some() || receive_only.is_some_and(|mut sender| sender.is_heard())
    }

    /// The sender of a connection, or of a peer that only receives.
    pub(super) fn sender(&self, id: PeerId) -> Option<&PeerSender> {
        self.get(id).map(|connection| &connection.sender).or_else(|| self.receive_only.get(&id))
    }

    /// As [`sender`](Self::sender); forgets a peer that has left.
    pub(super) fn sender_mut(&mut self, id: PeerId) -> Option<&mut PeerSender> {
        if let Some(place) = self.ids.get(&id) {
            return self.places.get_mut(*place)?.as_mut().map(|connection| &mut connection.sender);
        }
        if !self.receive_only.get_mut(&id)?.is_heard() {
            self.receive_only.remove(&id);
        }
        self.receive_only.get_mut(&id)
    }

    /// One message to each peer, also to those that only receive.
    pub(super) fn sendings(&mut self) -> impl Iterator<Item = (PeerId, Sending<'_>)> {
        let connected = self.places.iter_mut().flatten().map(|at| (at.id, &mut at.sender));
        let receiving = self.receive_only.iter_mut().map(|(id, sender)| (*id, sender));
        connected.chain(receiving).map(|(id, sender)| (id, sender.sending()))
    }

    /// The list of all senders. Makes it, and shares them, if they are not shared yet.
    pub(super) fn share(&mut self, make: impl FnOnce() -> Senders) -> Arc<Senders> {
        if let Some(list) = &self.shared {
            return Arc::clone(list);
        }
        let list = Arc::new(make());
        for place in &mut self.places {
            *place = place.take().map(|Connection { id, sender, receiver, queued }| Connection {
                id,
                sender: sender.share(id, &list),
                receiver,
                queued,
            });
        }
        let receiving = std::mem::take(&mut self.receive_only).into_iter();
        self.receive_only = receiving.map(|(id, sender)| (id, sender.share(id, &list))).collect();
        self.shared.insert(list).clone()
    }

    /// The connection at a place; `None` if it was removed.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Connection> {
        self.places.get_mut(place)?.as_mut()
    }

    /// The number in the hints of the connection at a place, if it has hints.
    pub(super) fn token_at(&self, place: usize) -> Option<u64> {
        self.places.get(place)?.as_ref()?.receiver.token()
    }

    pub(super) fn place_of(&self, token: u64) -> Option<usize> {
        self.tokens.get(&token).copied()
    }

    fn get(&self, id: PeerId) -> Option<&Connection> {
        self.places.get(*self.ids.get(&id)?)?.as_ref()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.ids.keys().copied()
    }

    /// The connections with their places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Connection)> {
        self.places.iter_mut().enumerate().filter_map(|(place, at)| Some((place, at.as_mut()?)))
    }

    /// True if every connection has hints.
    pub(super) fn all_hinted(&self) -> bool {
        self.tokens.len() == self.ids.len()
    }
}
