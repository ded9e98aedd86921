//! Round trips that begin when they are due: after a gap, or at a rate.
//!
//! At a rate each is timed from when it was due, not from when it was sent: while one is late, the
//! next ones are late, too, and timing them from their sending would hide that (coordinated
//! omission).

use std::time::{Duration, Instant};

use super::round_trip::trip;
use crate::Result;
use crate::cpu::CpuClock;
use crate::link::Link;
use crate::payload::LAST;

/// When round trips begin.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Pace {
    /// Each when the one before has ended.
    AtOnce,
    /// Each this long after the end of the one before.
    Gap(Duration),
    /// This many per second, even if earlier ones have not ended.
    Rate(f64),
}

/// A clock that can be waited for.
pub trait Clock {
    /// Time since its start.
    fn now(&mut self) -> Duration;

    /// Returns the time as soon as it is `due` or later.
    fn wait_until(&mut self, due: Duration) -> Duration;
}

/// Exchanges messages for about this long and records the time of each round trip. Returns their
/// number, one more than was recorded: the last one carries the end of the phase.
pub fn sample(
    link: &mut impl Link,
    size: usize,
    time: Duration,
    pace: Pace,
    clock: &mut impl Clock,
    mut record: impl FnMut(Duration),
) -> Result<u64> {
    let start = clock.now();
    let mut sequence = 0;
    loop {
        let now = clock.now();
        let due = match pace {
            Pace::AtOnce => now,
            Pace::Gap(gap) => now + gap,
            Pace::Rate(rate) => start + Duration::from_secs_f64(sequence as f64 / rate),
        };
        // `max`: ends in time even if this one was due long ago.
        if sequence > 0 && due.max(now) - start >= time {
            break;
        }
        let sent = clock.wait_until(due);
        trip(link, size, sequence, sequence)?;
        let from = if matches!(pace, Pace::Rate(_)) { due } else { sent };
        record(clock.now().saturating_sub(from));
        sequence += 1;
    }
    trip(link, size, sequence, sequence | LAST)?;
    Ok(sequence + 1)
}

/// Real time. Waits without sleeping, so that no timer delays a round trip, unless the other side
/// has the same core. Counts the CPU time of waiting apart.
#[derive(Debug)]
pub struct WallClock {
    start: Instant,
    cpu: CpuClock,
    /// True if waiting sleeps.
    asleep: bool,
    /// CPU time spent in `wait_until`.
    idle_cpu: Duration,
}

/// For a shorter wait two system calls cost too much: its time counts as CPU time.
const SHORT: Duration = Duration::from_micros(10);

impl WallClock {
    pub(super) fn new(cpu: CpuClock, asleep: bool) -> Self {
        Self { start: Instant::now(), cpu, asleep, idle_cpu: Duration::ZERO }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn idle_cpu(&self) -> Duration {
        self.idle_cpu
    }
}

impl Clock for WallClock {
    #[inline]
    fn now(&mut self) -> Duration {
        self.start.elapsed()
    }

    #[inline]
    fn wait_until(&mut self, due: Duration) -> Duration {
        let began = self.now();
        if self.asleep {
            std::thread::sleep(due.saturating_sub(began));
            return self.now();
        }
        let before = if due.saturating_sub(began) > SHORT { self.cpu.now() } else { None };
        let mut now = began;
        while now < due {
            std::hint::spin_loop();
            now = self.now();
        }
        match before {
            Some(before) => {
                self.idle_cpu += self.cpu.since(Some(before)).unwrap_or_default();
                self.now()
            }
            None => {
                self.idle_cpu += now - began;
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::payload::Received;

    /// A time that the test moves.
    struct Hand<'a>(&'a Cell<Duration>);

    impl Clock for Hand<'_> {
        fn now(&mut self) -> Duration {
            self.0.get()
        }

        fn wait_until(&mut self, due: Duration) -> Duration {
            self.0.set(self.0.get().max(due));
            self.0.get()
        }
    }

    /// Answers after a tenth of a millisecond, once after 50 ms.
    struct Stalls<'a> {
        time: &'a Cell<Duration>,
        at: u64,
    }

    impl Link for Stalls<'_> {
        fn send(&mut self, _size: usize, _stamp: u64) -> Result<()> {
            Ok(())
        }

        fn receive(&mut self, _size: usize, expected: u64) -> Result<Received> {
            let took = if expected == self.at { 50_000 } else { 100 };
            self.time.set(self.time.get() + Duration::from_micros(took));
            Ok(Received::Message)
        }
    }

    fn times(pace: Pace, at: u64) -> Vec<u128> {
        let time = Cell::new(Duration::from_secs(7));
        let mut times = Vec::new();
        let mut link = Stalls { time: &time, at };
        let all =
            sample(&mut link, 64, Duration::from_millis(200), pace, &mut Hand(&time), |time| {
                times.push(time.as_micros());
            });
        assert_eq!(all.unwrap(), times.len() as u64 + 1);
        times
    }

    #[test]
    fn one_that_is_late_makes_the_next_ones_late() {
        // One every millisecond: those due during the 50 ms waited for the rest of these.
        let times = times(Pace::Rate(1000.0), 10);
        assert_eq!(times.len(), 200);
        assert_eq!(times[..10], [100; 10]);
        assert_eq!(times[10], 50_000);
        for (late, time) in times[11..].iter().take_while(|time| **time > 100).enumerate() {
            // Each was due a millisecond, and answered a tenth of one, after the one before.
            assert_eq!(*time, 50_000 - 900 * (late as u128 + 1));
        }
        assert_eq!(times.iter().filter(|time| **time > 10_000).count(), 45);
        assert_eq!(times[199], 100);
    }

    #[test]
    fn without_a_rate_only_one_is_late() {
        for pace in [Pace::Gap(Duration::from_millis(1)), Pace::AtOnce] {
            let times = times(pace, 10);
            assert_eq!(times.iter().filter(|time| **time > 100).count(), 1);
            assert_eq!(times[10], 50_000);
        }
    }

    #[test]
    fn a_rate_that_is_too_high_ends_in_time() {
        // Ten times the possible rate: a tenth of them are sent.
        let times = times(Pace::Rate(100_000.0), u64::MAX);
        assert_eq!(times.len(), 2000);
        assert_eq!(times.first(), Some(&100));
        assert_eq!(times.last(), Some(&(200_000 - 19_990)));
    }

    #[test]
    fn waiting_takes_its_time() {
        let mut clock = WallClock::new(CpuClock::Thread, false);
        for wait in [Duration::from_micros(1), Duration::from_millis(5)] {
            let due = clock.now() + wait;
            assert!(clock.wait_until(due) >= due);
        }
        assert!(clock.idle_cpu() > Duration::ZERO && clock.idle_cpu() <= clock.elapsed());
    }
}
