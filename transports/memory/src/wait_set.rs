use std::sync::atomic::{AtomicU32, AtomicU64};

use anyipc_ring::wait_set::{POLLER_WORDS, WaitWords};

use crate::region::Region;

/// Bytes of a [`WaitSet`].
pub const WAIT_SET: usize = 8 + POLLER_WORDS as usize * 8;

/// A wait set in memory: its sequence, its flags, and the bits of its pollers.
#[derive(Debug, Clone)]
pub struct WaitSet {
    region: Region,
    at: usize,
}

impl WaitSet {
    /// The one at this offset of a region, a multiple of 8. Zeroed memory is one without waiters.
    pub fn new(region: &Region, at: usize) -> Self {
        Self { region: region.clone(), at }
    }
}

impl WaitWords for WaitSet {
    #[inline]
    fn sequence(&self) -> &AtomicU32 {
        self.region.u32(self.at)
    }
    #[inline]
    fn awaited(&self) -> &AtomicU32 {
        self.region.u32(self.at + 4)
    }
    #[inline]
    fn pollers(&self, index: u32) -> &AtomicU64 {
        self.region.u64(self.at + 8 + index as usize * 8)
    }
}
