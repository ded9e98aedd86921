//! Those inside, each at a place where a message is found without a search among all of them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::PeerId;
use crate::{Receiver, Sender};

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

    pub(super) fn get(&self, id: PeerId) -> Option<&Connection> {
        self.places.get(*self.ids.get(&id)?)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: PeerId) -> Option<&mut Connection> {
        self.places.get_mut(*self.ids.get(&id)?)?.as_mut()
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
