//! How often the halves check that the peer is alive.

use crate::sys;

/// When a half last checked the socket. It checks again after 100 ms of calls that show nothing of
/// the peer.
#[derive(Debug)]
pub struct Liveness {
    looked: u64,
    /// The clock when it was read last.
    now: u64,
}

/// In ticks of the coarse clock.
const LOOK_EVERY: u64 = 95;

impl Default for Liveness {
    fn default() -> Self {
        Self::new()
    }
}

impl Liveness {
    /// As of now.
    pub fn new() -> Self {
        let now = sys::coarse_ticks();
        Self { looked: now, now }
    }

    /// Overdue: the next call is due, for tests.
    pub fn long_ago() -> Self {
        Self { looked: 0, now: 0 }
    }

    /// True if a check is due; then the time begins anew.
    #[inline]
    pub fn is_due(&mut self) -> bool {
        self.now = sys::coarse_ticks();
        let due = self.now.wrapping_sub(self.looked) >= LOOK_EVERY;
        if due {
            self.looked = self.now;
        }
        due
    }

    /// What the clock showed when it was last handshake for: it moves on every few milliseconds.
    pub fn now(&self) -> u64 {
        self.now
    }
}
