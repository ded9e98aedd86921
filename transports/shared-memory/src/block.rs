use std::ffi::{CStr, CString};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use anyipc_ring::words::Atomic32;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::change::{Changes, ValueWaiter, WordWaiter, is_newer, nothing_new};
use crate::snapshot::{Snapshot, Writers, version};
use anyipc_memory::{Participants, Region, Segment, Words};

/// A named piece of memory that all its holders see, alive until the last of them closes it.
///
/// The contents start as zeroes and are plain bytes: nothing orders two processes that write the
/// same ones at once, except the atomics and [`store_bytes`](Self::store_bytes). Use a block either
/// as bytes or as the place of one stored value, for both use the same memory.
///
/// All calls may access the same bytes at the same time, from any threads and processes: none is
/// undefined, and each changes its own bytes only. All of them access aligned words of 8 bytes,
/// atomically; writing a part of a word is a compare-and-swap of the word. Programs in other
/// languages may use any atomic of the processor.
///
/// A crash of any holder leaves the contents as they are. After a `fork` the child's calls return
/// `Forked`; it opens the name anew to get its own handle. A process of the same user that
/// truncates the file kills the holders with a signal; other users cannot reach the file.
pub struct Block {
    contents: Region,
    control: Region,
    segment: Arc<Segment>,
    changes: Changes,
    /// Joined when something in the block is first locked.
    participants: OnceLock<Arc<Participants>>,
    writers: Writers,
    timeout: Duration,
}

impl Block {
    /// `timeout` bounds the wait for another process that is storing.
    pub(crate) fn new(segment: Segment, timeout: Duration) -> Self {
        let (contents, control) = (segment.region(), segment.control());
        let segment = Arc::new(segment);
        Self {
            contents,
            control,
            changes: Changes::new(&segment),
            segment,
            participants: OnceLock::new(),
            writers: Writers::default(),
            timeout,
        }
    }

    /// Detaches. The memory is released in any case, also on an error.
    pub(crate) fn close(self) -> Result<()> {
        let Self { contents, control, segment, changes, participants, .. } = self;
        // Unmapped before the lock goes.
        drop((contents, control, changes, participants));
        match Arc::try_unwrap(segment) {
            Ok(segment) => segment.close(),
            // A lock in the block, or one that watches it, holds it.
            Err(segment) => segment.check(Operation::Close),
        }
    }

    /// This handle as one that locks and waits in the block. For `anyipc-sync`.
    ///
    /// # Errors
    /// `OutOfMemory` if there are [`MAX_PARTICIPANTS`](anyipc_memory::MAX_PARTICIPANTS); `Forked`.
    #[doc(hidden)]
    pub fn participants(&self) -> Result<&Arc<Participants>> {
        if self.participants.get().is_none() {
            // Another thread may be faster; then this one's leaves again.
            let _ = self
                .participants
                .set(Arc::new(Participants::join(self.changes.places(), Operation::Block)?));
        }
        self.participants.get().ok_or(Error::new(Operation::Block, ErrorKind::Io))
    }

    /// The name, as its address has it. For the facade's errors.
    #[doc(hidden)]
    pub fn name(&self) -> &str {
        self.segment.name()
    }

    /// Bytes of contents, as given when the block was created.
    #[expect(clippy::len_without_is_empty, reason = "a block has 1 byte or more")]
    pub fn len(&self) -> usize {
        self.segment.len()
    }

    /// The first byte: page-aligned, valid for [`len`](Self::len) bytes until the block is closed,
    /// and not mapped in a forked child. Other processes write there at any time: an access that
    /// may race with other calls must go through an [`AtomicU64`] at a multiple of 8, as theirs do.
    pub fn as_ptr(&self) -> *mut u8 {
        self.segment.as_ptr()
    }

