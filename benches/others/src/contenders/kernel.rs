//! System calls only: a Unix socket, TCP without delay, or a pipe each way, as the variant says.

use anyipc_measure::Result;
use anyipc_measure::baseline::{Baseline, Offer, Terms, join};
use anyipc_measure::payload::Coverage;
use anyipc_measure::wait::Wait;

use super::{name, start};
use crate::job::{Job, Pattern};
use crate::link::{serve, time};

pub(super) fn first(job: &Job) -> Result<f64> {
    let place = name("kernel");
    let offer = Offer::new(terms(job)?, &place)?;
    let _second = start(job, &place)?;
    time(&mut offer.accept(|| true)?, job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    serve(&mut join(terms(job)?, place)?, job)
}

fn terms(job: &Job) -> Result<Terms> {
    let baseline = match job.variant.as_str() {
        "unix" => Baseline::Unix,
        "tcp" => Baseline::Tcp,
        "pipe" => Baseline::Pipe,
        unknown => return Err(format!("no system calls for {unknown}").into()),
    };
    let pattern = match job.pattern {
        Pattern::RoundTrip => anyipc_measure::pattern::Pattern::RoundTrip,
        _ => anyipc_measure::pattern::Pattern::Stream,
    };
    Ok(Terms { baseline, pattern, size: job.size, wait: Wait::Block, checked: Coverage::Line })
}
