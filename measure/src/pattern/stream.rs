//! Stream: messages one way, as fast as they are taken.

use std::time::{Duration, Instant};

use crate::Result;
use crate::link::{Link, left_early};
use crate::payload::{LAST, Received};

/// Length of the receiver's confirmation, in bytes.
pub const CONFIRMATION: usize = 64;

/// Sends `count` messages, `batch` of them together. The clock stops when the receiver has
/// confirmed the last one.
pub fn send_all(link: &mut impl Link, size: usize, count: u64, batch: u64) -> Result<Duration> {
    let start = Instant::now();
    let last = count.saturating_sub(1);
    if batch > 1 {
        for first in (0..last).step_by(usize::try_from(batch).unwrap_or(usize::MAX)) {
            link.send_many(size, first, batch.min(last - first))?;
        }
    } else {
        for sequence in 0..last {
            link.send(size, sequence)?;
        }
    }
    link.send(size, last | LAST)?;
    match link.receive(CONFIRMATION, last)? {
        Received::Message | Received::Last => Ok(start.elapsed()),
        Received::End => Err(left_early()),
    }
}

/// The peer's side of one phase: takes all messages and confirms the last. False if the other side
/// ended before it began.
pub fn receive_all(link: &mut impl Link, size: usize) -> Result<bool> {
    let mut sequence = 0;
    loop {
        match link.receive(size, sequence)? {
            Received::Message => sequence += 1,
            Received::Last => {
                link.send(CONFIRMATION, sequence | LAST)?;
                return Ok(true);
            }
            Received::End if sequence == 0 => return Ok(false),
            Received::End => return Err(left_early()),
        }
    }
}