    /// Copies the bytes at `offset` out.
    ///
    /// # Errors
    /// `OutOfBounds`; `Forked`.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        self.check_range(offset, to.len())?;
        if self.words().load(offset, to) { Ok(()) } else { Err(self.outside(offset, to.len())) }
    }

    /// Copies bytes in at `offset`. Not atomic as a whole: a reader may see a part, also after a
    /// crash.
    ///
    /// # Errors
    /// `OutOfBounds`: nothing is written; `Forked`.
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<()> {
        self.check_range(offset, from.len())?;
        if self.words().store(offset, from) {
            Ok(())
        } else {
            Err(self.outside(offset, from.len()))
        }
    }

    /// The atomic at `offset`, a multiple of 4, shared with all holders.
    ///
    /// # Errors
    /// `OutOfBounds`, also for a wrong alignment; `Forked`.
    pub fn atomic_u32(&self, offset: usize) -> Result<Atomic32<'_>> {
        self.check_aligned(offset, size_of::<u32>(), size_of::<u32>())?;
        let word =
            self.words().word(offset).ok_or_else(|| self.outside(offset, size_of::<u32>()))?;
        Ok(Atomic32::new(word, offset))
    }

    /// The atomic at `offset`, a multiple of 8, shared with all holders.
    ///
    /// # Errors
    /// `OutOfBounds`, also for a wrong alignment; `Forked`.
    pub fn atomic_u64(&self, offset: usize) -> Result<&AtomicU64> {
        self.check_aligned(offset, size_of::<u64>(), size_of::<u64>())?;
        self.words().word(offset).ok_or_else(|| self.outside(offset, size_of::<u64>()))
    }

    /// Copies a value out of the bytes at `offset`, of any alignment. Not atomic: see
    /// [`load_bytes`](Self::load_bytes) for that.
    ///
    /// # Errors
    /// `OutOfBounds`; `Forked`.
    pub fn get<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        let mut value = T::new_zeroed();
        self.read_at(offset, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a value into the bytes at `offset`, of any alignment. Not atomic: see
    /// [`store_bytes`](Self::store_bytes) for that.
    ///
    /// # Errors
    /// `OutOfBounds`: nothing is written; `Forked`.
    pub fn put<T: IntoBytes + Immutable>(&self, offset: usize, value: &T) -> Result<()> {
        self.write_at(offset, value.as_bytes())
    }

    /// The value at `offset`, in place.
    ///
    /// # Errors
    /// `OutOfBounds`, also for a wrong alignment; `Forked`.
    ///
    /// # Safety
    /// While the reference lives no thread of any process may write these bytes, and this
    /// process must not fork into a child that uses it. A type made of atomics may be written
    /// through them; where they race with other calls of this process they must be [`AtomicU64`]s.
    pub unsafe fn view<T: FromBytes>(&self, offset: usize) -> Result<&T> {
        self.check_aligned(offset, size_of::<T>(), align_of::<T>())?;
        let at = self.segment.as_ptr().wrapping_add(offset);
        // SAFETY: in bounds, aligned, any bytes are a `T`, and the caller vouches that they stay.
        Ok(unsafe { &*at.cast() })
    }

    /// `Removed` if the name no longer stands for this block, checked once a second at most.
    pub(crate) fn check_named(&self, operation: Operation) -> Result<()> {
        self.segment.check_named(operation)
    }

    /// The longest value that [`store_bytes`](Self::store_bytes) takes: half the block.
    pub fn store_capacity(&self) -> usize {
        self.len() / 2
    }

    /// Replaces the stored value as a whole: every reader, also after a crash at any instant, gets
    /// the old value or the new one. Waits for another writer, at most the address's `timeout`.
    ///
    /// # Errors
    /// `MessageTooLarge` (the message names the size needed); `Busy` if another process
    /// keeps writing past the timeout, for instance because it was stopped; `Removed` (checked once
    /// a second; nothing is stored then, since the name leads to another block, or to none);
    /// `Forked`.
    pub fn store_bytes(&self, value: &[u8]) -> Result<()> {
        self.check()?;
        self.segment.insist_named(Operation::Block)?;
        self.writers.store(self.snapshot(), self.segment.fd(), value, self.timeout)?;
        self.changes.wake_for_value();
        Ok(())
    }

    /// The stored value, never torn; `None` if there is none yet. Does not block, unless writers
    /// overtake it again and again: then it waits for them like a writer.
    ///
    /// # Errors
    /// `Corrupt` if another process wrote over it; `OutOfMemory`; `Busy`; `Forked`.
    pub fn load_bytes(&self) -> Result<Option<Vec<u8>>> {
        Ok(self.load_versioned()?.map(|(_, value)| value))
    }

    /// The version of the stored value: the number of times one was stored, 0 before the first.
    ///
    /// # Errors
    /// `Forked`.
    pub fn version(&self) -> Result<u64> {
        self.check()?;
        Ok(version(&self.control))
    }

    /// The stored value, if its version is not `seen`, which becomes its version. Starts with 0 for
    /// the first value. Values that were replaced in between are skipped. Waits for nothing, or as
    /// [`load_bytes`](Self::load_bytes) does.
    ///
    /// Any other version counts as newer, so that a number which another process wrote over is not
    /// waited for forever.
    ///
    /// # Errors
    /// `WouldBlock` if the version is `seen` or nothing is stored; `Removed` if it is so and a wait
    /// found the name removed; those of `load_bytes`, after which `seen` is as before.
    pub fn try_load_newer_bytes(&self, seen: &mut u64) -> Result<Vec<u8>> {
        if is_newer(self.version()?, *seen)
            && let Some((version, value)) = self.load_versioned()?
            && is_newer(version, *seen)
        {
            *seen = version;
            return Ok(value);
        }
        nothing_new(&self.segment)
    }

    fn load_versioned(&self) -> Result<Option<(u64, Vec<u8>)>> {
        self.check()?;
        self.writers.load(self.snapshot(), self.segment.fd(), self.timeout)
    }

    /// A waiter for a version that is not `seen`. For the facade.
    #[doc(hidden)]
    pub fn value_waiter(&self, seen: u64) -> ValueWaiter {
        self.changes.value_waiter(seen)
    }

    /// Wakes all that wait for the 32-bit word at `offset`, in any process. The caller has changed
    /// it, by any call. One system call, whether anything waits or not. A process that dies after
    /// the change and before this costs those that wait 100 ms at most.
    ///
    /// Other programs may sleep on the word by the system's call, such as `futex(2)` without
    /// `FUTEX_PRIVATE_FLAG`, and are woken, too.
    ///
    /// # Errors
    /// `OutOfBounds`, also if `offset` is no multiple of 4; `Forked`.
    pub fn wake_u32(&self, offset: usize) -> Result<()> {
        self.check_aligned(offset, size_of::<u32>(), size_of::<u32>())?;
        self.changes.wake_for_word(&self.contents, offset);
        Ok(())
    }

    /// A waiter for a value that is not `seen` in the 32-bit word at `offset`. For the facade.
    ///
    /// # Errors
    /// `OutOfBounds`, also if `offset` is no multiple of 4; `Forked`.
    #[doc(hidden)]
    pub fn word_waiter(&self, offset: usize, seen: u32) -> Result<WordWaiter> {
        self.check_aligned(offset, size_of::<u32>(), size_of::<u32>())?;
        Ok(self.changes.word_waiter(offset, seen))
    }

    /// A copy of the text that `alloc_lpsz` stored.
    pub(crate) fn lpsz(&self) -> Result<CString> {
        let error = |kind, why| Err(Error::new(Operation::ReadLpsz, kind).because(why));
        self.check().map_err(|e| e.during(Operation::ReadLpsz))?;
        if !self.segment.is_lpsz() {
            return error(ErrorKind::Mismatch, "the block was not made by alloc_lpsz");
        }
        let mut text = Vec::new();
        if text.try_reserve_exact(self.len()).is_err() {
            return error(ErrorKind::OutOfMemory, "no memory for a copy of the text");
        }
        text.resize(self.len(), 0);
        self.read_at(0, &mut text)?;
        match CStr::from_bytes_until_nul(&text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => {
                error(ErrorKind::Corrupt, "the text has no NUL at its end: it was overwritten")
            }
        }
    }

    fn check(&self) -> Result<()> {
        self.segment.check(Operation::Block)
    }

    fn snapshot(&self) -> Snapshot<'_> {
        // Twice half of `len`, each rounded up to 8, is no more than `len` rounded up to 16.
        Snapshot::new(&self.control, self.words(), self.store_capacity())
    }

    /// The contents, and the rest of their last page.
    fn words(&self) -> Words<'_> {
        self.contents.words()
    }

    fn outside(&self, offset: usize, len: usize) -> Error {
        Error::new(Operation::Block, ErrorKind::OutOfBounds)
            .because(format!("{len} bytes at offset {offset} of a block of {} bytes", self.len()))
    }

    fn check_range(&self, offset: usize, len: usize) -> Result<()> {
        self.check()?;
        match offset.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(self.outside(offset, len)),
        }
    }

    fn check_aligned(&self, offset: usize, len: usize, align: usize) -> Result<()> {
        self.check_range(offset, len)?;
        if self.segment.as_ptr().wrapping_add(offset).addr().is_multiple_of(align) {
            return Ok(());
        }
        Err(Error::new(Operation::Block, ErrorKind::OutOfBounds)
            .because(format!("offset {offset} is no multiple of {align}")))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes)", self.len())
    }
}
