//! anyipc: a channel by address. The variant is the address without a name, `shm?wait=spin`; with `trust=same-user`
//! messages are written and read in place.

use std::time::Duration;

use anyipc::{Channel, Endpoint};

use crate::Result;
use crate::job::{BATCH, Job, Pattern};
use crate::link::{Link, Second, serve, time};
use crate::payload::{check, write};

/// The longest wait for the other side.
pub(super) const COME: Duration = Duration::from_secs(10);

/// Owns a name that is `part` of this measurement.
pub(super) fn owner(variant: &str, part: &str) -> Result<Endpoint> {
    let (scheme, options) = variant.split_once('?').unwrap_or((variant, ""));
    let name = match scheme {
        "tcp" => "127.0.0.1:0".to_owned(),
        _ => super::name(part),
    };
    Ok(anyipc::create(format!("{scheme}://{name}?{options}"))?)
}

pub(super) fn first(job: &Job) -> Result<f64> {
    let owner = owner(&job.variant, "channel")?;
    let _second = Second::start(job, &owner.address().to_string())?;
    time(&mut ChannelLink::new(owner.accept_timeout(COME)?, job), job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    serve(&mut ChannelLink::new(anyipc::connect(place)?, job), job)
}

struct ChannelLink {
    channel: Channel,
    in_place: bool,
    size: usize,
    pattern: Pattern,
    buffer: Vec<u8>,
    many: Vec<Vec<u8>>,
}

impl ChannelLink {
    fn new(channel: Channel, job: &Job) -> Self {
        let &Job { size, pattern, .. } = job;
        let in_place = job.variant.contains("trust=same-user");
        let many = vec![vec![0; size]; BATCH as usize];
        Self { channel, in_place, size, pattern, buffer: vec![0; size], many }
    }
}

impl Link for ChannelLink {
    #[inline]
    fn send(&mut self, number: u64) -> Result<()> {
        let &mut Self { size, pattern, .. } = self;
        if self.in_place {
            let fill = |frame: &mut [u8]| {
                write(frame.get_mut(..size)?, number, pattern);
                Some(size)
            };
            return Ok(self.channel.send_with(size, fill)?);
        }
        write(&mut self.buffer, number, pattern);
        Ok(self.channel.send(&self.buffer)?)
    }

    fn send_batch(&mut self, first: u64) -> Result<()> {
        for (message, number) in self.many.iter_mut().zip(first..) {
            write(message, number, self.pattern);
        }
        self.channel.send_many(&self.many)?;
        Ok(())
    }

    #[inline]
    fn receive(&mut self, number: Option<u64>) -> Result<()> {
        let size = self.size;
        if self.in_place {
            return self.channel.recv_with(|message| check(message, size, number))?;
        }
        self.channel.recv_into(&mut self.buffer)?;
        check(&self.buffer, size, number)
    }
}
