use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::{io, slice};

use anyipc_memory::{Map, bytes};
use anyipc_ring::{BLOCK, HEADER, LINE, Storage};

/// Bytes of a ring's control words. Each has a pair of cache lines to itself: neighbouring lines
/// are prefetched together.
pub(crate) const RING_CONTROL: usize = 512;
const HEAD: usize = 0;
const CONSUMER_STATE: usize = 128;
const PRODUCER_STATE: usize = 256;
const TAIL_HINT: usize = 384;

/// A ring in mapped memory.
#[derive(Debug, Clone)]
pub(crate) struct SharedRing {
    /// The control words, in `_control_map`.
    control: *const u8,
    /// The array, in `data_map`.
    data: *mut u8,
    /// Bytes of the array less those of a line: masks a byte position to the offset of its line.
    mask: usize,
    _control_map: Arc<Map>,
    data_map: Arc<Map>,
}

// SAFETY: the pointers lead into the mappings that the ring keeps; all shared words are atomics,
// and payload is accessed by one side at a time, as the ring's protocol says.
unsafe impl Send for SharedRing {}

impl SharedRing {
    /// The ring with its control words at `control` and its array of `capacity` bytes at `data`.
    /// `None` if these are not aligned or reach beyond the mapping, or if `capacity` is not a power
    /// of two of at least 8 lines.
    pub(crate) fn new(
        map: &Arc<Map>,
        control: usize,
        data: usize,
        capacity: usize,
    ) -> Option<Self> {
        if !control.is_multiple_of(LINE) || !inside(map, control, RING_CONTROL) {
            return None;
        }
        let (data, mask) = array(map, data, capacity)?;
        // SAFETY: the offset was found inside the mapping just now.
        let control = unsafe { map.as_ptr().add(control) };
        Some(Self { control, data, mask, _control_map: Arc::clone(map), data_map: Arc::clone(map) })
    }

    /// The same ring over another array: `capacity` bytes at `data` of `map`, by the same rules.
    pub(crate) fn with_array(&self, map: Arc<Map>, data: usize, capacity: usize) -> Option<Self> {
        let (data, mask) = array(&map, data, capacity)?;
        Some(Self { data, mask, data_map: map, ..self.clone() })
    }

    /// Makes the system provide the array's memory. Both its ends lie on pages.
    pub(crate) fn reserve(&self) -> io::Result<()> {
        self.data_map.reserve(self.data as usize - self.data_map.as_ptr() as usize, self.capacity())
    }

    /// Bytes of the array.
    pub(crate) fn capacity(&self) -> usize {
        self.mask + LINE
    }

    #[inline]
    fn cursor(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as in `word`; the offsets are aligned for 64 bits.
        unsafe { &*self.control.add(offset).cast() }
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: all offsets are aligned and inside the control words; the mapping outlives
        // `self`; the word is only used as an atomic.
        unsafe { &*self.control.add(offset).cast() }
    }

    /// The offset of a line.
    #[inline]
    fn offset(&self, position: u64) -> usize {
        (position as usize).wrapping_mul(LINE) & self.mask
    }

    #[inline]
    fn line(&self, position: u64) -> *mut u8 {
        // SAFETY: a masked offset is in the array.
        unsafe { self.data.add(self.offset(position)) }
    }

    /// The `len` bytes behind a header, if they lie in the array.
    #[inline]
    fn payload(&self, position: u64, len: usize) -> Option<*mut u8> {
        let (start, room) = self.room(position);
        (len <= room).then_some(start)
    }

    /// The first byte behind a header, and how many bytes there are up to the array's end.
    #[inline]
    fn room(&self, position: u64) -> (*mut u8, usize) {
        let offset = self.offset(position);
        // SAFETY: the header is followed by more bytes of its line.
        (unsafe { self.data.add(offset + HEADER) }, self.mask - offset + (LINE - HEADER))
    }
}

fn inside(map: &Map, start: usize, len: usize) -> bool {
    start.checked_add(len).is_some_and(|end| end <= map.len())
}

/// An array's first byte and its mask, if it may be there.
fn array(map: &Map, data: usize, capacity: usize) -> Option<(*mut u8, usize)> {
    let is_sized = capacity.is_power_of_two() && capacity >= 8 * LINE;
    if !is_sized || !data.is_multiple_of(LINE) || !inside(map, data, capacity) {
        return None;
    }
    // SAFETY: the offset was found inside the mapping just now.
    Some((unsafe { map.as_ptr().add(data) }, capacity - LINE))
}

impl Storage for SharedRing {
    #[inline]
    fn lines(&self) -> u64 {
        (self.capacity() / LINE) as u64
    }

    #[inline]
    fn head(&self) -> &AtomicU64 {
        self.cursor(HEAD)
    }

    #[inline]
    fn tail_hint(&self) -> &AtomicU64 {
        self.cursor(TAIL_HINT)
    }

    #[inline]
    fn consumer_state(&self) -> &AtomicU32 {
        self.word(CONSUMER_STATE)
    }

    #[inline]
    fn producer_state(&self) -> &AtomicU32 {
        self.word(PRODUCER_STATE)
    }

    #[inline]
    fn header(&self, position: u64) -> &AtomicU64 {
        // SAFETY: the line lies in the array and is aligned for 64 bits. While payload covers the
        // line, the protocol lets neither side use its header word.
        unsafe { &*self.line(position).cast() }
    }

    #[inline]
    fn prefetch(&self, position: u64) {
        bytes::prefetch(self.line(position));
    }

    #[inline]
    fn prefetch_to_write(&self, position: u64) {
        const { assert!(BLOCK == 8) };
        bytes::prefetch_block_to_write(self.line(position & !(BLOCK - 1)));
    }

    #[inline]
    fn write<R>(&self, position: u64, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let start = self.payload(position, len)?;
        // SAFETY: the bytes lie in the array and are initialised (the memory began as zeros). The
        // consumer has released the lines and gets them again by the publication that follows, so
        // this process is their only user. A hostile peer can change the bytes, which are plain
        // integers, but nothing else.
        Some(f(unsafe { slice::from_raw_parts_mut(start, len) }))
    }

    #[inline]
    fn read<R>(&self, position: u64, len: usize, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.read_next(position, |_| Some(len), f)
    }

    #[inline]
    fn read_next<R>(
        &self,
        position: u64,
        len: impl FnOnce(u64) -> Option<usize>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        // Computed before the header is read: behind its acquire the fields would be loaded again.
        let (start, room) = self.room(position);
        // Acquire: see `Consumer::pop`.
        let len = len(self.header(position).load(Ordering::Acquire)).filter(|len| *len <= room)?;
        // SAFETY: the bytes lie in the array and were published to us (acquire); the producer does
        // not write them again before we release them. A hostile peer can: then the bytes, plain
        // integers, are what it wrote. Callers that do not trust the peer copy them before they
        // look at them.
        Some(f(unsafe { slice::from_raw_parts(start, len) }))
    }
}
