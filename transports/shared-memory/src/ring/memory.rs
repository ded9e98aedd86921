use std::sync::Arc;
use std::{io, slice};

use super::{HEADER, LINE, Storage};
use crate::bytes;
use crate::primitive::{AtomicU32, AtomicU64};
use crate::sys::Map;

/// Bytes of a ring's control words. Each stands on its own pair of cache lines: neighbouring lines are
/// prefetched together.
pub(crate) const RING_CONTROL: usize = 512;
const HEAD: usize = 0;
const CONSUMER: usize = 128;
const PRODUCER: usize = 256;
const TAIL: usize = 384;

/// A ring in mapped memory.
#[derive(Debug, Clone)]
pub(crate) struct SharedRing {
    control: *const u8,
    data: *mut u8,
    lines: u64,
    /// Keep the memory behind the pointers.
    _control_map: Arc<Map>,
    data_map: Arc<Map>,
}

// SAFETY: the pointers lead into the mappings that the ring keeps; all shared words are atomics, and payload is
// touched by one side at a time, as the ring's protocol says.
unsafe impl Send for SharedRing {}

impl SharedRing {
    /// The ring whose control words are at `control` and whose array of `capacity` bytes is at `data`.
    /// `None` if that does not lie in the mapping, aligned, or `capacity` is not a power of two of 8 lines
    /// or more.
    pub(crate) fn new(map: &Arc<Map>, control: usize, data: usize, capacity: usize) -> Option<Self> {
        if !control.is_multiple_of(LINE) || !inside(map, control, RING_CONTROL) {
            return None;
        }
        let (data, lines) = array(map, data, capacity)?;
        // SAFETY: the offset was found inside the mapping just now.
        let control = unsafe { map.as_ptr().add(control) };
        Some(Self { control, data, lines, _control_map: Arc::clone(map), data_map: Arc::clone(map) })
    }

    /// The same ring over another array: `capacity` bytes at `data` of `map`, of the same rules.
    pub(crate) fn with_array(&self, map: Arc<Map>, data: usize, capacity: usize) -> Option<Self> {
        let (data, lines) = array(&map, data, capacity)?;
        Some(Self { data, lines, data_map: map, ..self.clone() })
    }

    /// Sees to it that the array has memory. Both its ends lie on pages.
    pub(crate) fn reserve(&self) -> io::Result<()> {
        self.data_map.reserve(self.data as usize - self.data_map.as_ptr() as usize, self.capacity())
    }

    /// Bytes of the array.
    pub(crate) fn capacity(&self) -> usize {
        self.lines as usize * LINE
    }

    #[inline]
    fn cursor(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as in `word`; both offsets are aligned for 64 bits.
        unsafe { &*self.control.add(offset).cast() }
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: all offsets lie inside the control words, aligned; the mapping outlives `self`; the
        // word is only ever used as an atomic.
        unsafe { &*self.control.add(offset).cast() }
    }

    #[inline]
    fn line(&self, position: u64) -> *mut u8 {
        let index = (position & (self.lines - 1)) as usize;
        // SAFETY: `index` is below `lines`, so the line lies in the array.
        unsafe { self.data.add(index * LINE) }
    }

    /// The payload behind a header, cut to the array's end: the callers stay inside it, this makes sure.
    #[inline]
    fn payload(&self, position: u64, len: usize) -> (*mut u8, usize) {
        let room = (self.lines - (position & (self.lines - 1))) as usize * LINE - HEADER;
        // SAFETY: a line is longer than its header.
        (unsafe { self.line(position).add(HEADER) }, len.min(room))
    }
}

fn inside(map: &Map, start: usize, len: usize) -> bool {
    start.checked_add(len).is_some_and(|end| end <= map.len())
}

/// An array's first byte and its lines, if the rules allow it.
fn array(map: &Map, data: usize, capacity: usize) -> Option<(*mut u8, u64)> {
    let sized = capacity.is_power_of_two() && capacity >= 8 * LINE;
    if !sized || !data.is_multiple_of(LINE) || !inside(map, data, capacity) {
        return None;
    }
    // SAFETY: the offset was found inside the mapping just now.
    Some((unsafe { map.as_ptr().add(data) }, (capacity / LINE) as u64))
}

impl Storage for SharedRing {
    #[inline]
    fn lines(&self) -> u64 {
        self.lines
    }

    #[inline]
    fn head(&self) -> &AtomicU64 {
        self.cursor(HEAD)
    }

    #[inline]
    fn tail(&self) -> &AtomicU64 {
        self.cursor(TAIL)
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        self.word(CONSUMER)
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        self.word(PRODUCER)
    }

    #[inline]
    fn header(&self, position: u64) -> &AtomicU64 {
        // SAFETY: the line lies in the array and is aligned for 64 bits; while a record covers the line, the
        // protocol lets nobody use its header word.
        unsafe { &*self.line(position).cast() }
    }

    #[inline]
    fn prefetch(&self, position: u64) {
        bytes::prefetch(self.line(position));
    }

    #[inline]
    fn prepare(&self, position: u64, lines: u64) {
        let start = self.line(position);
        let room = self.lines - (position & (self.lines - 1));
        (0..lines.min(room) as usize)
            .for_each(|line| bytes::prefetch_to_write(start.wrapping_add(line * LINE)));
    }

    #[inline]
    fn write<R>(&self, position: u64, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
        let (start, len) = self.payload(position, len);
        // SAFETY: the bytes lie in the array and are initialised (the memory began as zeros). The consumer
        // has given the lines back and gets them again by the publication that follows, so this process is
        // their only user; a hostile peer can change the bytes, which are plain integers, but nothing else.
        f(unsafe { slice::from_raw_parts_mut(start, len) })
    }

    #[inline]
    fn read<R>(&self, position: u64, len: usize, f: impl FnOnce(&[u8]) -> R) -> R {
        let (start, len) = self.payload(position, len);
        // SAFETY: the bytes lie in the array and were published to us (acquire); the producer does not write
        // them again before our cursor passes them. A hostile peer can: then the bytes, plain integers, are
        // whatever it wrote; callers that do not trust the peer copy them out before they look at them.
        f(unsafe { slice::from_raw_parts(start, len) })
    }
}
