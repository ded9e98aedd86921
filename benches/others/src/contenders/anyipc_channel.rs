//! anyipc: a channel by address. The variant is the address without a name, `shm?wait=spin`; with
//! `trust=same-user` messages are written and read in place.

use std::time::Duration;

use anyipc::Endpoint;
use anyipc_measure::Result;
use anyipc_measure::channel::ChannelLink;
use anyipc_measure::link::Handling;

use crate::contenders::{name, start};
use crate::job::Job;
use crate::link::{serve, time};

/// The longest wait for the other side.
pub(super) const ARRIVAL: Duration = Duration::from_secs(10);

/// Owns a name that is `part` of this measurement.
pub(super) fn owner(variant: &str, part: &str) -> Result<Endpoint> {
    let (scheme, options) = variant.split_once('?').unwrap_or((variant, ""));
    let name = match scheme {
        "tcp" => "127.0.0.1:0".to_owned(),
        _ => name(part),
    };
    Ok(anyipc::create(format!("{scheme}://{name}?{options}"))?)
}

fn handling(job: &Job) -> Handling {
    Handling { in_place: job.variant.contains("trust=same-user"), ..job.handling() }
}

pub(super) fn first(job: &Job) -> Result<f64> {
    let owner = owner(&job.variant, "channel")?;
    let _second = start(job, &owner.address().to_string())?;
    time(&mut ChannelLink::new(owner.accept_timeout(ARRIVAL)?, handling(job)), job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    serve(&mut ChannelLink::new(anyipc::connect(place)?, handling(job)), job)
}
