//! Memory of two processes. The only file of this crate with unsafe code.
#![expect(
    unsafe_code,
    reason = "shared memory is mapped, and its bytes are lent by the rules of a ring"
)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{MmapOptions, MmapRaw};

/// A mapping of shared memory.
#[derive(Debug)]
pub(super) struct Memory(MmapRaw);

impl Memory {
    /// Maps the first `len` bytes of a file that has them and that only the two sides know.
    pub(super) fn map(file: impl AsFd, len: usize) -> io::Result<Self> {
        MmapOptions::new().len(len).map_raw(file.as_fd().as_raw_fd()).map(Self)
    }

    /// The word at this offset, a multiple of 8.
    #[inline]
    pub(super) fn word(&self, offset: usize) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && offset < self.0.len() && self.0.len() - offset >= 8);
        // SAFETY: in bounds and aligned (mappings begin on a page), and both processes access
        // these words by atomics only.
        unsafe { &*self.0.as_mut_ptr().add(offset).cast() }
    }

    /// The half word at this offset, a multiple of 8.
    #[inline]
    pub(super) fn half(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(8) && offset < self.0.len() && self.0.len() - offset >= 8);
        // SAFETY: as in `word`.
        unsafe { &*self.0.as_mut_ptr().add(offset).cast() }
    }

    /// Bytes of a message, which belong to the caller's side until it publishes through a word.
    #[inline]
    pub(super) fn bytes(&mut self, offset: usize, len: usize) -> &mut [u8] {
        assert!(offset <= self.0.len() && len <= self.0.len() - offset);
        // SAFETY: in bounds; in this process `&mut self` excludes any other reference. The other
        // process runs the same code: it touches a message only after the message's word was
        // released to it, and not after it gave the slot back.
        unsafe { slice::from_raw_parts_mut(self.0.as_mut_ptr().add(offset), len) }
    }
}
