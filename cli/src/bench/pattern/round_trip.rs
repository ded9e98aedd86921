//! Round trip: one message there, one of the same size back, the next only then.

use std::time::{Duration, Instant};

use super::super::link::{Failure, Link, Received, left_early};
use super::super::payload::LAST;

/// Times taken between two looks away from the link, to record them.
const BATCH: usize = 256;

/// Exchanges messages for about this long and records the time of each round trip. One reading of the clock
/// ends a round trip and begins the next; `clock`, the cost of a reading, is taken off each time.
///
/// Returns the number of round trips, one more than was recorded: the last one carries the end of the phase.
pub(crate) fn sample(
    link: &mut impl Link,
    size: usize,
    time: Duration,
    clock: Duration,
    mut record: impl FnMut(Duration),
) -> Result<u64, Failure> {
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

/// One round trip.
#[inline]
pub(crate) fn trip(
    link: &mut impl Link,
    size: usize,
    sequence: u64,
    stamp: u64,
) -> Result<(), Failure> {
    link.send(size, stamp)?;
    match link.receive(size, sequence)? {
        Received::Message | Received::Last => Ok(()),
        Received::End => Err(left_early()),
    }
}

/// The peer's side of one phase: answers every message with a newly written one. False if the other side
/// closed before it began.
pub(crate) fn answer(link: &mut impl Link, size: usize) -> Result<bool, Failure> {
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
