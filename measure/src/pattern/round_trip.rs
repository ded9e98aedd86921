//! Round trip: one message there, one of the same size back, then the next.

use std::time::{Duration, Instant};

use crate::Result;
use crate::link::{Link, left_early};
use crate::payload::{LAST, Received};

/// Round trips between two breaks to record their times, so that recording does not disturb each.
const BATCH: usize = 256;

/// Exchanges messages for about this long and records the time of each round trip. One reading of
/// the clock ends a round trip and begins the next; `clock`, the cost of a reading, is taken off
/// each time. Returns the number of round trips, one more than was recorded: the last one carries
/// the end of the phase.
pub fn sample(
    link: &mut impl Link,
    size: usize,
    time: Duration,
    clock: Duration,
    mut record: impl FnMut(Duration),
) -> Result<u64> {
    let mut times = Vec::with_capacity(BATCH);
    let mut sequence = 0;
    let start = Instant::now();
    let mut now = start;
    while now - start < time {
        now = Instant::now();
        while times.len() < BATCH && now - start < time {
            trip(link, size, sequence, sequence)?;
            sequence += 1;
            let before = now;
            now = Instant::now();
            times.push(now - before);
        }
        times.drain(..).for_each(|time| record(time.saturating_sub(clock)));
    }
    trip(link, size, sequence, sequence | LAST)?;
    Ok(sequence + 1)
}

/// The time of `count` round trips. One more, not timed, carries the end of the phase.
pub fn exchange(link: &mut impl Link, size: usize, count: u64) -> Result<Duration> {
    let start = Instant::now();
    (0..count).try_for_each(|sequence| trip(link, size, sequence, sequence))?;
    let time = start.elapsed();
    trip(link, size, count, count | LAST)?;
    Ok(time)
}

/// One round trip.
#[inline]
pub fn trip(link: &mut impl Link, size: usize, sequence: u64, stamp: u64) -> Result<()> {
    link.send(size, stamp)?;
    match link.receive(size, sequence)? {
        Received::Message | Received::Last => Ok(()),
        Received::End => Err(left_early()),
    }
}

/// The peer's side of one phase: answers every message with a newly written one. False if the
/// other side ended before it began.
pub fn answer(link: &mut impl Link, size: usize) -> Result<bool> {
    let mut sequence = 0;
    loop {
        match link.receive(size, sequence)? {
            Received::Message => link.send(size, sequence)?,
            Received::Last => {
                link.send(size, sequence)?;
                return Ok(true);
            }
            Received::End if sequence == 0 => return Ok(false),
            Received::End => return Err(left_early()),
        }
        sequence += 1;
    }
}
