//! anyipc: two events that reset themselves, one each way, with the variant as `wait=`.

use std::time::{Duration, Instant};

use anyipc::sync::{Event, Reset};
use anyipc_measure::Result;

use super::{name, start};
use crate::job::Job;

/// A signal that is not there by then will not come.
const LOST: Duration = Duration::from_secs(5);

pub(super) fn first(job: &Job) -> Result<f64> {
    let address = format!("shm://{}", name("event"));
    let [there, back] = open(&address, &job.variant)?;
    let _second = start(job, &address)?;
    let trip = |_| -> Result<()> {
        there.set()?;
        Ok(back.wait_timeout(LOST)?)
    };
    (0..job.warm).try_for_each(trip)?;
    let start = Instant::now();
    (0..job.count).try_for_each(trip)?;
    Ok(start.elapsed().as_nanos() as f64 / job.count as f64)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let [there, back] = open(place, &job.variant)?;
    (0..job.total()).try_for_each(|_| {
        there.wait_timeout(LOST)?;
        Ok(back.set()?)
    })
}

fn open(address: &str, wait: &str) -> Result<[Event; 2]> {
    let open = |way| Event::open_or_create(format!("{address}.{way}?wait={wait}"), Reset::Auto);
    Ok([open("there")?, open("back")?])
}
