//! anyipc: two queues by address, one each way. The variant is as in [`anyipc_channel`](super::anyipc_channel).

use anyipc::Queue;

use super::anyipc_channel::owner;
use crate::Result;
use crate::job::{Job, Pattern, SENDERS};
use crate::link::{Link, Second, serve, time};
use crate::payload::{check, write};

/// The one priority that all messages have.
const PRIORITY: u32 = 0;

pub(super) fn first(job: &Job) -> Result<f64> {
    let [back, there] = [owner(&job.variant, "back")?, owner(&job.variant, "there")?];
    let place = format!("{} {}", there.address(), back.address());
    let seconds = if job.pattern == Pattern::Senders { SENDERS } else { 1 };
    let _seconds = (0..seconds).map(|_| Second::start(job, &place)).collect::<Result<Vec<_>>>()?;
    time(&mut QueueLink::new(there.queue()?, back.queue()?, job), job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let (receives, sends) = place.split_once(' ').ok_or("two queues are two places")?;
    let [receives, sends] = [anyipc::open(receives)?, anyipc::open(sends)?];
    serve(&mut QueueLink::new(sends.queue()?, receives.queue()?, job), job)
}

struct QueueLink {
    sends: Queue,
    receives: Queue,
    size: usize,
    pattern: Pattern,
    buffer: Vec<u8>,
}

impl QueueLink {
    fn new(sends: Queue, receives: Queue, job: &Job) -> Self {
        Self { sends, receives, size: job.size, pattern: job.pattern, buffer: vec![0; job.size] }
    }
}

impl Link for QueueLink {
    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        write(&mut self.buffer, number, self.pattern);
        Ok(self.sends.send(PRIORITY, &self.buffer)?)
    }

    #[inline]
    fn receive(&mut self, number: Option<u64>) -> Result<()> {
        let (size, buffer) = (self.size, &mut self.buffer);
        self.receives.recv_with(|_, message| {
            buffer.clear();
            buffer.extend_from_slice(message);
        })?;
        check(buffer, size, number)
    }
}
