use std::io;
use std::mem::ManuallyDrop;

use memmap2::MmapRaw;

use super::{generation, map_file, page_size, populate};
use anyipc_os::Fd;

/// A shared mapping that a forked child does not have.
#[derive(Debug)]
pub struct Map {
    /// Unmapped by `Drop` only, and only in `generation`.
    map: ManuallyDrop<MmapRaw>,
    generation: u32,
}

impl Map {
    /// Maps the first `len` bytes, rounded up to whole pages, for reading and writing.
    pub fn new(fd: &Fd, len: usize) -> io::Result<Self> {
        let len = len
            .checked_next_multiple_of(page_size())
            .filter(|&l| l > 0 && isize::try_from(l).is_ok())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { map: ManuallyDrop::new(map_file(fd, len)?), generation: generation() })
    }

    /// Allocates and maps the pages of a part, so that touching it never raises a signal. Both ends
    /// are multiples of the page size. Fails where the system has no memory left, and on Linux
    /// before 5.14.
    pub fn reserve(&self, start: usize, len: usize) -> io::Result<()> {
        if start.checked_add(len).is_none_or(|end| end > self.len()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        populate(&self.map, start, len)
    }

    /// The first byte; page-aligned. Not mapped in a forked child: check the generation first.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.map.as_mut_ptr()
    }

    /// The mapped bytes, a whole number of pages.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "it has one page or more")]
    pub fn len(&self) -> usize {
        self.map.len()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // A child has no such mapping; the range may be another mapping there.
        if self.generation == generation() {
            // SAFETY: it is dropped here only, and not used again. No borrow of the mapped bytes
            // outlives `self`.
            unsafe { ManuallyDrop::drop(&mut self.map) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::anonymous;

    #[test]
    fn a_mapping_has_whole_pages_and_reserves_only_inside() {
        let page = page_size();
        let fd = anonymous(3 * page, page).unwrap();
        for (len, mapped) in [(1, page), (page, page), (page + 1, 2 * page), (3 * page, 3 * page)] {
            let map = Map::new(&fd, len).unwrap();
            assert_eq!(map.len(), mapped, "{len}");
            assert!(map.as_ptr().addr().is_multiple_of(page));
            map.reserve(0, mapped).unwrap();
            for (start, len) in [(0, mapped + page), (mapped, page), (usize::MAX, page)] {
                let error = map.reserve(start, len).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            }
        }
        for len in [0, usize::MAX, isize::MAX as usize] {
            let error = Map::new(&fd, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory, "{len}");
        }
    }

    #[test]
    fn two_mappings_of_one_file_show_the_same_bytes() {
        let fd = anonymous(page_size(), page_size()).unwrap();
        let maps = [Map::new(&fd, 1).unwrap(), Map::new(&fd, 1).unwrap()];
        drop(fd);
        let [a, b] = maps.each_ref().map(|map| {
            // SAFETY: mapped as long as `maps`, aligned, and used as an atomic only.
            unsafe { &*map.as_ptr().cast::<std::sync::atomic::AtomicU32>() }
        });
        a.store(7, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(b.load(std::sync::atomic::Ordering::SeqCst), 7);
    }
}
