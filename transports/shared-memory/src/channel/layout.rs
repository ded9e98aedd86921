use std::io;
use std::sync::Arc;

use anyipc_memory::{Extent, Map, sealed_len};
use anyipc_os::Fd;

use super::shared_ring::{RING_CONTROL, SharedRing};

/// The smallest capacity of a direction, in bytes.
pub(crate) const MIN_CAPACITY: usize = 4096;
/// The largest capacity of a direction, in bytes.
pub(crate) const MAX_CAPACITY: usize = 1 << 30;

/// Where the arrays begin, behind both rings' control words.
const DATA: usize = 4096;
/// Bytes of the array to which a ring is resized first: as much as a socket's buffer. Two sides
/// that both send for a while before they receive then work over every transport, or over none.
pub(crate) const SPARE: usize = 256 << 10;
/// The spare arrays begin at a multiple of this: the largest page size of all platforms.
const PAGE: usize = 64 << 10;

/// The two rings in a channel's memory.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) to_owner: SharedRing,
    pub(crate) to_opener: SharedRing,
    /// The same rings, in that order, over their spare arrays, if they may be resized. Their memory
    /// is not reserved yet.
    pub(crate) spares: [Option<SharedRing>; 2],
}

impl Layout {
    /// The memory of two rings of this capacity, with spare arrays or without.
    pub(crate) fn extent(capacity: usize, spares: bool) -> Extent {
        let reserved = DATA + 2 * capacity;
        if spares { Extent { len: spare(capacity, 2), reserved } } else { Extent::whole(reserved) }
    }

    /// The ring over a larger array, which is all of this memory.
    pub(crate) fn enlarge(
        ring: &SharedRing,
        memory: &Fd,
        capacity: usize,
    ) -> io::Result<SharedRing> {
        let ring = ring.with_array(Arc::new(Map::new(memory, capacity)?), 0, capacity);
        ring.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// Maps the array that a ring's producer offers. It must be sealed, larger than the present
    /// one, and of `limit` bytes at most.
    pub(crate) fn follow(ring: &SharedRing, fd: &Fd, limit: usize) -> io::Result<SharedRing> {
        let capacity = sealed_len(fd)?;
        if capacity <= ring.capacity() || capacity > limit {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let map = Arc::new(Map::new(fd, capacity)?);
        ring.with_array(map, 0, capacity).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The rings in memory of [`Layout::extent`].
    pub(crate) fn over(map: &Arc<Map>, capacity: usize, spares: bool) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let ring =
            |index| SharedRing::new(map, index * RING_CONTROL, DATA + index * capacity, capacity);
        let (to_owner, to_opener) = ring(0).zip(ring(1)).ok_or_else(invalid)?;
        let larger = |ring: &SharedRing, index| {
            let larger = || ring.with_array(Arc::clone(map), spare(capacity, index), SPARE);
            spares.then(|| larger().ok_or_else(invalid)).transpose()
        };
        let spares = [larger(&to_owner, 0)?, larger(&to_opener, 1)?];
        Ok(Self { to_owner, to_opener, spares })
    }
}

/// Where a spare array begins.
fn spare(capacity: usize, index: usize) -> usize {
    (DATA + 2 * capacity).next_multiple_of(PAGE) + index * SPARE
}
