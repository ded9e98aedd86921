use std::io;
use std::sync::Arc;

use crate::ring::{RING_CONTROL, SharedRing};
use crate::sys::{self, Fd, Map};

/// The smallest capacity of a direction, in bytes.
pub(crate) const MIN_CAPACITY: usize = 4096;
/// The largest capacity of a direction, in bytes.
pub(crate) const MAX_CAPACITY: usize = 1 << 30;

/// Where the arrays begin, behind both rings' control words.
const DATA: usize = 4096;

/// The two rings in a channel's memory.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) to_owner: SharedRing,
    pub(crate) to_opener: SharedRing,
}

impl Layout {
    /// Bytes of the memory that two rings of this capacity take.
    pub(crate) const fn size(capacity: usize) -> usize {
        DATA + 2 * capacity
    }

    /// Makes a larger array for a ring that goes on in it. The descriptor is for the consumer.
    pub(crate) fn enlarge(ring: &SharedRing, capacity: usize) -> io::Result<(SharedRing, Fd)> {
        let fd = sys::anonymous(capacity)?;
        let ring = ring.with_array(Map::new(&fd, capacity)?, capacity);
        Ok((ring.ok_or(io::ErrorKind::InvalidInput)?, fd))
    }

    /// Maps the array that a ring's producer offers: sealed, larger than the present one, and of `limit` bytes
    /// at most, or it is refused.
    pub(crate) fn follow(ring: &SharedRing, fd: &Fd, limit: usize) -> io::Result<SharedRing> {
        let capacity = usize::try_from(fd.status()?.size).unwrap_or(0);
        if capacity <= ring.capacity() || capacity > limit {
            return Err(io::ErrorKind::InvalidData.into());
        }
        sys::check_anonymous(fd, capacity)?;
        ring.with_array(Map::new(fd, capacity)?, capacity).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The rings in memory of [`Layout::size`].
    pub(crate) fn over(map: &Arc<Map>, capacity: usize) -> io::Result<Self> {
        let ring = |index| SharedRing::new(map, index * RING_CONTROL, DATA + index * capacity, capacity);
        match (ring(0), ring(1)) {
            (Some(to_owner), Some(to_opener)) => Ok(Self { to_owner, to_opener }),
            _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
        }
    }
}
