//! Taking and giving back a queue's two locks.

use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

use anyipc_memory::wake;
use anyipc_ring::robust::{OwnerId, Taken, lock, owner, unlock};

use super::{PeerWakers, QueueClient};
use crate::store::{Checked, Corrupt, Store, state};
use crate::waiters::{KINDS, MESSAGES, ROOM};

/// How long calls that never block try for a lock: longer than a running owner holds it, and than
/// an owner takes to run again on a free core, but well below a millisecond.
pub(super) const BRIEF: Duration = Duration::from_micros(300);

impl<P: PeerWakers> QueueClient<P> {
    /// True if the lock is free; the words that it protects are then consistent. Lets pollers of an
    /// empty or a full queue avoid the lock.
    #[inline]
    pub(super) fn is_free(&self, kind: usize) -> bool {
        self.store.lock(kind).load(Acquire) == 0
    }

    /// Takes the lock of this kind's makers. `None` if a living owner holds it for too long.
    #[inline]
    pub(super) fn enter(&self, kind: usize, timeout: Duration) -> Option<()> {
        if timeout == BRIEF && self.is_stuck(Some(kind)) {
            return None;
        }
        let word = self.store.lock(kind);
        match lock(word, self.owner_id, &self.peers, timeout) {
            Some(Taken::Free) => {}
            Some(Taken::OwnerDied) => self.store.set_state(state::DAMAGED),
            None => {
                self.stuck.set(owner(word).map(|owner| (kind, owner)));
                return None;
            }
        }
        Some(())
    }

    /// True if the lock that was refused last (only of this kind, if one is given) is still held by
    /// the same living owner.
    #[inline]
    pub(super) fn is_stuck(&self, kind: Option<usize>) -> bool {
        self.stuck
            .get()
            .is_some_and(|(of, by)| kind.is_none_or(|kind| kind == of) && self.is_held_by(of, by))
    }

    #[cold]
    fn is_held_by(&self, kind: usize, by: OwnerId) -> bool {
        let held = owner(self.store.lock(kind)) == Some(by) && !self.peers.is_dead(by);
        if !held {
            self.stuck.set(None);
        }
        held
    }

    /// Takes both locks, or none.
    pub(super) fn enter_both(&self, timeout: Duration) -> Option<()> {
        self.enter(MESSAGES, timeout)?;
        let both = self.enter(ROOM, timeout);
        match both {
            Some(()) => self.store.notice(),
            None => unlock(self.store.lock(MESSAGES), &self.peers),
        }
        both
    }

    /// Gives both back after an action that no sleeper waits for.
    pub(super) fn leave_both(&self) {
        KINDS.iter().for_each(|kind| unlock(self.store.lock(*kind), &self.peers));
    }

    /// Gives a lock back, and wakes the next sleeper that a consistent queue has something for.
    #[inline]
    pub(super) fn exit(&mut self, kind: usize, consistent: bool) {
        let awaited = consistent && self.store.has_waiters(kind);
        let sleeper = if awaited { self.store.next_sleeper(kind) } else { None };
        unlock(self.store.lock(kind), &self.peers);
        match sleeper {
            None => {}
            Some(sleeper) if sleeper.on_source => self.peers.wake_source(sleeper.slot),
            Some(sleeper) => wake(self.store.wake_word(sleeper.slot)),
        }
    }

    /// Acts under the lock of this kind's makers. `None` if a living owner holds it for too long.
    ///
    /// An action that finds damage has changed nothing that matters: the queue is repaired, and the
    /// action runs again.
    #[inline(always)]
    pub(super) fn with<T>(
        &mut self,
        kind: usize,
        act: impl FnMut(&Store) -> Checked<T>,
    ) -> Option<Checked<T>> {
        self.with_within(kind, BRIEF, act)
    }

    /// The same, and tries for the locks for this long.
    #[inline(always)]
    pub(super) fn with_within<T>(
        &mut self,
        kind: usize,
        timeout: Duration,
        mut act: impl FnMut(&Store) -> Checked<T>,
    ) -> Option<Checked<T>> {
        let deadline = if timeout == BRIEF { None } else { Instant::now().checked_add(timeout) };
        self.enter(kind, timeout)?;
        let store = &self.store;
        // A stale store takes both locks, under which it notices what the state says.
        let done = if store.is_stale() { Err(Corrupt) } else { act(store) };
        self.exit(kind, done.is_ok());
        if done.is_ok() {
            return Some(done);
        }
        // Each of the two has half of what is left.
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()) / 2);
        self.with_both_within(left.unwrap_or(BRIEF).max(BRIEF), act)
    }

    /// The same under both locks.
    pub(super) fn with_both<T>(
        &mut self,
        act: impl FnMut(&Store) -> Checked<T>,
    ) -> Option<Checked<T>> {
        self.with_both_within(BRIEF, act)
    }

    /// The same, and tries for each of the locks for this long.
    #[cold]
    fn with_both_within<T>(
        &mut self,
        timeout: Duration,
        mut act: impl FnMut(&Store) -> Checked<T>,
    ) -> Option<Checked<T>> {
        self.enter_both(timeout)?;
        let store = &self.store;
        let first = if store.has_state(state::DAMAGED) { Err(Corrupt) } else { act(store) };
        let done = first.or_else(|Corrupt| store.repair().and_then(|()| act(store)));
        KINDS.iter().for_each(|kind| self.exit(*kind, done.is_ok()));
        Some(done)
    }
}
