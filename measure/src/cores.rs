//! The two cores of a measurement, and the distance between them: the time that one cache line
//! takes from one to the other and back. No transport is faster than that, and it changes when a
//! virtual machine's cores are moved.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::stats::median;
use crate::sys;

pub use sys::{allowed_cores, pin};

const TRIPS: u64 = 1000;
const RUNS: u64 = 7;

/// The cores of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pinning {
    /// Core of the side that measures.
    pub driver: usize,
    /// Core of its peer.
    pub peer: usize,
}

impl Pinning {
    /// Two different cores, not two threads of one core if there is a choice. `None` if the
    /// calling thread may not use two.
    pub fn choose() -> Option<Self> {
        pair(&allowed_cores(), sys::share_a_core)
    }

    /// Both sides have the same core.
    pub fn is_one_core(self) -> bool {
        self.driver == self.peer
    }

    /// The first of these cores that the calling thread may not use.
    pub fn forbidden(self) -> Option<usize> {
        let allowed = allowed_cores();
        [self.driver, self.peer].into_iter().find(|core| !allowed.contains(core))
    }
}

fn pair(cores: &[usize], share: impl Fn(usize, usize) -> bool) -> Option<Pinning> {
    let (&driver, others) = cores.split_first()?;
    let peer = others.iter().find(|core| !share(driver, **core)).or(others.first())?;
    Some(Pinning { driver, peer: *peer })
}

/// Alone in its cache line, and in the neighbour that the processor fetches with it.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    fn wait(&self, value: u64) {
        let mut tries = 0u32;
        while self.0.load(Ordering::Acquire) < value {
            spin_loop();
            tries += 1;
            // Another program may have the other thread's core.
            if tries.is_multiple_of(1 << 16) {
                thread::yield_now();
            }
        }
    }
}

/// The time that a cache line takes from one core to the other and back, in ns: the median of
/// short runs. `None` if both are one core, or no thread can be started. Leaves the calling thread
/// on the driver's core.
pub fn cache_line_round_trip(pinning: Pinning) -> Option<f64> {
    // Two threads that spin on one core take turns of milliseconds.
    if pinning.is_one_core() {
        return None;
    }
    let (there, back) = (Line::default(), Line::default());
    let times = thread::scope(|scope| {
        let peer = thread::Builder::new().spawn_scoped(scope, || {
            pin(pinning.peer);
            for trip in 1..=TRIPS * RUNS {
                there.wait(trip);
                back.0.store(trip, Ordering::Release);
            }
        });
        peer.ok()?;
        pin(pinning.driver);
        let run = |run: u64| {
            let start = Instant::now();
            for trip in run * TRIPS + 1..=(run + 1) * TRIPS {
                there.0.store(trip, Ordering::Release);
                back.wait(trip);
            }
            start.elapsed().as_nanos() as f64 / TRIPS as f64
        };
        Some((0..RUNS).map(run).collect::<Vec<_>>())
    })?;
    median(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_cores_before_threads_of_one() {
        let smt = |a: usize, b: usize| a / 2 == b / 2;
        assert_eq!(pair(&[0, 1, 2, 3], smt), Some(Pinning { driver: 0, peer: 2 }));
        assert_eq!(pair(&[4, 5], smt), Some(Pinning { driver: 4, peer: 5 }));
        assert_eq!(pair(&[3], smt), None);
        assert_eq!(pair(&[], smt), None);
    }

    #[test]
    fn a_cache_line_comes_back() {
        // A single core has no pair.
        let Some(pinning) = Pinning::choose() else { return };
        let nanos = cache_line_round_trip(pinning).unwrap();
        assert!((1.0..1e9).contains(&nanos), "{nanos}");
    }
}
