//! How near the two cores are to each other: two threads hand one cache line to and fro. A virtual machine's
//! cores may be moved between measurements, and no transport is faster than this.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::machine::Pinning;
use super::stats::median;
use super::sys;

const TRIPS: u64 = 1000;
const RUNS: u64 = 7;

/// Alone in its cache line, and in the one that is fetched with it.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// The time that a cache line takes from one core to the other and back, in ns: the median of short runs. `None`
/// if both are one, or no thread can be started. Leaves the calling thread on the driver's core.
pub(super) fn cache_line_round_trip(pinning: Pinning) -> Option<f64> {
    // Two that spin on one core take turns of milliseconds.
    if pinning.is_one_core() {
        return None;
    }
    let (there, back) = (Line::default(), Line::default());
    let times = thread::scope(|scope| {
        let peer = thread::Builder::new().spawn_scoped(scope, || {
            sys::pin(pinning.peer);
            for trip in 1..=TRIPS * RUNS {
                wait(&there, trip);
                back.0.store(trip, Ordering::Release);
            }
        });
        peer.ok()?;
        sys::pin(pinning.driver);
        let run = |run: u64| {
            let start = Instant::now();
            for trip in run * TRIPS + 1..=(run + 1) * TRIPS {
                there.0.store(trip, Ordering::Release);
                wait(&back, trip);
            }
            start.elapsed().as_nanos() as f64 / TRIPS as f64
        };
        Some((0..RUNS).map(run).collect::<Vec<_>>())
    })?;
    median(times)
}

fn wait(line: &Line, value: u64) {
    let mut tries = 0u32;
    while line.0.load(Ordering::Acquire) < value {
        spin_loop();
        tries += 1;
        // The other thread may have lost its core to somebody.
        if tries.is_multiple_of(1 << 16) {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_line_comes_back() {
        // Nothing to place on a single core.
        let Some(pinning) = Pinning::choose() else { return };
        assert!(cache_line_round_trip(pinning).unwrap() > 0.0);
    }
}
