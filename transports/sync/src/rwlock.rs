//! A lock for one writer or many readers, with a value.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | identity: layout, kind, bytes of the value |
//! | 8 | 4 | the writer's word, see `anyipc_ring::rwlock` |
//! | 12 | 4 | the state of what the lock protects |
//! | 16 | 4 | not 0: a waiter starves |
//! | 24 | 32 | the wait set of those that wait for the word |
//! | 64 | 32 | the wait set of the writer that waits for readers to leave |
//! | 128 | 1472 | the readers of each participant |
//! | 1600 | | the value |

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::WaitSet;
use anyipc_ring::mutex::Effort;
use anyipc_ring::robust::{OwnerId, Taken};
use anyipc_ring::rwlock::{
    RwWords, Told, begin_write, clear_poison, end_write, has_readers, leave, pass_to_read, release,
    try_read, try_take,
};
use anyipc_ring::wait_set::wake_one;

use crate::attempt::{Attempt, word_slice};
use crate::lock_word::{WordWaiter, poisoned};
use crate::place::{Identity, Kind, Object, Place, too_small};
use crate::slot_cells::SlotCells;

const DRAIN: usize = 64;
const READERS: usize = 128;
const VALUE: usize = READERS + SlotCells::SIZE;

/// Looks of a writer that does not wait at a reader that is just coming or leaving.
const LOOKS: u32 = 32;

/// A lock for one writer or many readers in shared memory.
#[derive(Debug)]
pub struct RwLock {
    words: Words,
}

#[derive(Debug)]
struct Words {
    object: Object,
    readers: SlotCells,
    /// Where the writer that has the word waits for readers to leave.
    drain: WaitSet,
}

impl RwLock {
    /// The name of the memory that it lies in, for errors.
    pub fn memory_name(&self) -> &str {
        self.words.object.memory_name()
    }

    /// Bytes of an rwlock with a value of this many bytes.
    pub const fn size(len: usize) -> usize {
        VALUE + len.next_multiple_of(8)
    }

    /// The first bytes of a fresh rwlock; its value stands at the given offset.
    pub fn fresh(len: usize) -> ([u8; 8], usize) {
        (identity(len).word().to_ne_bytes(), VALUE)
    }

    /// Finds or makes the rwlock at a place.
    ///
    /// # Errors
    /// See [`Place`]: `OutOfBounds`, `Mismatch`, `Corrupt`, `Forked`.
    pub fn new(place: Place, len: usize) -> Result<Self> {
        let object = place.settle(identity(len), Self::size(len))?;
        let readers = SlotCells::join(&object, READERS).ok_or_else(too_small)?;
        let drain = WaitSet::new(&object.region, DRAIN);
        Ok(Self { words: Words { object, readers, drain } })
    }

    /// Tries to lock as a reader. `None`: a writer has it. `looks`: a dead writer is followed, for
    /// the price of a system call.
    ///
    /// # Errors
    /// `Poisoned`, `Forked`.
    #[inline(always)]
    pub fn try_read(&self, effort: Effort, looks: bool) -> Result<Option<Taken>> {
        self.words.object.check()?;
        match try_read(&self.words, self.own_id(), effort) {
            Some(told) => hear(told).map(Some),
            None if looks && self.take(effort, true) => {
                hear(pass_to_read(&self.words, self.own_id())).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Tries to lock as the writer. `None`: another participant has it. `looks`: the dead are
    /// followed, for the price of a system call each.
    ///
    /// # Errors
    /// `Poisoned`, `Forked`.
    #[inline(always)]
    pub fn try_write(&self, effort: Effort, looks: bool) -> Result<Option<Taken>> {
        self.words.object.check()?;
        if !self.take(effort, looks) {
            return Ok(None);
        }
        if !self.has_readers(false) || looks && self.is_left() {
            return hear(begin_write(&self.words)).map(Some);
        }
        release(&self.words);
        Ok(None)
    }

    /// True if no living reader stays. One that finds the word taken leaves at once.
    #[cold]
    fn is_left(&self) -> bool {
        let is_quick = (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            !self.has_readers(false)
        });
        is_quick || !self.has_readers(true)
    }

    /// Ends a reader's lock.
    #[inline(always)]
    pub fn unlock_read(&self) {
        if self.words.object.check().is_ok() {
            leave(&self.words, self.own_id());
        }
    }

    /// Copies the value in, if there is one, and ends the writer's lock. `is_consistent`: no writer
    /// died before, or what that left was repaired. Otherwise the lock is poisoned.
    #[inline(always)]
    pub fn unlock_write(&self, value: Option<&[u8]>, is_consistent: bool) {
        if self.words.object.check().is_ok() {
            if let Some(value) = value {
                self.words.object.write(VALUE, value);
            }
            end_write(&self.words, is_consistent);
        }
    }

    /// Ends the poisoning.
    ///
    /// # Errors
    /// `Forked`.
    pub fn clear_poison(&self) -> Result<()> {
        self.words.object.check()?;
        clear_poison(&self.words);
        Ok(())
    }

    /// Copies the value out, of the length with which the rwlock was found. The caller has just
    /// taken a lock.
    #[inline(always)]
    pub fn load(&self, value: &mut [u8]) {
        self.words.object.read(VALUE, value);
    }

    /// Copies the value in. The caller has the writer's lock.
    pub fn store(&self, value: &[u8]) {
        if self.words.object.check().is_ok() {
            self.words.object.write(VALUE, value);
        }
    }

    /// A waiter for a reader's lock.
    pub fn reader(&self) -> ReadWaiter<'_> {
        ReadWaiter { lock: self, word: WordWaiter::new(&self.words.object) }
    }

    /// A waiter for the writer's lock.
    pub fn writer(&self) -> WriteWaiter<'_> {
        WriteWaiter {
            lock: self,
            word: WordWaiter::new(&self.words.object),
            has_word: false,
            looks: false,
        }
    }

