//! A value that no reader sees torn, and that no kill leaves locked.
//!
//! There are two copies and an index. A writer fills the copy that the index does not name, then
//! moves the index: killed anywhere, it leaves the old value or the new one. Writers exclude each
//! other by a lock that the kernel releases at a death. The index counts the stores, and so is the
//! version of the value.

use std::sync::atomic::{AtomicU64, Ordering::*, fence};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Operation, Result};

use anyipc_memory::{Region, Words};
use anyipc_os::{Fd, try_write_lock, write_unlock};

/// Times that writers may overtake a reader before it makes them wait.
const ATTEMPTS: usize = 32;

/// The offset of the index. It counts the stores, and its lowest bit is the current copy; 0:
/// nothing is stored.
const INDEX: usize = 0;
/// The offsets of both copies' lengths.
const LENGTHS: [usize; 2] = [8, 16];

/// The version of the value in memory with these control words; 0: nothing is stored.
#[inline]
pub(crate) fn version(control: &Region) -> u64 {
    control.u64(INDEX).load(SeqCst)
}

/// A value and its version.
pub(crate) type Versioned = (u64, Vec<u8>);

/// The two copies and their control words.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Snapshot<'a> {
    control: &'a Region,
    copies: Words<'a>,
    capacity: usize,
}

impl<'a> Snapshot<'a> {
    /// A snapshot of values of up to `capacity` bytes, in words for twice as many, each rounded up
    /// to 8.
    pub(crate) fn new(control: &'a Region, copies: Words<'a>, capacity: usize) -> Self {
        Self { control, copies, capacity }
    }

    fn index(&self) -> &AtomicU64 {
        self.control.u64(INDEX)
    }

    /// Where a copy begins, and its length.
    fn copy(&self, index: u64) -> (usize, &AtomicU64) {
        let [even, odd] = LENGTHS;
        if index & 1 == 1 {
            (self.capacity.next_multiple_of(8), self.control.u64(odd))
        } else {
            (0, self.control.u64(even))
        }
    }

    /// Replaces the value. The caller is the only writer.
    fn store(&self, value: &[u8]) {
        // Behind the last number the other copy's smallest one, should anyone have written that.
        let next = self.index().load(Acquire).checked_add(1).unwrap_or(2);
        let (copy, length) = self.copy(next);
        // A reader that sees any of the bytes below also sees that the index has left this copy.
        fence(Release);
        length.store(value.len() as u64, Relaxed);
        // It is no longer than `capacity`, as `store` of `Writers` has checked.
        self.copies.store(copy, value);
        // The wait set of the value asks for a read-modify-write before it looks for waiters.
        self.index().swap(next, SeqCst);
    }

    /// The value; `None` if a writer overtook this reader.
    fn load(&self) -> Option<Result<Option<Versioned>>> {
        let index = self.index().load(Acquire);
        if index == 0 {
            return Some(Ok(None));
        }
        let (copy, length) = self.copy(index);
        let length = length.load(Relaxed);
        let fits = usize::try_from(length).ok().filter(|&l| l <= self.capacity);
        let mut value = Vec::new();
        let full = value.try_reserve_exact(fits.unwrap_or(0)).is_err();
        if let (Some(length), false) = (fits, full) {
            value.resize(length, 0);
            self.copies.load(copy, &mut value);
        }
        fence(Acquire);
        if self.index().load(Relaxed) != index {
            return None;
        }
        let error = |kind, why: String| Some(Err(Error::new(Operation::Block, kind).because(why)));
        match fits {
            None => error(
                ErrorKind::Corrupt,
                format!(
                    "the stored value claims {length} bytes, a value has {} at most",
                    self.capacity
                ),
            ),
            Some(length) if full => {
                error(ErrorKind::OutOfMemory, format!("no memory for {length} bytes"))
            }
            Some(_) => Some(Ok(Some((index, value)))),
        }
    }
}

/// Lets one writer in at a time, across processes and threads.
#[derive(Debug, Default)]
pub(crate) struct Writers(Mutex<()>);

impl Writers {
    /// Replaces the value.
    pub(crate) fn store(
        &self,
        snapshot: Snapshot<'_>,
        fd: &Fd,
        value: &[u8],
        timeout: Duration,
    ) -> Result<()> {
        if value.len() > snapshot.capacity {
            return Err(Error::new(Operation::Block, ErrorKind::MessageTooLarge).because(format!(
                "the value has {} bytes, but this block stores {} at most (half its size, for the \
                 two copies); create it with size={} or more",
                value.len(),
                snapshot.capacity,
                value.len().saturating_mul(2),
            )));
        }
        self.alone(fd, timeout, || snapshot.store(value))
    }

    /// The value, or `None` if nothing is stored yet.
    pub(crate) fn load(
        &self,
        snapshot: Snapshot<'_>,
        fd: &Fd,
        timeout: Duration,
    ) -> Result<Option<Versioned>> {
        for _ in 0..ATTEMPTS {
            if let Some(value) = snapshot.load() {
                return value;
            }
        }
        // Writers are faster than this reader: the lock makes them wait.
        self.alone(fd, timeout, || snapshot.load())?.unwrap_or_else(|| {
            Err(Error::new(Operation::Block, ErrorKind::Corrupt).because(
                "the value changes while its lock is held: a process writes without the lock",
            ))
        })
    }

    fn alone<T>(&self, fd: &Fd, timeout: Duration, act: impl FnOnce() -> T) -> Result<T> {
        let start = Instant::now();
        let mut rounds = 0u32;
        loop {
            // The kernel's lock belongs to the open file, which the threads of this process share.
            let threads = match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            };
            let failed = |e| Error::io(Operation::Block, "taking the writers' lock", e);
            if threads.is_some() && try_write_lock(fd).map_err(failed)? {
                let _lock = WriteLock(fd);
                return Ok(act());
            }
            drop(threads);
            rounds += 1;
            if rounds < 20 {
                std::thread::yield_now();
            } else if start.elapsed() < timeout {
                std::thread::sleep(Duration::from_micros(200));
            } else {
                return Err(Error::new(Operation::Block, ErrorKind::Busy)
                    .because(format!("others have been writing for {timeout:?}")));
            }
        }
    }
}

struct WriteLock<'a>(&'a Fd);

impl Drop for WriteLock<'_> {
    fn drop(&mut self) {
        write_unlock(self.0);
    }
}
