//! Memory of two processes. The one file of the command line with unsafe code.
#![expect(
    unsafe_code,
    reason = "shared memory is mapped, and its bytes are lent out by the rules of a ring"
)]

use std::io;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping of shared memory.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is the only owner of the mapping, which any thread may use.
unsafe impl Send for Memory {}

impl Memory {
    /// Maps the first `len` bytes, which the file has: it is one that only the two sides of a benchmark know.
    pub(super) fn map(file: impl AsFd, len: usize) -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice changes no other memory.
        let start = unsafe { mmap(ptr::null_mut(), len, access, flags, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at null"))?;
        Ok(Self { start, len })
    }

    /// The word at this offset, a multiple of 8.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.len && self.len - offset >= 8);
        // SAFETY: in bounds and aligned (mappings begin on a page); atomics may be shared with anybody.
        unsafe { self.start.add(offset).cast::<AtomicU64>().as_ref() }
    }

    /// The half word at this offset, a multiple of 8.
    #[inline]
    pub(super) fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(8) && offset < self.len && self.len - offset >= 8);
        // SAFETY: as in `word`.
        unsafe { self.start.add(offset).cast::<AtomicU32>().as_ref() }
    }

    /// Bytes that belong to the caller's side until it gives them away through a word.
    #[inline]
    pub(super) fn bytes(&mut self, offset: usize, len: usize) -> &mut [u8] {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: in bounds; in this process `&mut self` forbids any other reference. The other process runs the
        // same code and does not touch a message before its word was released or after the turn went back.
        unsafe { slice::from_raw_parts_mut(self.start.add(offset).as_ptr(), len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this is our mapping, and all references to it have ended with `self`. It fails only for an
        // address that is none.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
