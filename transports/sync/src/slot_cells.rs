use std::sync::atomic::AtomicU64;

use anyipc_memory::{MAX_PARTICIPANTS, Region};
use anyipc_ring::cells::Cells;

/// Cells in a cache line.
const PER_LINE: usize = 8;
const LINES: usize = (MAX_PARTICIPANTS as usize).div_ceil(PER_LINE);

/// Where the cells begin, behind the bits of the slots that joined.
const CELLS: usize = 64;

/// A cell for each participant, see `anyipc_ring::cells`.
#[derive(Debug)]
pub(crate) struct SlotCells {
    region: Region,
    at: usize,
}

impl SlotCells {
    /// Bytes of them.
    pub(crate) const SIZE: usize = CELLS + LINES * PER_LINE * 8;

    /// Those at an offset, a multiple of 64.
    pub(crate) fn new(region: &Region, at: usize) -> Self {
        Self { region: region.clone(), at }
    }
}

impl Cells for SlotCells {
    fn count(&self) -> u32 {
        MAX_PARTICIPANTS
    }

    #[inline]
    fn cell(&self, slot: u32) -> &AtomicU64 {
        // Neighbours lie in different lines: they are used by different processors.
        let slot = slot as usize;
        self.region.u64(self.at + CELLS + (slot % LINES * PER_LINE + slot / LINES) * 8)
    }

    #[inline]
    fn joined(&self, index: u32) -> &AtomicU64 {
        self.region.u64(self.at + index as usize * 8)
    }
}
