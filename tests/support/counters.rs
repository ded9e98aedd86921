//! Numbers that survive the process that wrote them.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

const BYTES: usize = 4096;

/// Eight counters in a file that several processes map.
pub(crate) struct Counters(*mut AtomicU64);

// SAFETY: the memory holds atomics only.
unsafe impl Send for Counters {}
// SAFETY: as above.
unsafe impl Sync for Counters {}

impl Counters {
    /// Makes the file, all counters zero.
    pub(crate) fn create(path: &Path) -> Self {
        let file = File::create_new(path).unwrap();
        file.set_len(BYTES as u64).unwrap();
        drop(file);
        Self::open(path)
    }

    pub(crate) fn open(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses the place, so no mapping changes.
        let start = unsafe { mmap(std::ptr::null_mut(), BYTES, access, flags, &file, 0) }.unwrap();
        Self(start.cast())
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        assert!(index < 8);
        // SAFETY: the first eight words of the mapping, which lives as long as `self`; used as
        // atomics only.
        unsafe { &*self.0.add(index) }
    }

    pub(crate) fn get(&self, index: usize) -> u64 {
        self.at(index).load(SeqCst)
    }

    pub(crate) fn set(&self, index: usize, value: u64) {
        self.at(index).store(value, SeqCst);
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // SAFETY: mapped by `open`, and nothing borrows it any more.
        let _ = unsafe { munmap(self.0.cast(), BYTES) };
    }
}
