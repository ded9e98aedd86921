//! Which peer is tried next.

use std::collections::VecDeque;
use std::time::Instant;

use super::peers::{Connection, Peers};
use crate::endpoint::Endpoint;
use crate::wait::SLICE;

/// Messages of the queued peers, at least, between two looks for others with messages.
const ROUND: usize = 8;

/// Turns between two looks at the clock while there are always messages.
const TURNS: u32 = 64;

/// How far behind the front of the queue a peer's message is prefetched.
const PREFETCH: usize = 4;

/// The order of the peers. Each is named by its place in [`Peers`].
#[derive(Debug)]
pub(super) struct Schedule {
    /// The peers to try, in this order, each at most once: a peer is in it while its `queued` is
    /// true, or has left.
    queue: VecDeque<usize>,
    /// The peer of the last message, if the inbox has not slept since.
    last: Option<usize>,
    /// The last two messages came from `last` and the inbox has not slept since. It is polled on
    /// every call, so its hint need not be cleared.
    steady: bool,
    /// Messages left until the next look for others with messages.
    round: usize,
    /// Turns so far, modulo 2^32.
    turns: u32,
    /// The next look tries every peer, whatever the hints.
    scan_due: bool,
    /// When every peer was tried last.
    scanned: Instant,
}

impl Schedule {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            last: None,
            steady: false,
            round: 0,
            turns: 0,
            scan_due: false,
            scanned: Instant::now(),
        }
    }

    /// Counts a turn. True if the clock was looked at: the caller looks at it, too.
    pub(super) fn begin_turn(&mut self) -> bool {
        self.turns = self.turns.wrapping_add(1);
        let looks = self.turns.is_multiple_of(TURNS);
        if looks {
            self.scan_due = self.is_scan_overdue();
        }
        looks
    }

    fn is_scan_overdue(&self) -> bool {
        self.scanned.elapsed() >= SLICE
    }

    /// Requests a look at every peer if the last one was a slice ago. True if it was.
    pub(super) fn request_scan(&mut self) -> bool {
        let overdue = self.is_scan_overdue();
        self.scan_due |= overdue;
        overdue
    }

    /// True if others with messages are to be looked for before the next try.
    pub(super) fn is_round_over(&self) -> bool {
        self.round == 0 || self.scan_due
    }

    /// Queues a peer, once.
    pub(super) fn enqueue(&mut self, place: usize, connection: &mut Connection) {
        enqueue(&mut self.queue, place, connection);
    }

    /// Queues a new peer, which is marked as queued.
    pub(super) fn enqueue_new(&mut self, place: usize) {
        self.queue.push_back(place);
    }

    /// If no peer is queued, queues the one of the last message: its next message is seen sooner
    /// than its hint.
    pub(super) fn enqueue_last(&mut self, peers: &mut Peers) {
        if self.queue.is_empty()
            && let Some(place) = self.last
            && let Some(connection) = peers.at(place)
        {
            self.enqueue(place, connection);
        }
    }

    /// The peer to try now. It stays in the queue during the try, which a panic of the caller's
    /// closure may end.
    pub(super) fn front(&self, peers: &mut Peers) -> Option<usize> {
        let place = *self.queue.front()?;
        if let Some(soon) = self.queue.get(1 + PREFETCH)
            && let Some(connection) = peers.at(*soon)
        {
            connection.receiver.prefetch();
        }
        Some(place)
    }

    /// Takes the front out of the queue.
    pub(super) fn pop(&mut self) {
        self.queue.pop_front();
    }

    /// Moves the front to the end.
    pub(super) fn rotate(&mut self, place: usize) {
        self.queue.pop_front();
        self.queue.push_back(place);
    }

    /// The front had a message.
    pub(super) fn note_message(&mut self, place: usize) {
        self.rotate(place);
        self.steady = self.last.replace(place) == Some(place);
        self.round = self.round.saturating_sub(1);
    }

    /// Before a sleep, in which the last peer is not polled: from now on its hint counts like any
    /// other. Collects the hints again if its hint may have been left uncollected; true if a peer
    /// is queued now.
    pub(super) fn forget_last(&mut self, endpoint: &Endpoint, peers: &mut Peers) -> bool {
        let last = self.last.take();
        if !std::mem::take(&mut self.steady)
            || last.and_then(|place| peers.token_at(place)).is_none()
        {
            return false;
        }
        self.refill(endpoint, peers);
        !self.queue.is_empty()
    }

    /// Queues the peers that may have messages: those with a hint, those without hints, and all if
    /// a scan is due.
    pub(super) fn refill(&mut self, endpoint: &Endpoint, peers: &mut Peers) {
        let all = std::mem::take(&mut self.scan_due);
        let queue = &mut self.queue;
        let keep = self.last.filter(|_| self.steady).and_then(|place| peers.token_at(place));
        let hinted = endpoint.raw().ready(keep, &mut |token| {
            if let Some(place) = peers.place_of(token)
                && let Some(connection) = peers.at(place)
            {
                enqueue(queue, place, connection);
            }
        });
        if all {
            self.scanned = Instant::now();
            peers.forget_departed();
        }
        if all || !hinted || !peers.all_hinted() {
            for (place, connection) in peers.iter_mut() {
                if all || !hinted || connection.receiver.token().is_none() {
                    enqueue(queue, place, connection);
                }
            }
        }
        self.round = queue.len().max(ROUND);
    }
}

fn enqueue(queue: &mut VecDeque<usize>, place: usize, connection: &mut Connection) {
    if !std::mem::replace(&mut connection.queued, true) {
        queue.push_back(place);
    }
}
