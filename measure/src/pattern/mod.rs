//! The patterns of traffic: which messages go where, and what of it is timed. One file each, with
//! the driver's and the peer's side.
//!
//! A pattern runs in phases over one link: warm-up, then the measured one. The driver marks the
//! last message of a phase; the next phase counts from 0.

pub mod pace;
pub mod round_trip;
pub mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::pace::{Pace, WallClock};
use crate::Result;
use crate::cpu::CpuClock;
use crate::link::Link;
use crate::stats::Histogram;

/// A stream of fewer messages does not show its rate.
const ENOUGH: u64 = 4;

/// A pattern of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// One message there, one back, then the next.
    RoundTrip,
    /// One way, as fast as they are taken.
    Stream,
}

/// What the driver does in each phase.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// The pattern.
    pub pattern: Pattern,
    /// Length of each message, in bytes.
    pub size: usize,
    /// Senders of a stream.
    pub senders: u16,
    /// When round trips begin.
    pub pace: Pace,
    /// Messages of a stream that are sent together.
    pub batch: u64,
    /// True if the driver sleeps until the next round trip is due: both sides have one core.
    pub asleep: bool,
}

/// One timed phase.
#[derive(Debug)]
pub struct Timed {
    /// Times of single round trips; a stream has none.
    pub latencies: Option<Histogram>,
    /// Messages within `elapsed`.
    pub timed_messages: u64,
    /// The time of those messages.
    pub elapsed: Duration,
    /// All messages of the phase, for the CPU time.
    pub messages: u64,
    /// CPU time that the driver spent until round trips were due.
    pub idle_cpu: Duration,
}

impl Pattern {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Stream => "stream",
        }
    }

    /// The peer's side of one phase. False if the other side ended before it began.
    pub fn serve(self, link: &mut impl Link, size: usize) -> Result<bool> {
        match self {
            Self::RoundTrip => round_trip::answer(link, size),
            Self::Stream => stream::receive_all(link, size),
        }
    }
}

impl Traffic {
    /// Messages of a stream that the link takes at once: all if it has several senders, so that
    /// each starts its thread once.
    fn together(&self) -> u64 {
        if self.senders > 1 { u64::MAX } else { self.batch }
    }

    /// Runs phases that are not measured, for about this long. Returns the messages per second of
    /// one direction and one sender.
    pub fn warm_up(&self, link: &mut impl Link, time: Duration, clock: CpuClock) -> Result<f64> {
        match (self.pattern, self.pace) {
            (Pattern::RoundTrip, Pace::AtOnce) => {
                let trips = round_trip::sample(link, self.size, time, Duration::ZERO, |_| ())?;
                Ok(trips as f64 / time.as_secs_f64())
            }
            (Pattern::RoundTrip, pace) => {
                let mut clock = WallClock::new(clock, self.asleep);
                let trips = pace::sample(link, self.size, time, pace, &mut clock, |_| ())?;
                Ok(trips as f64 / time.as_secs_f64())
            }
            (Pattern::Stream, _) => {
                let (mut count, mut spent, mut fastest) = (1, Duration::ZERO, 0.0f64);
                loop {
                    let took = stream::send_all(link, self.size, count, self.together())?;
                    spent += took;
                    fastest = fastest.max(count as f64 / took.as_secs_f64().max(1e-9));
                    // The fastest phase: others may have been held up.
                    if count >= ENOUGH && (took * 2 >= time || spent >= time) {
                        return Ok(fastest);
                    }
                    count *= 2;
                }
            }
        }
    }

    /// Runs the measured phase, for about `time`. `rate` is what the warm-up returned; `cost` that
    /// of one reading of the clock, which is taken off each round trip.
    pub fn drive(
        &self,
        link: &mut impl Link,
        time: Duration,
        rate: f64,
        cost: Duration,
        clock: CpuClock,
    ) -> Result<Timed> {
        let mut latencies = Histogram::new();
        match (self.pattern, self.pace) {
            (Pattern::RoundTrip, Pace::AtOnce) => {
                let mut elapsed = Duration::ZERO;
                let trips = round_trip::sample(link, self.size, time, cost, |time| {
                    latencies.record(time);
                    elapsed += time;
                })?;
                let (timed_messages, messages) = (latencies.count() * 2, trips * 2);
                let latencies = Some(latencies);
                Ok(Timed { latencies, timed_messages, elapsed, messages, idle_cpu: Duration::ZERO })
            }
            (Pattern::RoundTrip, pace) => {
                let mut clock = WallClock::new(clock, self.asleep);
                let trips = pace::sample(link, self.size, time, pace, &mut clock, |time| {
                    latencies.record(time.saturating_sub(cost));
                })?;
                let (timed_messages, messages) = (latencies.count() * 2, trips * 2);
                let (elapsed, idle_cpu, latencies) =
                    (clock.elapsed(), clock.idle_cpu(), Some(latencies));
                Ok(Timed { latencies, timed_messages, elapsed, messages, idle_cpu })
            }
            (Pattern::Stream, _) => {
                let count = ((rate * time.as_secs_f64()) as u64).max(1);
                let elapsed = stream::send_all(link, self.size, count, self.together())?;
                let (messages, idle_cpu) = (count * u64::from(self.senders), Duration::ZERO);
                Ok(Timed { latencies: None, timed_messages: messages, elapsed, messages, idle_cpu })
            }
        }
    }
}
