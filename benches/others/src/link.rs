//! What both sides of a measurement do over a link that blocks.

use std::time::Instant;

use anyipc_measure::Result;
use anyipc_measure::link::{Link, left_early};
use anyipc_measure::pattern::round_trip::trip;
use anyipc_measure::payload::{ANY, Received};

use crate::job::{BATCH, Job, Pattern, SENDERS};

/// The first process: the nanoseconds that a message, or a round trip, takes. Streams are timed
/// where they arrive.
pub(crate) fn time(link: &mut impl Link, job: &Job) -> Result<f64> {
    (0..job.warm).try_for_each(|number| step(link, job, number))?;
    let start = Instant::now();
    (job.warm..job.total()).try_for_each(|number| step(link, job, number))?;
    Ok(start.elapsed().as_nanos() as f64 / job.count as f64)
}

#[inline]
fn step(link: &mut impl Link, job: &Job, number: u64) -> Result<()> {
    match job.pattern {
        Pattern::RoundTrip => trip(link, job.size, number, number),
        Pattern::Senders => take(link, job, ANY),
        _ => take(link, job, number),
    }
}

#[inline]
fn take(link: &mut impl Link, job: &Job, number: u64) -> Result<()> {
    match link.receive(job.size, number)? {
        Received::End => Err(left_early()),
        _ => Ok(()),
    }
}

/// The second process.
pub(crate) fn serve(link: &mut impl Link, job: &Job) -> Result<()> {
    let size = job.size;
    let mut numbers = 0..job.total();
    match job.pattern {
        Pattern::RoundTrip => {
            numbers.try_for_each(|n| take(link, job, n).and_then(|()| link.send(size, n)))
        }
        Pattern::Batch => {
            numbers.step_by(BATCH as usize).try_for_each(|first| link.send_many(size, first, BATCH))
        }
        Pattern::Senders => (0..job.total() / SENDERS).try_for_each(|n| link.send(size, n)),
        _ => numbers.try_for_each(|n| link.send(size, n)),
    }
}
