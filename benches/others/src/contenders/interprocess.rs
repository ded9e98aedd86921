//! The crate interprocess: a local socket, framed like the bare ones.

use anyipc_measure::Result;
use anyipc_measure::framed::Framed;
use anyipc_measure::payload::Coverage;
use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, Stream, ToFsName};

use super::{path, start};
use crate::job::Job;
use crate::link::{serve, time};

fn name(place: &str) -> Result<Name<'_>> {
    Ok(place.to_fs_name::<GenericFilePath>()?)
}

pub(super) fn first(job: &Job) -> Result<f64> {
    let place = path("interprocess");
    let listener = ListenerOptions::new().name(name(&place)?).create_sync()?;
    let _second = start(job, &place)?;
    time(&mut Framed::new(listener.accept()?, job.size, Coverage::Line), job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    let stream = Stream::connect(name(place)?)?;
    serve(&mut Framed::new(stream, job.size, Coverage::Line), job)
}
