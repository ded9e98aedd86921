//! The patterns of traffic: which messages go where, and what of it is timed. One file each, with the
//! driver's and the peer's side.
//!
//! A pattern runs in phases over one link: warm-up, then the measured one. The driver marks the last
//! message of a phase; the peer counts anew from there.

pub(super) mod pace;
mod round_trip;
pub(super) mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::pace::{Pace, WallClock};
use super::link::{Failure, Link};
use super::stats::Histogram;
use super::sys::Whose;

/// A stream shows its rate with that many messages at least.
const ENOUGH: u64 = 4;

/// A pattern of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pattern {
    /// One message there, one back, the next only then.
    RoundTrip,
    /// One way, as fast as they are taken.
    Stream,
}

/// What the driver does, over and over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) pattern: Pattern,
    /// Length of each message, in bytes.
    pub(super) size: usize,
    /// How many senders send a stream at the same time.
    pub(super) senders: u16,
    /// When round trips begin.
    pub(super) pace: Pace,
    /// How many messages of a stream are sent together.
    pub(super) batch: u64,
    /// Both sides have one core: waiting for the next round trip must leave it to the other one.
    pub(super) asleep: bool,
}

/// One timed phase.
#[derive(Debug)]
pub(super) struct Timed {
    /// Of single round trips, in ns; a stream has none.
    pub(super) latencies: Option<Histogram>,
    /// Messages within `elapsed`.
    pub(super) timed_messages: u64,
    /// The time of those messages.
    pub(super) elapsed: Duration,
    /// All messages of the phase, for the CPU time.
    pub(super) messages: u64,
    /// CPU time that the driver spent waiting for the next round trip to be due.
    pub(super) idle_cpu: Duration,
}

impl Pattern {
    /// As on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Stream => "stream",
        }
    }

    /// The peer's side of one phase. False if the other side closed before it began.
    pub(super) fn serve(self, link: &mut impl Link, size: usize) -> Result<bool, Failure> {
        match self {
            Self::RoundTrip => round_trip::answer(link, size),
            Self::Stream => stream::drain(link, size),
        }
    }
}

impl Traffic {
    /// How many messages of a stream the link takes at once: all if each of its senders has a thread for them.
    fn together(&self) -> u64 {
        if self.senders > 1 { u64::MAX } else { self.batch }
    }

    /// Runs phases that are not measured, for about this long. Returns how many messages of one direction
    /// (and of one sender) went through in a second.
    pub(super) fn warm_up(
        &self,
        link: &mut impl Link,
        time: Duration,
        whose: Whose,
    ) -> Result<f64, Failure> {
        match (self.pattern, self.pace) {
            (Pattern::RoundTrip, Pace::AtOnce) => {
                let trips = round_trip::sample(link, self.size, time, Duration::ZERO, |_| ())?;
                Ok(trips as f64 / time.as_secs_f64())
            }
            (Pattern::RoundTrip, pace) => {
                let mut clock = WallClock::new(whose, self.asleep);
                let trips = pace::sample(link, self.size, time, pace, &mut clock, |_| ())?;
                Ok(trips as f64 / time.as_secs_f64())
            }
            (Pattern::Stream, _) => {
                let (mut count, mut spent, mut fastest) = (1, Duration::ZERO, 0.0f64);
                loop {
                    let took = stream::pour(link, self.size, count, self.together())?;
                    spent += took;
                    fastest = fastest.max(count as f64 / took.as_secs_f64().max(1e-9));
                    // One that was held up tells nothing.
                    if count >= ENOUGH && (took * 2 >= time || spent >= time) {
                        return Ok(fastest);
                    }
                    count *= 2;
                }
            }
        }
    }

    /// Runs the measured phase, for about `time`. `rate` is what the warm-up returned; `cost` is that of reading
    /// the clock.
    pub(super) fn drive(
        &self,
        link: &mut impl Link,
        time: Duration,
        rate: f64,
        cost: Duration,
        whose: Whose,
    ) -> Result<Timed, Failure> {
        let mut latencies = Histogram::new();
        match (self.pattern, self.pace) {
            (Pattern::RoundTrip, Pace::AtOnce) => {
                let mut elapsed = Duration::ZERO;
                let trips = round_trip::sample(link, self.size, time, cost, |time| {
                    latencies.record(time);
                    elapsed += time;
                })?;
                let (timed_messages, messages) = (latencies.len() * 2, trips * 2);
                let latencies = Some(latencies);
                Ok(Timed { latencies, timed_messages, elapsed, messages, idle_cpu: Duration::ZERO })
            }
            (Pattern::RoundTrip, pace) => {
                let mut clock = WallClock::new(whose, self.asleep);
                let trips = pace::sample(link, self.size, time, pace, &mut clock, |time| {
                    latencies.record(time.saturating_sub(cost));
                })?;
                let (timed_messages, messages) = (latencies.len() * 2, trips * 2);
                let (elapsed, idle_cpu, latencies) =
                    (clock.elapsed(), clock.idle_cpu(), Some(latencies));
                Ok(Timed { latencies, timed_messages, elapsed, messages, idle_cpu })
            }
            (Pattern::Stream, _) => {
                let count = ((rate * time.as_secs_f64()) as u64).max(1);
                let elapsed = stream::pour(link, self.size, count, self.together())?;
                let (messages, idle_cpu) = (count * u64::from(self.senders), Duration::ZERO);
                Ok(Timed { latencies: None, timed_messages: messages, elapsed, messages, idle_cpu })
            }
        }
    }
}
