//! Those inside, each at a place where a message is found without a search among all of them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::PeerId;
use crate::channel::receiver::Receiver;
use crate::channel::sender::Sender;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: PeerId,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    pub(super) queued: bool,
}

impl Connection {
    /// Whoever is at this place is to be tried, once.
    pub(super) fn enqueue(&mut self, place: usize, queue: &mut VecDeque<usize>) {
        if !std::mem::replace(&mut self.queued, true) {
            queue.push_back(place);
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Peers {
    places: Vec<Option<Connection>>,
    free: Vec<usize>,
    ids: BTreeMap<PeerId, usize>,
    /// By what the transport's hints call them.
    tokens: HashMap<u64, usize>,
    /// Those that have ended their sending half in order, and may still be answered.
    heard_out: BTreeMap<PeerId, Sender>,
    /// So many of them are kept before the next look at which have left.
    most_heard_out: usize,
}

impl Peers {
    /// Takes one in; its place.
    pub(super) fn insert(&mut self, connection: Connection) -> usize {
        let place = self.free.pop().unwrap_or(self.places.len());
        self.ids.insert(connection.id, place);
        if let Some(token) = connection.receiver.token() {
            self.tokens.insert(token, place);
        }
        if place == self.places.len() {
            self.places.push(Some(connection));
        } else if let Some(free) = self.places.get_mut(place) {
            *free = Some(connection);
        }
        place
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

    /// Forgets one that will send no more, but for its sender while it still receives.
    pub(super) fn hear_out(&mut self, id: PeerId) {
        let Some(Connection { mut sender, .. }) = self.remove(id) else { return };
        if !sender.is_heard() {
            return;
        }
        // As seldom as their number grows, so that a crowd that comes and goes is looked at in constant time each.
        if self.heard_out.len() >= self.most_heard_out {
            self.forget_those_that_left();
            self.most_heard_out = 2 * self.heard_out.len() + 16;
        }
        self.heard_out.insert(id, sender);
    }

    /// Forgets those that have been heard out and receive no more.
    pub(super) fn forget_those_that_left(&mut self) {
        self.heard_out.retain(|_, sender| sender.is_heard());
    }

    /// Forgets one for good. False if it was not there.
    pub(super) fn disconnect(&mut self, id: PeerId) -> bool {
        let heard_out = self.heard_out.remove(&id);
        self.remove(id).is_some() || heard_out.is_some_and(|mut sender| sender.is_heard())
    }

    /// The sender of one that is connected, or was heard out.
    pub(super) fn sender(&self, id: PeerId) -> Option<&Sender> {
        self.get(id).map(|connection| &connection.sender).or_else(|| self.heard_out.get(&id))
    }

    pub(super) fn sender_mut(&mut self, id: PeerId) -> Option<&mut Sender> {
        if let Some(place) = self.ids.get(&id) {
            return self.places.get_mut(*place)?.as_mut().map(|connection| &mut connection.sender);
        }
        if !self.heard_out.get_mut(&id)?.is_heard() {
            self.heard_out.remove(&id);
        }
        self.heard_out.get_mut(&id)
    }

    /// Who is at a place, if anybody still is.
    pub(super) fn at(&mut self, place: usize) -> Option<&mut Connection> {
        self.places.get_mut(place)?.as_mut()
    }

    /// What the transport's hints call who is at a place, if they tell of it.
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

    /// All of them, with their places.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (usize, &mut Connection)> {
        self.places.iter_mut().enumerate().filter_map(|(place, at)| Some((place, at.as_mut()?)))
    }

    /// Whether they tell of everybody.
    pub(super) fn all_hinted(&self) -> bool {
        self.tokens.len() == self.ids.len()
    }
}
