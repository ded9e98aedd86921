//! One of those who share a queue: takes the lock, does one thing, gives the lock back, and wakes whom that gave
//! something to do. A system call is made only if someone sleeps.

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Interest, Operation, Result};
use anyipc_shared_memory::parts::{Ground, Region, Taken, Ticket, lock, sleep, unlock, wake};

use crate::layout::{Full, Geometry, chunks_for};
use crate::store::{Corrupt, Sound, Store, state};
use crate::waiters::{KINDS, ROOM, Sleeper};

/// How long to wait for the lock of someone alive: only one who was stopped holds it for longer.
const PATIENCE: Duration = Duration::from_millis(50);
/// The same for calls that cannot be repeated by who waits.
const LONG: Duration = Duration::from_secs(5);
/// How soon to look again while the lock is held by someone who was stopped.
const SOON: Duration = Duration::from_millis(10);
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

    /// The same, after making sure that no death has left the counts half-changed.
    pub(crate) fn settled(&self, operation: Operation) -> Result<&Store> {
        let store = &self.store;
        if !self.is_idle() {
            self.enter(LONG).ok_or_else(|| stopped(operation))?;
            let sound = if store.is_marked(state::DAMAGED) { store.repair() } else { Ok(()) };
            unlock(store.lock(), &self.company);
            sound.map_err(|Corrupt| corrupt(operation))?;
        }
        Ok(store)
    }

    /// Takes over a seat, whose holder may have died waiting. Also of a damaged queue: else nobody could purge it.
    pub(crate) fn sit_down(&self, operation: Operation) -> Result<()> {
        self.enter(LONG).ok_or_else(|| stopped(operation))?;
        self.store.forget_all(self.ticket.seat());
        unlock(self.store.lock(), &self.company);
        Ok(())
    }

    /// Whether nobody has the lock, alive or dead: what the words say then is so. Who polls takes no lock from those
    /// who have something to do.
    #[inline]
    fn is_idle(&self) -> bool {
        self.store.lock().load(Acquire) == 0 && !self.store.is_marked(state::DAMAGED)
    }

    /// Takes the lock. `None` if someone who lives holds it for too long.
    #[inline]
    fn enter(&self, patience: Duration) -> Option<()> {
        if lock(self.store.lock(), self.ticket, &self.company, patience)? == Taken::OwnerDied {
            self.store.mark(state::DAMAGED);
        }
        Some(())
    }

    /// Does something under the lock. `None` if someone who lives holds it for too long.
    ///
    /// What finds the memory damaged has changed nothing that matters: the queue is repaired, and it is done again.
    #[inline]
    fn locked<T>(&mut self, patience: Duration, mut act: impl FnMut(&Store) -> Sound<T>) -> Option<Sound<T>> {
        self.enter(patience)?;
        let store = &self.store;
        if let Some(kind) = self.armed.take() {
            store.forget(kind, self.ticket.seat());
        }
        let first = if store.is_marked(state::DAMAGED) { Err(Corrupt) } else { act(store) };
        let done = first.or_else(|Corrupt| store.repair().and_then(|()| act(store)));
        self.exit(done.is_ok());
        Some(done)
    }

    /// Gives the lock back, and wakes whom a sound queue has something for.
    #[inline]
    fn exit(&mut self, sound: bool) {
        let store = &self.store;
        let awaited = sound && store.anyone_waits();
        let sleepers = if awaited { KINDS.map(|kind| store.next_sleeper(kind)) } else { [None; 2] };
        unlock(store.lock(), &self.company);
        if awaited {
            sleepers.into_iter().flatten().for_each(|sleeper| self.wake(sleeper));
        }
    }

    #[cold]
    fn wake(&mut self, sleeper: Sleeper) {
        if sleeper.task {
            self.company.ring(sleeper.seat);
        } else {
            wake(self.store.wake_word(sleeper.seat));
        }
    }

    /// Sends one message. The caller has checked priority and length.
    #[inline]
    pub(crate) fn send(&mut self, priority: u32, flags: u8, bytes: &[u8]) -> Result<()> {
        let need = chunks_for(bytes.len());
        if self.store.geometry().full == Full::Block && self.is_idle() && !self.has_room(bytes.len()) {
            return Err(Error::new(Operation::Send, ErrorKind::WouldBlock));
        }
        let sent = self.locked(PATIENCE, |store| {
            if store.free() < need {
                let full = store.geometry().full;
                let room = full == Full::DropOld && store.make_room(need, priority)?;
                if !room && matches!(full, Full::Block | Full::Error) {
                    return Ok(Sent::NoRoom);
                }
                if !room {
                    store.count_drop();
                    return Ok(Sent::Done);
                }
            }
            store.push(priority, flags, bytes)?;
            Ok(Sent::Done)
        });
        match sent {
            Some(Ok(Sent::Done)) => Ok(()),
            Some(Ok(Sent::NoRoom)) if self.store.geometry().full == Full::Error => {
                Err(Error::new(Operation::Send, ErrorKind::Full))
            }
            Some(Ok(Sent::NoRoom)) => {
                self.wants = need;
                Err(Error::new(Operation::Send, ErrorKind::WouldBlock))
            }
            Some(Err(Corrupt)) => Err(corrupt(Operation::Send)),
            None => Err(Error::new(Operation::Send, ErrorKind::WouldBlock)),
        }
    }

    /// Notes how many chunks the next message needs; false if they are not free.
    pub(crate) fn has_room(&mut self, len: usize) -> bool {
        self.wants = chunks_for(len);
        self.store.free() >= self.wants
    }

    /// Receives one message, appending it to the buffer. `None` if there is none; else its priority and its flags.
    #[inline]
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<Option<(u32, u8)>> {
        if self.store.nonempty() == 0 && self.is_idle() {
            return Ok(None);
        }
        let received = self.locked(PATIENCE, |store| {
            let Some(found) = store.highest()? else { return Ok(None) };
            store.pop(&found, buffer)?;
            Ok(Some((found.priority, found.flags)))
        });
        match received {
            Some(Ok(received)) => Ok(received),
            Some(Err(Corrupt)) => Err(corrupt(Operation::Receive)),
            None => Err(Error::new(Operation::Receive, ErrorKind::WouldBlock)),
        }
    }

    /// Removes all messages, also those that cannot be read any more. Returns how many.
    pub(crate) fn purge(&mut self) -> Result<u64> {
        self.enter(LONG).ok_or_else(|| stopped(Operation::Queue))?;
        let purged = self.store.purge();
        self.exit(purged.is_ok());
        purged.map_err(|Corrupt| corrupt(Operation::Queue))
    }

    /// Prepares to sleep until there is a message, or room for the one that was refused last.
    pub(crate) fn arm(&mut self, kind: usize, task: bool, operation: Operation) -> Result<Armed> {
        let seat = self.ticket.seat();
        let wants = self.wants;
        let armed = self.locked(PATIENCE, |store| {
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

    /// Takes the arm back. Taking the lock passes a wake-up on that came too late for us.
    pub(crate) fn disarm(&mut self) {
        if self.armed.is_some() {
            let _ = self.locked(PATIENCE, |_| Ok(()));
        }
    }

    /// Marks the store for good, and wakes whom that concerns.
    pub(crate) fn leave(&mut self, mark: u32) {
        self.store.mark(mark);
        let _ = self.locked(PATIENCE, |_| Ok(()));
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
    store.lock().store(0, Relaxed);
    store.repair()
}
