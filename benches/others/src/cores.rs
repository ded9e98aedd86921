//! The two cores, and how far they are from each other: on a virtual machine that changes.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Result;

/// Holds the numbers of the two cores, for all processes of a measurement.
pub(crate) const CORES: &str = "OTHERS_CORES";

const TRIPS: u64 = 1000;
const RUNS: u64 = 5;

/// The first two cores that this process may run on.
pub(crate) fn allowed() -> Result<[usize; 2]> {
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).take(2).collect();
    cores.try_into().map_err(|_| "this takes two cores".into())
}

/// Ties the calling thread, and what it starts, to the core of this side.
pub(crate) fn pin(side: usize) -> Result<()> {
    let cores = std::env::var(CORES)?;
    let core = cores.split(',').nth(side).ok_or("no such side")?;
    pin_to(core.parse()?)
}

fn pin_to(core: usize) -> Result<()> {
    let mut one = CpuSet::new();
    one.set(core);
    Ok(sched_setaffinity(None, &one)?)
}

/// Alone in its cache line, and in the one that is fetched with it.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Line {
    fn wait(&self, value: u64) {
        let mut looks = 0u32;
        while self.0.load(Ordering::Acquire) < value {
            spin_loop();
            looks += 1;
            // The other thread may have lost its core to somebody.
            if looks.is_multiple_of(1 << 16) {
                thread::yield_now();
            }
        }
    }
}

/// The time that a bare cache line takes from one core to the other and back, in nanoseconds.
pub(crate) fn distance(cores: [usize; 2]) -> Result<f64> {
    let (there, back) = (Line::default(), Line::default());
    let mut times = thread::scope(|scope| {
        scope.spawn(|| {
            // Without it the figure is one of another pair of cores.
            let _ = pin_to(cores[1]);
            for trip in 1..=TRIPS * RUNS {
                there.wait(trip);
                back.0.store(trip, Ordering::Release);
            }
        });
        let first = scope.spawn(|| {
            let _ = pin_to(cores[0]);
            let run = |run: u64| {
                let start = Instant::now();
                for trip in run * TRIPS + 1..=(run + 1) * TRIPS {
                    there.0.store(trip, Ordering::Release);
                    back.wait(trip);
                }
                start.elapsed().as_nanos() as f64 / TRIPS as f64
            };
            (0..RUNS).map(run).collect::<Vec<_>>()
        });
        first.join().map_err(|_| "no bare cache line was exchanged")
    })?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
