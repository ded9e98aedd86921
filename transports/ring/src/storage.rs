use crate::primitive::{AtomicU32, AtomicU64, Ordering};

/// Bytes of a line, the unit of allocation.
pub const LINE: usize = 64;
/// Bytes of a record's header.
pub const HEADER: usize = 8;
/// Lines that a producer prefetches together. Every array has a multiple of it.
pub const BLOCK: u64 = 8;

/// The memory that the two sides share. An implementation gives atomics for every word that both
/// sides access, and payload only inside the array.
pub trait Storage {
    /// Lines in the array: a power of two, at least [`BLOCK`]. Private to this side and constant.
    fn lines(&self) -> u64;
    /// The first line that the consumer has not released. Written by the consumer.
    fn head(&self) -> &AtomicU64;
    /// About where the producer is: a hint for the consumer's pace. Written by the producer.
    fn tail_hint(&self) -> &AtomicU64;
    /// The consumer's [state word](crate::state), written by both sides.
    fn consumer_state(&self) -> &AtomicU32;
    /// The producer's [state word](crate::state), written by both sides.
    fn producer_state(&self) -> &AtomicU32;
    /// The header word of the line at a position.
    fn header(&self, position: u64) -> &AtomicU64;
    /// Prefetches a line for reading. Nothing is known about its contents yet.
    fn prefetch(&self, _position: u64) {}
    /// Prefetches the [`BLOCK`] of lines around a line for writing.
    fn prefetch_to_write(&self, _position: u64) {}
    /// Calls `f` with `len` payload bytes of the record at `position`, which only the caller
    /// accesses. `None` if they reach beyond the array.
    fn write<R>(&self, position: u64, len: usize, f: impl FnOnce(&mut [u8]) -> R) -> Option<R>;
    /// Calls `f` with `len` payload bytes of the record at `position`, which is published. `None`
    /// if they reach beyond the array.
    fn read<R>(&self, position: u64, len: usize, f: impl FnOnce(&[u8]) -> R) -> Option<R>;
    /// As [`read`](Self::read), with the length that `len` takes from the header. `None` also if
    /// `len` returns `None`.
    #[inline]
    fn read_next<R>(
        &self,
        position: u64,
        len: impl FnOnce(u64) -> Option<usize>,
        f: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        // Acquire: see `Consumer::pop`.
        self.read(position, len(self.header(position).load(Ordering::Acquire))?, f)
    }
}
