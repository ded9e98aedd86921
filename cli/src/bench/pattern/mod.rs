//! The patterns of traffic: which messages go where, and what of it is timed. One file each, with the
//! driver's and the peer's side.
//!
//! A pattern runs in phases over one link: warm-up, then the measured one. The driver marks the last
//! message of a phase; the peer counts anew from there.

mod round_trip;
mod stream;
#[cfg(test)]
mod tests;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::link::{Failure, Link};
use super::stats::Histogram;

/// A pattern of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pattern {
    /// One message there, one back, the next only then
    RoundTrip,
    /// One way, as fast as they are taken
    Stream,
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
}

impl Pattern {
    /// As on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "round-trip",
            Self::Stream => "stream",
        }
    }

    /// Runs phases that are not measured, for about this long. Returns how many messages of one direction
    /// went through in a second.
    pub(super) fn warm_up(self, link: &mut impl Link, size: usize, time: Duration) -> Result<f64, Failure> {
        match self {
            Self::RoundTrip => {
                let trips = round_trip::sample(link, size, time, Duration::ZERO, |_| ())?;
                Ok(trips as f64 / time.as_secs_f64())
            }
            Self::Stream => {
                let mut count = 1;
                loop {
                    let took = stream::pour(link, size, count)?;
                    if took * 2 >= time {
                        return Ok(count as f64 / took.as_secs_f64());
                    }
                    count *= 2;
                }
            }
        }
    }

    /// Runs the measured phase, for about `time`. `rate` is what the warm-up returned; `clock` is the cost of
    /// reading the clock.
    pub(super) fn drive(
        self,
        link: &mut impl Link,
        size: usize,
        time: Duration,
        rate: f64,
        clock: Duration,
    ) -> Result<Timed, Failure> {
        match self {
            Self::RoundTrip => {
                let mut latencies = Histogram::new();
                let mut elapsed = Duration::ZERO;
                let trips = round_trip::sample(link, size, time, clock, |time| {
                    latencies.record(time);
                    elapsed += time;
                })?;
                let timed_messages = latencies.len() * 2;
                Ok(Timed { latencies: Some(latencies), timed_messages, elapsed, messages: trips * 2 })
            }
            Self::Stream => {
                let count = ((rate * time.as_secs_f64()) as u64).max(1);
                let elapsed = stream::pour(link, size, count)?;
                Ok(Timed { latencies: None, timed_messages: count, elapsed, messages: count })
            }
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
