use std::io;
use std::ptr::{self, NonNull};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use anyipc_os::{Fd, NoFork, generation, page_size, register};

/// A shared mapping that a forked child does not have.
#[derive(Debug)]
pub struct Map {
    start: NonNull<u8>,
    len: usize,
    generation: u32,
}

// SAFETY: it is an address range, unmapped only by `Drop`; what lies in it is reached through raw
// pointers by code that says why its accesses may race.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `len` bytes, rounded up to whole pages, for reading and writing.
    pub fn new(fd: &Fd, len: usize) -> io::Result<Self> {
        let page = page_size();
        let len = len
            .checked_next_multiple_of(page)
            .filter(|&l| l > 0 && isize::try_from(l).is_ok())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        register()?;
        let _no_fork = NoFork::new();
        // SAFETY: the kernel chooses the address, so no existing mapping changes.
        let start = unsafe {
            mmap(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let map = Self { start, len, generation: generation() };
        // SAFETY: the range is the mapping made above.
        unsafe { madvise(start.as_ptr().cast(), len, Advice::LinuxDontFork)? };
        Ok(map)
    }

    /// Allocates and maps the pages of a part, so that touching it never raises a signal. Both ends
    /// are multiples of the page size. Fails where the system has no memory left, and on Linux
    /// before 5.14.
    pub fn reserve(&self, start: usize, len: usize) -> io::Result<()> {
        if start.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the range lies in the mapping; what is there already stays as it is.
        let range = unsafe { self.start.as_ptr().add(start) };
        // SAFETY: as above.
        unsafe { madvise(range.cast(), len, Advice::LinuxPopulateWrite)? };
        Ok(())
    }

    /// The first byte; page-aligned. Not mapped in a forked child: check the generation first.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The mapped bytes, a whole number of pages.
    #[expect(clippy::len_without_is_empty, reason = "it has one page or more")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // A child has no such mapping; the range may be another mapping there.
        if self.generation == generation() {
            // SAFETY: the range is ours since `new`, and no borrow outlives `self`.
            let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}
