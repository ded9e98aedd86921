//! Memory of two processes. The only file of this crate with unsafe code.
#![expect(
    unsafe_code,
    reason = "shared memory is mapped, and its bytes are lent by the rules of a ring"
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
    /// The first byte of `len` mapped ones.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it is the only owner of the mapping, and any thread may use a mapping.
unsafe impl Send for Memory {}

impl Memory {
    /// Maps the first `len` bytes of a file that has them and that only the two sides know.
    pub(super) fn map(file: impl AsFd, len: usize) -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: a new mapping at an address that the kernel chooses changes no other memory.
        let start = unsafe { mmap(ptr::null_mut(), len, access, flags, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at null"))?;
        Ok(Self { start, len })
    }

    /// The word at this offset, a multiple of 8.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.len && self.len - offset >= 8);
        // SAFETY: in bounds and aligned (mappings begin on a page), and both processes access
        // these words by atomics only.
        unsafe { self.start.add(offset).cast::<AtomicU64>().as_ref() }
    }

    /// The half word at this offset, a multiple of 8.
    #[inline]
    pub(super) fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(8) && offset < self.len && self.len - offset >= 8);
        // SAFETY: as in `word`.
        unsafe { self.start.add(offset).cast::<AtomicU32>().as_ref() }
    }

    /// Bytes of a message, which belong to the caller's side until it publishes through a word.
    #[inline]
    pub(super) fn bytes(&mut self, offset: usize, len: usize) -> &mut [u8] {
        assert!(offset <= self.len && len <= self.len - offset);
        // SAFETY: in bounds; in this process `&mut self` excludes any other reference. The other
        // process runs the same code: it touches a message only after the message's word was
        // released to it, and not after it gave the slot back.
        unsafe { slice::from_raw_parts_mut(self.start.add(offset).as_ptr(), len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and all references to it have ended. The call
        // fails only for an invalid address.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
