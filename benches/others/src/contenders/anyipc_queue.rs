//! anyipc: two queues by address, one each way. The variant is as in
//! [`anyipc_channel`](super::anyipc_channel).

use anyipc::Queue;
use anyipc_measure::Result;
use anyipc_measure::queue::QueueLink;
use anyipc_measure::watchdog::Liveness;

use super::anyipc_channel::owner;
use super::start;
use crate::job::{Job, Pattern, SENDERS};
use crate::link::{serve, time};

pub(super) fn first(job: &Job) -> Result<f64> {
    let [back, there] = [owner(&job.variant, "back")?, owner(&job.variant, "there")?];
    let place = format!("{} {}", there.address(), back.address());
    let seconds = if job.pattern == Pattern::Senders { SENDERS } else { 1 };
    let _seconds = (0..seconds).map(|_| start(job, &place)).collect::<Result<Vec<_>>>()?;
    time(&mut link(there.queue()?, back.queue()?, job), job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let (receives, sends) = place.split_once(' ').ok_or("two queues are two places")?;
    let [receives, sends] = [anyipc::open(receives)?, anyipc::open(sends)?];
    serve(&mut link(sends.queue()?, receives.queue()?, job), job)
}

fn link(sends: Queue, receives: Queue, job: &Job) -> QueueLink {
    QueueLink::new(sends, receives, job.handling(), Liveness::default())
}
