use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use crate::bytes;
use crate::header::{CONTROL, CONTROL_LEN};
use crate::sys::{self, Map};
use crate::words::Words;

/// A range of mapped memory that other processes write at the same time. Every access is atomic and
/// stays inside for every offset: a wrong offset reaches a wrong place inside, never one outside.
///
/// Not mapped in a forked child: check the generation before any access.
#[derive(Debug, Clone)]
pub struct Region {
    map: Arc<Map>,
    /// In the mapping, aligned to 8 bytes. Kept, so that no access goes by way of the mapping.
    start: NonNull<u8>,
    /// Bytes of the mapping from `start` on that belong to it: a multiple of 8, and not 0.
    len: usize,
}

// SAFETY: `start` is an address in `map`, which is `Send` and `Sync`; what lies there is reached by
// atomic accesses only.
unsafe impl Send for Region {}
// SAFETY: as for `Send`.
unsafe impl Sync for Region {}

impl Region {
    /// The header's page of a segment.
    pub(crate) fn header(map: &Arc<Map>) -> Self {
        Self::within(Arc::clone(map), 0, sys::page_size())
    }

    /// The control words of a segment's users.
    pub(crate) fn control(map: &Arc<Map>) -> Self {
        Self::within(Arc::clone(map), CONTROL, CONTROL_LEN)
    }

    /// The contents of a segment: all behind the header's page.
    pub(crate) fn contents(map: &Arc<Map>) -> Self {
        let page = sys::page_size();
        // A segment has a page of contents or more.
        Self::within(Arc::clone(map), page, map.len() - page)
    }

    /// All of a mapping.
    pub fn whole(map: Map) -> Self {
        let len = map.len();
        Self::within(Arc::new(map), 0, len)
    }

    /// These bytes of a mapping, which has them.
    fn within(map: Arc<Map>, start: usize, len: usize) -> Self {
        assert!(start <= map.len() && len <= map.len() - start, "outside of the mapping");
        // SAFETY: inside the mapping, as was just checked, and a mapping does not begin at null.
        let start = unsafe { NonNull::new_unchecked(map.as_ptr().add(start)) };
        Self { map, start, len }
    }

    /// A part. `None` if it does not lie inside, or its start or length is no multiple of 8, or it
    /// is empty.
    pub fn part(&self, start: usize, len: usize) -> Option<Self> {
        let inside = start.checked_add(len).is_some_and(|end| end <= self.len);
        let aligned = start.is_multiple_of(8) && len.is_multiple_of(8) && len > 0;
        (inside && aligned).then(|| Self {
            map: Arc::clone(&self.map),
            // SAFETY: inside this part of the mapping.
            start: unsafe { self.start.add(start) },
            len,
        })
    }

    /// The cache line at an offset, a multiple of 8. `None` if it does not lie inside.
    pub fn line(&self, at: usize) -> Option<Line> {
        self.part(at, LINE).map(Line)
    }

    /// The mapping that it lies in.
    pub fn map(&self) -> &Arc<Map> {
        &self.map
    }

    /// Bytes of it.
    #[expect(clippy::len_without_is_empty, reason = "it has 8 bytes or more")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The atomic at an offset, a multiple of 4.
    #[inline]
    pub fn u32(&self, at: usize) -> &AtomicU32 {
        let at = if at <= self.len - 4 { at & !3 } else { 0 };
        // SAFETY: four bytes inside the range, aligned, mapped as long as `self`, and used as
        // atomics only.
        unsafe { &*self.start.as_ptr().add(at).cast() }
    }

    /// The atomic at an offset, a multiple of 8.
    #[inline]
    pub fn u64(&self, at: usize) -> &AtomicU64 {
        let at = if at <= self.len - 8 { at & !7 } else { 0 };
        // SAFETY: as in `u32`, with eight bytes.
        unsafe { &*self.start.as_ptr().add(at).cast() }
    }

