//! One of those who share a queue: takes a lock, does one thing, gives the lock back, and wakes whom that gave
//! something to do. A system call is made only if someone sleeps.
//!
//! Senders and receivers have a lock each, and are in nobody's way on the other side. Who needs both takes the senders'
//! first.

use std::cell::Cell;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

use anyipc_core::{Armed, Error, ErrorKind, Full, Interest, Operation, Result};
use anyipc_memory::{Region, sleep, wake};
use anyipc_ring::robust::{LockBackend, OwnerId, Taken, await_release, lock, owner, unlock};

use crate::layout::{Geometry, chunks_for, hot};
use crate::store::{Corrupt, Sound, Store, state};
use crate::waiters::{KINDS, MESSAGES, ROOM};

/// How long calls that never block try to take a lock: longer than anyone holds it who runs, and than it takes a
/// holder to run again on a core that is free, but well below a millisecond.
const BRIEF: Duration = Duration::from_micros(300);
/// The same for a count, which can do without.
const PATIENCE: Duration = Duration::from_millis(20);
/// The same for a purge, which no wait repeats. Only a process that was stopped holds a lock for longer.
const LONG: Duration = Duration::from_secs(1);
/// How soon a task looks again while a stopped process holds the lock; a thread sleeps on the lock itself.
const SOON: Duration = Duration::from_millis(2);
/// How long a sender waits before it claims the next room.
const CLAIMS_AFTER: Duration = Duration::from_millis(20);
/// How often a lock is looked at that its owner is likely to give back soon, each time after twice as many pauses.
const LOOKS: u32 = 8;
/// A sender sleeps until this part of the queue is free, so that it is not woken for each message.
const CROWD: u32 = 8;

/// The others of a queue: who of them died, and how their tasks are woken.
pub(crate) trait Company: LockBackend {
    /// Wakes the task that holds this seat.
    fn ring(&mut self, seat: u32);
}

/// A store, and our place among those who share it.
#[derive(Debug)]
pub(crate) struct Party<C> {
    store: Store,
    ticket: OwnerId,
    pub(crate) company: C,
    /// What our seat was last armed for.
    armed: Option<usize>,
    /// The value of our wake word to sleep on.
    parked: u32,
    /// How many chunks the last message without room needed.
    wants: u32,
    turn: Turn,
    /// The lock that was refused last, and its owner: it gets no more patience before it has let go once.
    stuck: Cell<Option<(usize, OwnerId)>>,
}

/// How long our message has been without room.
#[derive(Debug, Clone, Copy)]
enum Turn {
    /// It has not been refused.
    Fresh,
    /// It was refused first at this time.
    Since(Instant),
    /// So long that we have claimed the next room.
    Claimed,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is in the queue, or dropped and counted, as `full=` says.
    Done,
    NoRoom,
}

impl<C: Company> Party<C> {
    pub(crate) fn new(store: Store, ticket: OwnerId, company: C) -> Self {
        Self {
            store,
            ticket,
            company,
            armed: None,
            parked: 0,
            wants: 1,
            turn: Turn::Fresh,
            stuck: Cell::new(None),
        }
    }

    /// The memory, for looking at single words without the lock.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many messages there are, and their bytes, at some moment of the call. Takes locks only if someone has one,
    /// or had, or died and left the counts half-changed. Where a stopped process holds one, the message that it was
    /// about to send or to receive is counted or not.
    pub(crate) fn counts(&self, operation: Operation) -> Result<(u32, u64)> {
        let store = &self.store;
        let is_still =
            || self.is_free(MESSAGES) && self.is_free(ROOM) && !store.is_marked(state::DAMAGED);
        if is_still() {
            let tally = store.tally();
            let counts = store.counts();
            if store.tally() == tally && is_still() {
                return Ok(counts);
            }
        }
        if self.is_stuck(None) || self.enter_both(PATIENCE).is_none() {
            // Twice the same: nobody was at it in between.
            let mut seen = store.counts();
            for _ in 0..LOOKS {
                match store.counts() {
                    again if again == seen => break,
                    again => seen = again,
                }
            }
            return Ok(seen);
        }
        let sound = if store.is_marked(state::DAMAGED) { store.repair() } else { Ok(()) };
        let counts = sound.map(|()| store.counts());
        self.leave_both();
        counts.map_err(|Corrupt| corrupt(operation))
    }

