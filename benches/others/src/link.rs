//! The two sides of a measurement over anything that blocks: what they do, and how the second one comes and goes.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::Result;
use crate::job::{BATCH, Job, Pattern, SENDERS};

/// One end of what carries checked messages.
pub(crate) trait Link {
    /// Writes and sends message `number`.
    fn send(&mut self, number: u64) -> Result<()>;

    /// Writes and sends [`BATCH`] messages, numbered from `first`, together.
    fn send_batch(&mut self, first: u64) -> Result<()> {
        (first..first + BATCH).try_for_each(|number| self.send(number))
    }

    /// Waits for a message and checks that it is this one, or any.
    fn receive(&mut self, number: Option<u64>) -> Result<()>;
}

/// What the first process does: the nanoseconds that a message, or a round trip, takes. Streams are timed where they
/// arrive.
pub(crate) fn time(link: &mut impl Link, job: &Job) -> Result<f64> {
    (0..job.warm).try_for_each(|number| step(link, job, number))?;
    let start = Instant::now();
    (job.warm..job.total()).try_for_each(|number| step(link, job, number))?;
    Ok(start.elapsed().as_nanos() as f64 / job.count as f64)
}

#[inline]
fn step(link: &mut impl Link, job: &Job, number: u64) -> Result<()> {
    match job.pattern {
        Pattern::RoundTrip => link.send(number).and_then(|()| link.receive(Some(number))),
        Pattern::Senders => link.receive(None),
        _ => link.receive(Some(number)),
    }
}

/// What the second process does.
pub(crate) fn serve(link: &mut impl Link, job: &Job) -> Result<()> {
    let mut numbers = 0..job.total();
    match job.pattern {
        Pattern::RoundTrip => {
            numbers.try_for_each(|n| link.receive(Some(n)).and_then(|()| link.send(n)))
        }
        Pattern::Batch => {
            numbers.step_by(BATCH as usize).try_for_each(|first| link.send_batch(first))
        }
        Pattern::Senders => (0..job.total() / SENDERS).try_for_each(|n| link.send(n)),
        _ => numbers.try_for_each(|n| link.send(n)),
    }
}

/// The second process. Dropping it dismisses it and waits until it has gone.
pub(crate) struct Second(Child);

impl Second {
    /// Starts this program again, which finds the first side at `place`.
    pub(crate) fn start(job: &Job, place: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("second").arg(&job.contender).args(job.words()).arg(place);
        Ok(Self(command.stdin(Stdio::piped()).spawn()?))
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // What it has to say it has said.
        let _ = self.0.wait();
    }
}

/// Waits, in the second process, for the first one to let it go, or to die.
pub(crate) fn until_dismissed() {
    let _ = io::stdin().read(&mut [0]);
}
