use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::time::Duration;

use anyipc_core::{Error, ErrorKind, Operation, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bytes;
use crate::header::{LPSZ, SNAPSHOT};
use crate::segment::Segment;
use crate::snapshot::{Snapshot, Writers};
use crate::sys::check_generation;

/// A named piece of memory that all its holders see, alive until the last of them closes it.
///
/// The contents start as zeroes and are plain bytes: nothing orders two processes that write the same ones
/// at once, except the atomics and [`store_bytes`](Self::store_bytes). Use a block either as bytes or as
/// the place of one stored value, for both use the same memory.
///
/// A crash of any holder leaves the contents as they are. After a `fork` the child's calls say `Forked`;
/// it opens the name anew to get its own handle. A process of the same user that truncates the file
/// underneath kills the holders with a signal; no one else can reach it.
#[derive(Debug)]
pub struct Block {
    segment: Segment,
    writers: Writers,
    timeout: Duration,
}

impl Block {
    /// `timeout` bounds the wait for another process that is storing.
    pub(crate) fn new(segment: Segment, timeout: Duration) -> Self {
        Self { segment, writers: Writers::default(), timeout }
    }

    /// Detaches; the memory is released whatever the result.
    pub(crate) fn close(self) -> Result<()> {
        self.segment.close()
    }

    /// Bytes of contents, as given when the block was created.
    #[expect(clippy::len_without_is_empty, reason = "a block has 1 byte or more")]
    pub fn len(&self) -> usize {
        self.segment.header().size
    }

    /// The first byte: page-aligned, valid for [`len`](Self::len) bytes until the block is closed, and not
    /// mapped in a forked child. Other processes write there whenever they like: go through atomics or
    /// volatile accesses.
    pub fn as_ptr(&self) -> *mut u8 {
        self.segment.contents()
    }

    /// Copies the bytes at `offset` out.
    ///
    /// # Errors
    /// `OutOfBounds`; `Forked`.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let from = self.range(offset, to.len())?;
        // SAFETY: `range` checked the bounds; everyone goes through atomics (`view` demands that none is
        // writing).
        unsafe { bytes::load(from, to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copies bytes in at `offset`. Not atomic as a whole: a reader may see a part, and so may everyone
    /// after a crash.
    ///
    /// # Errors
    /// `OutOfBounds`: nothing is written; `Forked`.
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<()> {
        let to = self.range(offset, from.len())?;
        // SAFETY: as in `read_at`.
        unsafe { bytes::store(to, from) };
        Ok(())
    }

    /// The atomic at `offset`, a multiple of 4, shared with all holders.
    ///
    /// # Errors
    /// `OutOfBounds`, also for a wrong alignment; `Forked`.
    pub fn atomic_u32(&self, offset: usize) -> Result<&AtomicU32> {
        let at = self.aligned(offset, size_of::<u32>(), align_of::<AtomicU32>())?;
        // SAFETY: in bounds, aligned, and valid as long as the mapping, which `self` keeps.
        Ok(unsafe { AtomicU32::from_ptr(at.cast()) })
    }

    /// The atomic at `offset`, a multiple of 8, shared with all holders.
    ///
    /// # Errors
    /// `OutOfBounds`, also for a wrong alignment; `Forked`.
    pub fn atomic_u64(&self, offset: usize) -> Result<&AtomicU64> {
        let at = self.aligned(offset, size_of::<u64>(), align_of::<AtomicU64>())?;
        // SAFETY: as in `atomic_u32`.
        Ok(unsafe { AtomicU64::from_ptr(at.cast()) })
    }

    /// The bytes from `offset` on, in place: each may change at any time.
    ///
    /// # Errors
    /// `OutOfBounds`; `Forked`.
    pub fn bytes(&self, offset: usize, len: usize) -> Result<&[AtomicU8]> {
        let at = self.range(offset, len)?;
        // SAFETY: in bounds and valid as long as the mapping; `AtomicU8` has the layout of `u8`.
        Ok(unsafe { std::slice::from_raw_parts(at.cast(), len) })
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
    /// While the reference lives no thread of any process may write these bytes, and this process must
    /// not fork into a child that uses it. A type made of atomics may be written through them.
    pub unsafe fn view<T: FromBytes>(&self, offset: usize) -> Result<&T> {
        let at = self.aligned(offset, size_of::<T>(), align_of::<T>())?;
        // SAFETY: in bounds, aligned, any bytes are a `T`, and the caller vouches that they stay.
        Ok(unsafe { &*at.cast() })
    }

    /// `Removed` if the name no longer means this block, looked at once a second at most.
    pub(crate) fn check_named(&self, operation: Operation) -> Result<()> {
        self.segment.check_named(operation)
    }

    /// The longest value that [`store_bytes`](Self::store_bytes) takes: half the block.
    pub fn store_capacity(&self) -> usize {
        self.len() / 2
    }

    /// Replaces the stored value as a whole: every reader, and everyone after a crash at any instant, gets
    /// the old value or the new one. Waits for another writer, at most the address's `timeout`.
    ///
    /// # Errors
    /// `MessageTooLarge` (the message names the size needed); `Busy` if another process keeps writing past
    /// the timeout, for instance because it was stopped; `Removed` (looked at once a second; nothing is
    /// stored then, since whoever opens the name gets another block, or none); `Forked`.
    pub fn store_bytes(&self, value: &[u8]) -> Result<()> {
        self.check()?;
        self.segment.insist_named(Operation::Block)?;
        self.writers.store(self.snapshot(), self.segment.fd(), value, self.timeout)
    }

    /// The stored value, never torn; `None` if there is none yet. Does not block, unless writers overtake
    /// it again and again: then it waits for them like a writer.
    ///
    /// # Errors
    /// `Corrupt` if another process wrote over it; `OutOfMemory`; `Busy`; `Forked`.
    pub fn load_bytes(&self) -> Result<Option<Vec<u8>>> {
        self.check()?;
        self.writers.load(self.snapshot(), self.segment.fd(), self.timeout)
    }

    /// A copy of the text that `alloc_lpsz` stored.
    pub(crate) fn lpsz(&self) -> Result<CString> {
        let error = |kind, why| Err(Error::new(Operation::ReadLpsz, kind).because(why));
        self.check().map_err(|e| e.during(Operation::ReadLpsz))?;
        if self.segment.header().flags & LPSZ == 0 {
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
            Err(_) => error(ErrorKind::Corrupt, "the text has no NUL at its end: someone wrote over it"),
        }
    }

    fn check(&self) -> Result<()> {
        check_generation(self.segment.generation(), Operation::Block)
    }

    fn snapshot(&self) -> Snapshot<'_> {
        let control = self.segment.page().wrapping_add(SNAPSHOT);
        // SAFETY: the control words lie in the header's page and nothing else does there; the contents are
        // mapped in whole pages, so twice half of `len`, each rounded up to 8, fits.
        unsafe { Snapshot::new(control, self.segment.contents(), self.store_capacity()) }
    }

    fn range(&self, offset: usize, len: usize) -> Result<*mut u8> {
        self.check()?;
        if offset.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(Error::new(Operation::Block, ErrorKind::OutOfBounds)
                .because(format!("{len} bytes at offset {offset} of a block of {} bytes", self.len())));
        }
        Ok(self.segment.contents().wrapping_add(offset))
    }

    fn aligned(&self, offset: usize, len: usize, align: usize) -> Result<*mut u8> {
        let at = self.range(offset, len)?;
        if !at.addr().is_multiple_of(align) {
            return Err(Error::new(Operation::Block, ErrorKind::OutOfBounds)
                .because(format!("offset {offset} is no multiple of {align}")));
        }
        Ok(at)
    }
}