    /// Whether there is a message that can be received now, or damage to be told of. False also while a stopped
    /// process holds the receivers' lock.
    pub(crate) fn is_ready(&self) -> bool {
        let store = &self.store;
        let is_there = || !store.is_empty() || store.is_marked(state::DAMAGED);
        if !is_there() || self.is_free(ROOM) {
            return is_there();
        }
        let entered = self.enter(ROOM, BRIEF).is_some();
        let ready = entered && is_there();
        if entered {
            unlock(store.lock(ROOM), &self.company);
        }
        ready
    }

    /// Takes over a seat, whose holder may have died waiting. Its bits are left where the locks cannot be had: they
    /// cost others one wake-up each.
    pub(crate) fn sit_down(&self) {
        if self.enter_both(BRIEF).is_some() {
            self.store.forget_all(self.ticket.slot());
            self.leave_both();
        }
    }

    /// Whether nobody has this lock, alive or dead: what the words that it protects say then is so. Who polls takes no
    /// lock from those who have something to do.
    #[inline]
    fn is_free(&self, kind: usize) -> bool {
        self.store.lock(kind).load(Acquire) == 0
    }

    /// Takes the lock of those who make this. `None` if someone who lives holds it for too long.
    #[inline]
    fn enter(&self, kind: usize, patience: Duration) -> Option<()> {
        if patience == BRIEF && self.is_stuck(Some(kind)) {
            return None;
        }
        let word = self.store.lock(kind);
        match lock(word, self.ticket, &self.company, patience) {
            Some(Taken::Free) => {}
            Some(Taken::OwnerDied) => self.store.mark(state::DAMAGED),
            None => {
                self.stuck.set(owner(word).map(|owner| (kind, owner)));
                return None;
            }
        }
        Some(())
    }

    /// Whether the lock that was refused last, if it is this one, is still held by the same living owner.
    #[inline]
    fn is_stuck(&self, kind: Option<usize>) -> bool {
        self.stuck
            .get()
            .is_some_and(|(of, by)| kind.is_none_or(|kind| kind == of) && self.is_held_by(of, by))
    }

    #[cold]
    fn is_held_by(&self, kind: usize, by: OwnerId) -> bool {
        let is = owner(self.store.lock(kind)) == Some(by) && !self.company.is_dead(by);
        if !is {
            self.stuck.set(None);
        }
        is
    }

    /// Takes both locks, or none.
    fn enter_both(&self, patience: Duration) -> Option<()> {
        self.enter(MESSAGES, patience)?;
        let both = self.enter(ROOM, patience);
        if both.is_none() {
            unlock(self.store.lock(MESSAGES), &self.company);
        }
        both
    }

    /// Gives both back, after nothing that anyone waits for.
    fn leave_both(&self) {
        KINDS.iter().for_each(|kind| unlock(self.store.lock(*kind), &self.company));
    }

    /// Gives a lock back, and wakes whom a sound queue has something for.
    #[inline]
    fn exit(&mut self, kind: usize, sound: bool) {
        let awaited = sound && self.store.anyone_waits(kind);
        let sleeper = if awaited { self.store.next_sleeper(kind) } else { None };
        unlock(self.store.lock(kind), &self.company);
        match sleeper {
            None => {}
            Some(sleeper) if sleeper.task => self.company.ring(sleeper.seat),
            Some(sleeper) => wake(self.store.wake_word(sleeper.seat)),
        }
    }

    /// Does something under the lock of those who make this. `None` if someone who lives holds it for too long.
    ///
    /// What finds the memory damaged has changed nothing that matters: the queue is repaired, and it is done again.
    #[inline(always)]
    fn with<T>(
        &mut self,
        kind: usize,
        mut act: impl FnMut(&Store) -> Sound<T>,
    ) -> Option<Sound<T>> {
        self.enter(kind, BRIEF)?;
        let store = &self.store;
        let done = if store.is_marked(state::DAMAGED) { Err(Corrupt) } else { act(store) };
        self.exit(kind, done.is_ok());
        if done.is_err() { self.with_both(act) } else { Some(done) }
    }

    /// The same under both locks.
    #[cold]
    fn with_both<T>(&mut self, mut act: impl FnMut(&Store) -> Sound<T>) -> Option<Sound<T>> {
        self.enter_both(BRIEF)?;
        let store = &self.store;
        let first = if store.is_marked(state::DAMAGED) { Err(Corrupt) } else { act(store) };
        let done = first.or_else(|Corrupt| store.repair().and_then(|()| act(store)));
        KINDS.iter().for_each(|kind| self.exit(*kind, done.is_ok()));
        Some(done)
    }

