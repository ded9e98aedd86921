//! The model: what a queue should hold.

use std::collections::VecDeque;

use super::{CHUNKS, PRIORITIES};
use crate::hold::is_lease;
use crate::layout::chunks_for;

/// What a queue should hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    /// The messages that can be received, by priority, each with its attempts.
    pub(super) ready: [VecDeque<(Vec<u8>, u32)>; PRIORITIES as usize],
    /// The messages that are held back, by their ends.
    pub(super) held: Vec<Held>,
    /// Messages that had no attempt left.
    pub(super) dead: u64,
}

#[derive(Debug, Clone, Eq)]
pub(super) struct Held {
    pub(super) due: u64,
    /// The holder, as the memory has it.
    pub(super) holder: u32,
    /// The order of the leases.
    pub(super) number: u64,
    pub(super) priority: u32,
    pub(super) message: Vec<u8>,
    pub(super) attempts: u32,
}

impl PartialEq for Held {
    /// But for the number, which a death may skip.
    fn eq(&self, other: &Self) -> bool {
        let all = |held: &Self| (held.due, held.holder, held.priority, held.attempts);
        all(self) == all(other) && self.message == other.message
    }
}

impl Model {
    pub(super) fn used(&self, ready: &[VecDeque<(Vec<u8>, u32)>]) -> u32 {
        let held = self.held.iter().map(|held| &held.message);
        let ready = ready.iter().flatten().map(|(message, _)| message);
        held.chain(ready).map(|message| chunks_for(message.len())).sum()
    }

    pub(super) fn free(&self) -> u32 {
        CHUNKS - self.used(&self.ready)
    }

    /// The messages, wherever they are, in any order.
    pub(super) fn all(&self) -> Vec<(usize, Vec<u8>)> {
        let ready = self.ready.iter().enumerate();
        let ready = ready.flat_map(|(p, list)| list.iter().map(move |(m, _)| (p, m.clone())));
        let held = self.held.iter().map(|held| (held.priority as usize, held.message.clone()));
        let mut all: Vec<_> = ready.chain(held).collect();
        all.sort_unstable();
        all
    }

    /// The messages that can be received.
    pub(super) fn lists(&self) -> Vec<Vec<&[u8]>> {
        self.ready.iter().map(|list| list.iter().map(|(m, _)| &m[..]).collect()).collect()
    }

    pub(super) fn hold(&mut self, held: Held) {
        self.held.push(held);
        self.held.sort_by_key(|held| (held.due, held.number, held.message.clone()));
    }

    /// The held message with this rank among the leased ones.
    pub(super) fn leased(&self, rank: usize) -> Option<usize> {
        let leased = |held: &&Held| is_lease(held.holder);
        let found = self.held.iter().filter(leased).nth(rank)?;
        self.held.iter().position(|held| std::ptr::eq(held, found))
    }

    pub(super) fn come_back(&mut self, now: u64, attempts: u32) {
        let due = self.held.iter().take_while(|held| held.due <= now).count();
        let due: Vec<_> = self.held.drain(..due).collect();
        let (spent, back): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|held| attempts > 0 && held.attempts >= attempts);
        self.dead += spent.len() as u64;
        let (late, again): (Vec<_>, Vec<_>) = back.into_iter().partition(|held| held.attempts == 0);
        for held in late {
            self.ready[held.priority as usize].push_back((held.message, 0));
        }
        for held in again.into_iter().rev() {
            self.ready[held.priority as usize].push_front((held.message, held.attempts));
        }
    }
}
