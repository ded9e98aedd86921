//! Waiting for what others change in a block: its stored value, or a word of it.
//!
//! Two wait sets lie in the control words: one for the stored value, in the cache line of its
//! index, and one for all words. A thread that waits for a word sleeps on the word itself, so other
//! programs may wake it by the system's call. Tasks, and threads where none can sleep on a shared
//! word, wait in the set, whatever their word is.
//!
//! A program of before these sets stores without waking anything: that costs the waiters the rest
//! of a slice, as a writer does that dies before it wakes them.

use std::sync::Arc;
use std::sync::atomic::{Ordering::Acquire, Ordering::SeqCst, fence};
use std::time::Duration;

use anyipc_core::{Armed, Error, ErrorKind, Operation, Result, Source, Wait, Waiter};
use anyipc_memory::{Region, Segment, SetWaiter, WaitPlaces, WaitSet, parks, sleep, wake_most};
use anyipc_ring::wait_set::wake_all;
use anyipc_ring::words::Atomic32;

use crate::snapshot::version;

/// Where the wait set of the stored value lies in the control words.
const VALUE_WAITERS: usize = 32;
/// Where the wait set of all words lies.
const WORD_WAITERS: usize = 64;

/// What waits for changes of a block, and wakes those that do.
#[derive(Debug)]
pub(crate) struct Changes {
    places: Arc<WaitPlaces>,
    value: WaitSet,
    words: WaitSet,
}

impl Changes {
    pub(crate) fn new(memory: &Arc<Segment>) -> Self {
        let control = memory.control();
        Self {
            places: Arc::new(WaitPlaces::new(memory)),
            value: WaitSet::new(&control, VALUE_WAITERS),
            words: WaitSet::new(&control, WORD_WAITERS),
        }
    }

    pub(crate) fn places(&self) -> &Arc<WaitPlaces> {
        &self.places
    }

    /// Wakes all that wait for the stored value, which the caller has replaced by a
    /// read-modify-write of its index.
    #[inline]
    pub(crate) fn wake_for_value(&self) {
        wake_all(&self.value, &*self.places);
    }

    /// Wakes all that wait for a word, which the caller has changed.
    pub(crate) fn wake_for_word(&self, contents: &Region, offset: usize) {
        // The word may have been changed by a plain store: either a poller's look sees that, or the
        // load of the set's flags sees the poller.
        fence(SeqCst);
        wake_most(contents.u32(offset), u32::MAX);
        wake_all(&self.words, &*self.places);
    }

    pub(crate) fn value_waiter(&self, seen: u64) -> ValueWaiter {
        let memory = self.places.memory();
        ValueWaiter {
            waiter: SetWaiter::new(&self.places, self.value.clone()),
            control: memory.control(),
            memory: Arc::clone(memory),
            seen,
        }
    }

    /// `offset` is a multiple of 4 inside the contents.
    pub(crate) fn word_waiter(&self, offset: usize, seen: u32) -> WordWaiter {
        let memory = self.places.memory();
        WordWaiter {
            waiter: SetWaiter::new(&self.places, self.words.clone()),
            contents: memory.region(),
            memory: Arc::clone(memory),
            offset,
            seen,
        }
    }
}

/// Waits for another version of a block's stored value.
#[derive(Debug)]
pub struct ValueWaiter {
    waiter: SetWaiter,
    control: Region,
    memory: Arc<Segment>,
    /// The version that it does not wait for.
    pub seen: u64,
}

impl ValueWaiter {
    /// The name of the block, for the facade's errors.
    #[doc(hidden)]
    pub fn memory_name(&self) -> &str {
        self.memory.name()
    }

    /// The version of the stored value, if it is not [`seen`](Self::seen), which it becomes.
    ///
    /// # Errors
    /// `WouldBlock` if it is the one seen, or nothing is stored; `Removed` if it is so and an
    /// earlier wait found the name removed; `Forked`.
    #[inline]
    pub fn try_wait(&mut self) -> Result<u64> {
        self.seen = self.newer()?;
        Ok(self.seen)
    }

    /// As [`try_wait`](Self::try_wait), but `seen` stays.
    ///
    /// # Errors
    /// Those of `try_wait`.
    #[inline]
    pub fn newer(&self) -> Result<u64> {
        self.memory.check(Operation::Block)?;
        match version(&self.control) {
            version if is_newer(version, self.seen) => Ok(version),
            _ => nothing_new(&self.memory),
        }
    }
}

impl Wait for ValueWaiter {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let (control, seen) = (&self.control, self.seen);
        self.waiter.arm(waiter, Operation::Block, || is_newer(version(control), seen))
    }

    fn park(&mut self, timeout: Duration) {
        self.waiter.park(timeout);
    }

    fn disarm(&mut self) {
        // A change is for all: there is no wake-up to pass on.
        self.waiter.disarm(false);
    }
}

/// Waits for a change of a 32-bit word of a block.
#[derive(Debug)]
pub struct WordWaiter {
    waiter: SetWaiter,
    contents: Region,
    memory: Arc<Segment>,
    /// A multiple of 4 inside the contents.
    offset: usize,
    /// The value that it does not wait for.
    seen: u32,
}

impl WordWaiter {
    /// The name of the block, for the facade's errors.
    #[doc(hidden)]
    pub fn memory_name(&self) -> &str {
        self.memory.name()
    }

    /// The word, if it is not the value that was seen.
    ///
    /// # Errors
    /// `WouldBlock` if it is; `Removed` if it is and an earlier wait found the name removed;
    /// `Forked`.
    pub fn try_wait(&self) -> Result<u32> {
        self.memory.check(Operation::Block)?;
        match word(&self.contents, self.offset) {
            Some(word) if word != self.seen => Ok(word),
            _ => nothing_new(&self.memory),
        }
    }
}

impl Wait for WordWaiter {
    fn source(&self) -> Result<Source> {
        self.waiter.source()
    }

    fn arm(&mut self, waiter: Waiter<'_>) -> Result<Armed> {
        let (contents, offset, seen) = (&self.contents, self.offset, self.seen);
        let is_ready = || word(contents, offset) != Some(seen);
        if !(matches!(waiter, Waiter::Thread) && parks()) {
            return self.waiter.arm(waiter, Operation::Block, is_ready);
        }
        self.memory.check(Operation::Block)?;
        self.memory.insist_named(Operation::Block)?;
        Ok(if is_ready() { Armed::Ready } else { Armed::Park })
    }

    fn park(&mut self, timeout: Duration) {
        if self.memory.check(Operation::Block).is_ok() {
            // The kernel compares the word once more. Only its address is used here: this process
            // accesses the word as a half of an aligned one of 8 bytes.
            sleep(self.contents.u32(self.offset), self.seen, timeout);
        }
    }

    fn disarm(&mut self) {
        self.waiter.disarm(false);
    }
}

/// Any other version: one that another process wrote over must not be the last one seen forever.
pub(crate) fn is_newer(version: u64, seen: u64) -> bool {
    version != 0 && version != seen
}

pub(crate) fn nothing_new<T>(memory: &Segment) -> Result<T> {
    memory.recall_named(Operation::Block)?;
    Err(Error::new(Operation::Block, ErrorKind::WouldBlock))
}

/// The word at an offset, a multiple of 4. `None` outside of the contents.
fn word(contents: &Region, offset: usize) -> Option<u32> {
    Some(Atomic32::new(contents.words().word(offset)?, offset).load(Acquire))
}
