use std::sync::atomic::AtomicU64;

use anyipc_memory::{MAX_PARTICIPANTS, Region};
use anyipc_ring::cells::{Cells, join};
use anyipc_ring::robust::OwnerId;

use crate::place::Object;

/// Cells in a cache line.
const PER_LINE: usize = 8;
const LINES: usize = (MAX_PARTICIPANTS as usize).div_ceil(PER_LINE);

/// Where the cells begin, behind the bits of the slots that joined.
const CELLS: usize = 64;

/// The offset of a slot's cell. Neighbours lie in different lines: they are used by different
/// processors.
fn offset(slot: u32) -> usize {
    let slot = slot as usize;
    CELLS + (slot % LINES * PER_LINE + slot / LINES) * 8
}

/// A cell for each participant, see `anyipc_ring::cells`.
#[derive(Debug)]
pub(crate) struct SlotCells {
    region: Region,
    /// The cell of the handle that has this.
    own: Region,
}

impl SlotCells {
    /// Bytes of them.
    pub(crate) const SIZE: usize = CELLS + LINES * PER_LINE * 8;

    /// Those of an object at an offset, a multiple of 64, for the handle that has the object. The
    /// handle joins. `None` if they do not lie inside.
    pub(crate) fn join(object: &Object, at: usize) -> Option<Self> {
        let region = object.region.part(at, Self::SIZE)?;
        let own = region.part(offset(object.own_id.slot()), 8)?;
        let cells = Self { region, own };
        join(&cells, object.own_id);
        Some(cells)
    }
}

impl Cells for SlotCells {
    fn count(&self) -> u32 {
        MAX_PARTICIPANTS
    }

    #[inline]
    fn cell(&self, slot: u32) -> &AtomicU64 {
        self.region.u64(offset(slot))
    }

    #[inline]
    fn own(&self, _own_id: OwnerId) -> &AtomicU64 {
        self.own.u64(0)
    }

    #[inline]
    fn joined(&self, index: u32) -> &AtomicU64 {
        self.region.u64(index as usize * 8)
    }
}
