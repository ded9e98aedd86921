//! Random numbers that a second run can repeat: set `ANYIPC_TORTURE_SEED` to the printed number.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The run's seed, printed so that a failed run can be repeated.
    pub(crate) fn run_seed() -> u64 {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_nanos() as u64);
        let seed = super::settings::setting("ANYIPC_TORTURE_SEED", time);
        eprintln!("ANYIPC_TORTURE_SEED={seed}");
        seed
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Up to about 16 ms, short times as likely as long ones.
    pub(crate) fn instant(&mut self) -> Duration {
        let most = 1 << self.below(15);
        Duration::from_micros(self.below(most))
    }
}

/// Spreads a number over 64 bits.
pub(crate) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