    /// All of it as aligned words, for users that access the same bytes in any order and at any
    /// width.
    #[inline]
    pub fn words(&self) -> Words<'_> {
        let count = self.len / size_of::<AtomicU64>();
        // SAFETY: as in `u32`: `count` aligned words inside the range.
        Words::new(unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), count) })
    }

    /// Prefetches the cache line at an offset; reads nothing.
    #[inline]
    pub fn prefetch(&self, at: usize) {
        bytes::prefetch(self.start.as_ptr().wrapping_add(at));
    }

    /// As [`prefetch`](Self::prefetch), to be written: other processors give the line up.
    #[inline]
    pub fn prefetch_to_write(&self, at: usize) {
        bytes::prefetch_to_write(self.start.as_ptr().wrapping_add(at));
    }

    /// Copies bytes in. False, and nothing happens, if they do not fit.
    #[inline]
    pub fn store(&self, at: usize, from: &[u8]) -> bool {
        let fits = at.checked_add(from.len()).is_some_and(|end| end <= self.len);
        if fits {
            // SAFETY: inside the range, which is mapped as long as `self` and used as atomics only.
            unsafe { bytes::store(self.start.as_ptr().add(at), from) };
        }
        fits
    }

    /// Copies bytes out. False, and nothing happens, if there are fewer.
    #[inline]
    pub fn load(&self, at: usize, to: &mut [u8]) -> bool {
        let fits = at.checked_add(to.len()).is_some_and(|end| end <= self.len);
        if fits {
            // SAFETY: as in `store`.
            unsafe { bytes::load(self.start.as_ptr().add(at), to.as_mut_ptr(), to.len()) };
        }
        fits
    }

    /// Appends `len` bytes to `to`. False, and nothing happens, if there are fewer.
    #[inline]
    pub fn append(&self, at: usize, len: usize, to: &mut Vec<u8>) -> bool {
        let fits = at.checked_add(len).is_some_and(|end| end <= self.len);
        if fits {
            to.reserve(len);
            let spare = to.spare_capacity_mut().as_mut_ptr();
            // SAFETY: as in `store`; there is room for all of them, which are initialised then.
            unsafe {
                bytes::load(self.start.as_ptr().add(at), spare.cast(), len);
                to.set_len(to.len() + len);
            }
        }
        fits
    }
}

/// Bytes of a [`Line`].
const LINE: usize = 64;

/// A cache line of a [`Region`], for words at offsets that the compiler knows: no access checks
/// where it goes.
#[derive(Debug, Clone)]
pub struct Line(Region);

impl Line {
    /// The atomic at an offset, a multiple of 4 below 64.
    #[inline(always)]
    pub fn u32<const AT: usize>(&self) -> &AtomicU32 {
        const { assert!(AT.is_multiple_of(4) && AT < LINE) };
        // SAFETY: as for a region; this one has `LINE` bytes.
        unsafe { &*self.0.start.as_ptr().add(AT).cast() }
    }

    /// The atomic at an offset, a multiple of 8 below 64.
    #[inline(always)]
    pub fn u64<const AT: usize>(&self) -> &AtomicU64 {
        const { assert!(AT.is_multiple_of(8) && AT < LINE) };
        // SAFETY: as in `u32`.
        unsafe { &*self.0.start.as_ptr().add(AT).cast() }
    }
}

/// The memory of a channel, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    /// All of it: whole pages.
    pub len: usize,
    /// Bytes from the start that are reserved when it is made. A side that uses more reserves it
    /// first.
    pub reserved: usize,
}

impl Extent {
    /// `len` bytes, rounded up to whole pages, all reserved. More than there can be stay too many
    /// to be mapped.
    pub fn whole(len: usize) -> Self {
        let page = sys::page_size();
        let len = len.div_ceil(page).saturating_mul(page);
        Self { len, reserved: len }
    }
}

/// Sleeps while `word` is `expected`: until a wake, a signal, a difference or the timeout. The word
/// lies in memory that processes share.
///
/// Where a thread does not [`park`](crate::parks) this looks at the word after pauses of 50 µs to
/// 1 ms, and no wake shortens them: good enough for a contended lock, which its owner holds for
/// microseconds, and not for a message.
pub fn sleep(word: &AtomicU32, expected: u32, timeout: Duration) {
    sys::futex_wait(word, expected, timeout);
}

/// Wakes one sleeper on `word`, in any process. Nothing where no thread [`parks`](crate::parks).
pub fn wake(word: &AtomicU32) {
    sys::futex_wake(word, 1);
}

/// As [`wake`], for at most `most` sleepers. Returns how many it woke, as far as the system says:
/// 0 exactly if none slept.
pub fn wake_most(word: &AtomicU32, most: u32) -> u32 {
    sys::futex_wake(word, most)
}