    /// Sends one message. The caller has checked priority and length.
    #[inline(always)]
    pub(crate) fn send(&mut self, priority: u32, flags: u8, bytes: &[u8]) -> Result<()> {
        let need = chunks_for(bytes.len());
        if self.store.geometry().full == Full::Block
            && (self.store.has_claim() || !self.has_room(bytes.len()))
        {
            self.wants = need;
            // What was given back before it came to rest is there now.
            if self.is_barred()
                || !self.has_room(bytes.len()) && self.is_at_rest() && !self.has_room(bytes.len())
            {
                return Err(self.refuse());
            }
        }
        let mut sent = self.with(MESSAGES, |store| {
            let room = store.has_room(need)?;
            if room {
                store.push(priority, flags, bytes)?;
            }
            Ok(if room { Sent::Done } else { Sent::NoRoom })
        });
        if sent == Some(Ok(Sent::NoRoom)) {
            sent = self.send_to_full(priority, flags, bytes);
        }
        if self.armed.is_some() {
            self.forget();
        }
        match sent {
            Some(Ok(Sent::Done)) => {
                if !matches!(self.turn, Turn::Fresh) {
                    self.end_turn();
                }
                Ok(())
            }
            Some(Ok(Sent::NoRoom)) if self.store.geometry().full == Full::Error => {
                Err(Error::new(Operation::Send, ErrorKind::Full))
            }
            Some(Err(Corrupt)) => Err(corrupt(Operation::Send)),
            Some(Ok(Sent::NoRoom)) | None => Err(self.refuse()),
        }
    }

    /// Without room, for now.
    fn refuse(&mut self) -> Error {
        if let Turn::Fresh = self.turn {
            self.turn = Turn::Since(Instant::now());
        }
        Error::new(Operation::Send, ErrorKind::WouldBlock)
    }

    /// Whether another sender goes first. The claim of a dead one is taken away.
    #[cold]
    fn is_barred(&self) -> bool {
        match self.store.claimant() {
            None => false,
            Some(claimant) if claimant == self.ticket => false,
            Some(claimant) if self.company.is_dead(claimant) => {
                self.store.release(claimant);
                false
            }
            Some(_) => true,
        }
    }

    /// Claims the next room, or renews the claim, if we have waited for long. The only sender of a channel need not.
    fn claims(&mut self) -> bool {
        let waits = match self.turn {
            Turn::Fresh => false,
            Turn::Since(start) => start.elapsed() >= CLAIMS_AFTER,
            Turn::Claimed => true,
        };
        let claims = waits
            && self.store.geometry().seats > 2
            && !self.is_barred()
            && self.store.claim(self.ticket);
        if claims {
            self.turn = Turn::Claimed;
        }
        claims
    }

    /// After our message is in, or is given up: gives the claim back, and wakes a sender that waited for that.
    #[cold]
    fn end_turn(&mut self) {
        if let Turn::Claimed = std::mem::replace(&mut self.turn, Turn::Fresh) {
            self.store.release(self.ticket);
            let _ = self.with(ROOM, |_| Ok(()));
        }
    }

    /// Under both locks there is room if there can be: nobody, alive or dead, is about to give some back.
    #[cold]
    fn send_to_full(&mut self, priority: u32, flags: u8, bytes: &[u8]) -> Option<Sound<Sent>> {
        let need = chunks_for(bytes.len());
        self.with_both(|store| {
            let full = store.geometry().full;
            if store.has_room(need)? || full == Full::DropOld && store.make_room(need, priority)? {
                store.push(priority, flags, bytes)?;
            } else if matches!(full, Full::Block | Full::Error) {
                return Ok(Sent::NoRoom);
            } else {
                store.count_drop();
            }
            Ok(Sent::Done)
        })
    }

    /// Whether nobody who died holds back room that receivers were about to give: where there are no lists it is given
    /// by the store that takes a message off, else while they have their lock.
    #[cold]
    fn is_at_rest(&self) -> bool {
        let free = |look| {
            (0..1 << look).for_each(|_| std::hint::spin_loop());
            self.is_free(ROOM)
        };
        (!self.store.has_lists() || (0..LOOKS).any(free)) && !self.store.is_marked(state::DAMAGED)
    }

    /// Notes how many chunks the next message needs; false if they are not free.
    pub(crate) fn has_room(&mut self, len: usize) -> bool {
        self.wants = chunks_for(len);
        let known = self.store.free_behind(hot::KNOWN_RETURNED);
        known.is_ok_and(|free| free >= self.wants) || self.store.free() >= self.wants
    }

