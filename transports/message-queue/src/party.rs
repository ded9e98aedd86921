//! One of those who share a queue: takes a lock, does one thing, gives the lock back, and wakes whom that gave
//! something to do. A system call is made only if someone sleeps.
//!
//! Senders and receivers have a lock each, and are in nobody's way on the other side. Who needs both takes the senders'
//! first.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result};
use anyipc_shared_memory::parts::{Ground, Region, Taken, Ticket, lock, sleep, unlock, wake};

use crate::layout::{Full, Geometry, chunks_for, hot};
use crate::store::{Corrupt, Sound, Store, state};
use crate::waiters::{KINDS, MESSAGES, ROOM};

/// How long to wait for the lock of someone alive: only one who was stopped holds it for longer.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same for calls that cannot be repeated by who waits.
const LONG: Duration = Duration::from_secs(5);
/// How soon to look again while the lock is held by someone who was stopped.
const SOON: Duration = Duration::from_millis(10);
/// How often a lock is looked at that its owner is likely to give back soon, each time after twice as many pauses.
const LOOKS: u32 = 8;
/// A sender sleeps until this part of the queue is free, so that it is not woken for each message.
const CROWD: u32 = 8;

/// The others of a queue: who of them died, and how their tasks are woken.
pub(crate) trait Company: Ground {
    /// Wakes the task that holds this seat.
    fn ring(&mut self, seat: u32);
}

/// A store, and our place among those who share it.
#[derive(Debug)]
pub(crate) struct Party<C> {
    store: Store,
    ticket: Ticket,
    pub(crate) company: C,
    /// What our seat was last armed for.
    armed: Option<usize>,
    /// The value of our wake word to sleep on.
    parked: u32,
    /// How many chunks the last message without room needed.
    wants: u32,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    /// It is in the queue, or dropped and counted, as `full=` says.
    Done,
    NoRoom,
}

impl<C: Company> Party<C> {
    pub(crate) fn new(store: Store, ticket: Ticket, company: C) -> Self {
        Self { store, ticket, company, armed: None, parked: 0, wants: 1 }
    }

    /// The memory, for looking at single words without the lock.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// How many messages there are, and their bytes, at some moment of the call. Takes locks only if someone has one,
    /// or had, or died and left the counts half-changed.
    pub(crate) fn counts(&self, operation: Operation) -> Result<(u32, u64)> {
        let store = &self.store;
        let is_still = || self.is_free(MESSAGES) && self.is_free(ROOM) && !store.is_marked(state::DAMAGED);
        if is_still() {
            let tally = store.tally();
            let counts = store.counts();
            if store.tally() == tally && is_still() {
                return Ok(counts);
            }
        }
        self.enter_both(LONG).ok_or_else(|| stopped(operation))?;
        let sound = if store.is_marked(state::DAMAGED) { store.repair() } else { Ok(()) };
        let counts = sound.map(|()| store.counts());
        self.leave_both();
        counts.map_err(|Corrupt| corrupt(operation))
    }

    /// Takes over a seat, whose holder may have died waiting. Also of a damaged queue: else nobody could purge it.
    pub(crate) fn sit_down(&self, operation: Operation) -> Result<()> {
        self.enter_both(LONG).ok_or_else(|| stopped(operation))?;
        self.store.forget_all(self.ticket.seat());
        self.leave_both();
        Ok(())
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
        if lock(self.store.lock(kind), self.ticket, &self.company, patience)? == Taken::OwnerDied {
            self.store.mark(state::DAMAGED);
        }
        Some(())
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
    fn with<T>(&mut self, kind: usize, mut act: impl FnMut(&Store) -> Sound<T>) -> Option<Sound<T>> {
        self.enter(kind, PATIENCE)?;
        let store = &self.store;
        let done = if store.is_marked(state::DAMAGED) { Err(Corrupt) } else { act(store) };
        self.exit(kind, done.is_ok());
        if done.is_err() { self.with_both(act) } else { Some(done) }
    }

    /// The same under both locks.
    #[cold]
    fn with_both<T>(&mut self, mut act: impl FnMut(&Store) -> Sound<T>) -> Option<Sound<T>> {
        self.enter_both(PATIENCE)?;
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
        if self.store.geometry().full == Full::Block && !self.has_room(bytes.len()) && self.is_at_rest() {
            // What was given back before it came to rest is there now.
            if !self.has_room(bytes.len()) {
                return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
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
            self.disarm();
        }
        match sent {
            Some(Ok(Sent::Done)) => Ok(()),
            Some(Ok(Sent::NoRoom)) if self.store.geometry().full == Full::Error => {
                Err(Error::new(Operation::Send, ErrorKind::Full))
            }
            Some(Err(Corrupt)) => Err(corrupt(Operation::Send)),
            Some(Ok(Sent::NoRoom)) | None => Err(Error::new(Operation::Send, ErrorKind::WouldBlock)),
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
            self.disarm();
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
        self.disarm();
        if self.armed.is_some() {
            return Ok(Armed::After(SOON));
        }
        let seat = self.ticket.seat();
        let wants = self.wants;
        let armed = self.with(kind, |store| {
            if store.has(kind, wants) {
                return Ok(None);
            }
            let wants = if kind == ROOM { wants.max(store.geometry().chunks / CROWD) } else { 0 };
            Ok(Some(store.await_wake(kind, seat, task, wants)))
        });
        match armed {
            None => Ok(Armed::After(SOON)),
            Some(Err(Corrupt)) => Err(corrupt(operation)),
            Some(Ok(None)) => Ok(Armed::Ready),
            Some(Ok(Some(value))) => {
                (self.armed, self.parked) = (Some(kind), value);
                Ok(if task { Armed::Source(Interest::Readable) } else { Armed::Park })
            }
        }
    }

    pub(crate) fn park(&self, timeout: Duration) {
        sleep(self.store.wake_word(self.ticket.seat()), self.parked, timeout);
    }

    /// Takes the arm back, and passes a wake-up on that came too late for us, or was for more than we took.
    #[cold]
    pub(crate) fn disarm(&mut self) {
        let Some(kind) = self.armed else { return };
        let seat = self.ticket.seat();
        let done = self.with(kind, |store| {
            store.forget(kind, seat);
            Ok(())
        });
        if done.is_some() {
            self.armed = None;
        }
    }

    /// Marks the store for good, and wakes whom that concerns.
    pub(crate) fn leave(&mut self, mark: u32) {
        self.store.mark(mark);
        let _ = self.with_both(|_| Ok(()));
    }
}

#[cold]
fn corrupt(operation: Operation) -> Error {
    Error::new(operation, ErrorKind::Corrupt)
        .because("its memory holds what no queue holds; a purge empties it and makes it usable again")
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