    #[inline]
    fn own_id(&self) -> OwnerId {
        self.words.object.own_id
    }

    #[inline]
    fn take(&self, effort: Effort, looks: bool) -> bool {
        try_take(&self.words, self.own_id(), effort, looks, &*self.words.object.participants)
    }

    #[inline]
    fn has_readers(&self, looks: bool) -> bool {
        has_readers(&self.words, looks, &*self.words.object.participants)
    }
}

impl RwWords for Words {
    type Readers = SlotCells;

    #[inline]
    fn readers(&self) -> &SlotCells {
        &self.readers
    }
    #[inline]
    fn word(&self) -> &AtomicU32 {
        self.object.word()
    }
    #[inline]
    fn starving(&self) -> &AtomicU32 {
        self.object.starving()
    }
    #[inline]
    fn state(&self) -> &AtomicU32 {
        self.object.state()
    }
    #[inline]
    fn wake_writer(&self) {
        wake_one(&self.drain, &*self.object.participants);
    }
    #[inline]
    fn wake_next(&self) -> bool {
        self.object.wake_next()
    }
}

fn identity(len: usize) -> Identity {
    Identity { kind: Kind::RwLock, number: u32::try_from(len).unwrap_or(u32::MAX) }
}

#[inline]
fn hear(told: Told) -> Result<Taken> {
    match told {
        Told::Locked(taken) => Ok(taken),
        Told::Poisoned => Err(poisoned()),
    }
}

fn would_block() -> Error {
    Error::new(Operation::Lock, ErrorKind::WouldBlock)
}

/// A waiter for a reader's lock.
#[derive(Debug)]
pub struct ReadWaiter<'a> {
    lock: &'a RwLock,
    word: WordWaiter<'a>,
}

impl Attempt for ReadWaiter<'_> {
    type Got = Taken;

    fn attempt(&mut self) -> Result<Taken> {
        let lock = self.lock;
        if self.word.effort == Effort::Fresh {
            return lock.try_read(Effort::Fresh, false)?.ok_or_else(would_block);
        }
        lock.words.object.check()?;
        if !lock.take(self.word.effort, self.word.looks()) {
            return Err(would_block());
        }
        // Before the word is given back: that wakes the next waiter.
        self.word.note_taken();
        hear(pass_to_read(&lock.words, lock.own_id()))
    }

    fn slice(&self) -> Duration {
        word_slice(self.word.since)
    }

    fn memory_name(&self) -> &str {
        self.lock.words.object.memory_name()
    }
}

impl Wait for ReadWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.word.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        self.word.arm(waiter)
    }

    fn park(&mut self, timeout: Duration) {
        self.word.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.word.waiter.disarm(true);
    }
}

/// A waiter for the writer's lock: first for the word, then for readers to leave. Dropped in
/// between, it gives the word back.
#[derive(Debug)]
pub struct WriteWaiter<'a> {
    lock: &'a RwLock,
    word: WordWaiter<'a>,
    has_word: bool,
    /// It has slept while readers were inside: some may be dead.
    looks: bool,
}

impl Attempt for WriteWaiter<'_> {
    type Got = Taken;

    fn attempt(&mut self) -> Result<Taken> {
        let lock = self.lock;
        lock.words.object.check()?;
        if !self.has_word {
            if !lock.take(self.word.effort, self.word.looks()) {
                return Err(would_block());
            }
            self.has_word = true;
            self.word.note_taken();
        }
        if lock.has_readers(self.looks) {
            return Err(would_block());
        }
        self.has_word = false;
        self.word.waiter.disarm(false);
        hear(begin_write(&lock.words))
    }

    fn slice(&self) -> Duration {
        word_slice(self.word.since)
    }

    fn memory_name(&self) -> &str {
        self.lock.words.object.memory_name()
    }
}

impl Wait for WriteWaiter<'_> {
    fn source(&self) -> Result<Source> {
        self.word.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        if !self.has_word {
            return self.word.arm(waiter);
        }
        let lock = self.lock;
        if !std::mem::replace(&mut self.looks, true) {
            self.word.waiter.turn_to(lock.words.drain.clone());
        }
        self.word.waiter.arm(waiter, Operation::Lock, || !lock.has_readers(true))
    }

    fn park(&mut self, timeout: Duration) {
        self.word.waiter.park(timeout.min(self.slice()));
    }

    fn disarm(&mut self) {
        self.word.waiter.disarm(true);
    }
}

impl Drop for WriteWaiter<'_> {
    fn drop(&mut self) {
        if self.has_word && self.lock.words.object.check().is_ok() {
            release(&self.lock.words);
        }
    }
}