    /// Receives one message, appending it to the buffer. `None` if there is none; else its priority and its flags.
    #[inline(always)]
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<Option<(u32, u8)>> {
        if self.store.is_empty() && !self.store.is_marked(state::DAMAGED) {
            return Ok(None);
        }
        let received = self.with(ROOM, |store| {
            let Some(found) = store.highest()? else { return Ok(None) };
            store.pop(&found, buffer)?;
            Ok(Some((found.priority, found.flags)))
        });
        if self.armed.is_some() {
            self.forget();
        }
        match received {
            Some(Ok(received)) => Ok(received),
            Some(Err(Corrupt)) => Err(corrupt(Operation::Receive)),
            None => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
        }
    }

    /// Removes all messages, also those that cannot be read any more. Returns how many.
    pub(crate) fn purge(&mut self) -> Result<u64> {
        self.enter_both(LONG).ok_or_else(|| stopped(Operation::Queue))?;
        let purged = self.store.purge();
        KINDS.iter().for_each(|kind| self.exit(*kind, purged.is_ok()));
        purged.map_err(|Corrupt| corrupt(Operation::Queue))
    }

    /// Prepares to sleep until there is a message, or room for the one that was refused last.
    pub(crate) fn arm(&mut self, kind: usize, task: bool, operation: Operation) -> Result<Armed> {
        self.forget();
        if self.is_stuck(None) || self.armed.is_some() {
            return Ok(self.until_released(task));
        }
        let seat = self.ticket.slot();
        let claims = kind == ROOM && self.claims();
        let wants = match kind {
            ROOM if claims => self.wants,
            ROOM => self.wants.max(self.store.geometry().chunks / CROWD),
            _ => 0,
        };
        let needs = self.wants;
        let armed = self.with(kind, |store| {
            if store.has(kind, seat, needs, store.claimant()) {
                return Ok(None);
            }
            Ok(Some(store.await_wake(kind, seat, task, wants)))
        });
        match armed {
            None => Ok(self.until_released(task)),
            Some(Err(Corrupt)) => Err(corrupt(operation)),
            Some(Ok(None)) => Ok(Armed::Ready),
            Some(Ok(Some(value))) => {
                (self.armed, self.parked) = (Some(kind), value);
                Ok(if task { Armed::Source(Interest::Readable) } else { Armed::Park })
            }
        }
    }

    /// How to wait for a lock whose owner was stopped.
    #[cold]
    fn until_released(&self, task: bool) -> Armed {
        if task || self.stuck.get().is_none() { Armed::After(SOON) } else { Armed::Park }
    }

    pub(crate) fn park(&self, timeout: Duration) {
        match self.stuck.take() {
            Some((kind, by)) => {
                let word = self.store.lock(kind);
                await_release(word, by, &self.company, timeout);
                // One that is held still has had its patience. One that was given back meanwhile is tried anew.
                self.stuck.set(owner(word).filter(|owner| *owner == by).map(|by| (kind, by)));
            }
            None => sleep(self.store.wake_word(self.ticket.slot()), self.parked, timeout),
        }
    }

    /// Takes arm and claim back.
    #[cold]
    pub(crate) fn disarm(&mut self) {
        self.end_turn();
        self.forget();
    }

    /// Takes the arm back, and passes a wake-up on that came too late for us, or was for more than we took.
    #[cold]
    fn forget(&mut self) {
        let Some(kind) = self.armed else { return };
        let seat = self.ticket.slot();
        let done = self.with(kind, |store| {
            store.forget(kind, seat);
            Ok(())
        });
        if done.is_some() {
            self.armed = None;
        }
    }

    /// FileNaming the store for good, and wakes whom that concerns.
    pub(crate) fn leave(&mut self, mark: u32) {
        self.store.mark(mark);
        let _ = self.with_both(|_| Ok(()));
    }
}

#[cold]
fn corrupt(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Corrupt).because(
        "its memory holds what no queue holds; a purge empties it and makes it usable again",
    )
}

#[cold]
fn stopped(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Busy)
        .because("a process that was stopped, but lives, holds the queue's lock")
}

/// Puts a queue right that nobody shares at the moment.
pub(crate) fn begin_anew(region: &Region, geometry: Geometry) -> Sound<()> {
    let store = Store::new(region.clone(), geometry);
    for number in 0..geometry.seats {
        store.forget_all(number);
    }
    KINDS.iter().for_each(|kind| store.lock(*kind).store(0, Relaxed));
    store.repair()
}
