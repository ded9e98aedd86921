//! The crate interprocess: a local socket, framed as the bare ones are.

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, Name, Stream, ToFsName};

use super::framed::Framed;
use crate::Result;
use crate::job::Job;
use crate::link::{Second, serve, time};

fn name(place: &str) -> Result<Name<'_>> {
    Ok(place.to_fs_name::<GenericFilePath>()?)
}

pub(super) fn first(job: &Job) -> Result<f64> {
    let place = super::path("interprocess");
    let listener = ListenerOptions::new().name(name(&place)?).create_sync()?;
    let _second = Second::start(job, &place)?;
    time(&mut Framed::new(listener.accept()?, job), job)
}

pub(super) fn second(job: &Job, place: &str) -> Result<()> {
    serve(&mut Framed::new(Stream::connect(name(place)?)?, job), job)
}
