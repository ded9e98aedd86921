//! anyipc: what is done once. The variant says what: `block` makes, opens and closes a block of the size; `connect`
//! has the second process connect over `shm://` again and again.

use std::time::Instant;

use super::anyipc_channel::{COME, owner};
use super::name;
use crate::Result;
use crate::job::Job;
use crate::link::Second;

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
            let _second = Second::start(job, &owner.address().to_string())?;
            time(job, || Ok(owner.accept_timeout(COME)?.close()?))
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
