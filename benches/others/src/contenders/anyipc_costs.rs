//! anyipc: what is done once. The variant `block` creates, opens and closes a block of the size;
//! with `connect` the second process connects over `shm://` repeatedly.

use std::time::Instant;

use anyipc_measure::Result;

use super::anyipc_channel::{ARRIVAL, owner};
use super::{name, start};
use crate::job::Job;

pub(super) fn first(job: &Job) -> Result<f64> {
    match job.variant.as_str() {
        "block" => time(job, || {
            let address = format!("shm://{}?size={}", name("block"), job.size);
            let made = anyipc::create(&address)?;
            anyipc::open(&address)?.close()?;
            Ok(made.close()?)
        }),
        _ => {
            let owner = owner("shm?wait=block", "connect")?;
            let _second = start(job, &owner.address().to_string())?;
            time(job, || Ok(owner.accept_timeout(ARRIVAL)?.close()?))
        }
    }
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let endpoint = anyipc::open(place)?;
    (0..job.total()).try_for_each(|_| Ok(endpoint.connect()?.close()?))
}

fn time(job: &Job, mut once: impl FnMut() -> Result<()>) -> Result<f64> {
    (0..job.warm).try_for_each(|_| once())?;
    let start = Instant::now();
    (0..job.count).try_for_each(|_| once())?;
    Ok(start.elapsed().as_nanos() as f64 / job.count as f64)
}
