use std::io;

use anyipc::Endpoint;
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::interrupt;
use crate::output::Output;

/// A handle that is ready to be used by others.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    address: String,
    size: Option<usize>,
    role: &'a str,
    pid: u32,
}

/// Says `ready` and keeps the handle until the standard input or a signal ends it; then closes it.
pub(crate) fn hold(endpoint: Endpoint, out: &Output) -> Result<()> {
    interrupt::install()?;
    if out.json() {
        report(&endpoint, true, out)?;
    } else {
        out.line("ready")?;
    }
    out.flush()?;
    let ended = interrupt::guard(|| {
        io::copy(&mut io::stdin().lock(), &mut io::sink())
            .map_err(|error| Failure::Io("reading the standard input".into(), error))
    });
    endpoint.close()?;
    ended.map(drop)
}

/// Gives the handle up at once.
pub(crate) fn release(endpoint: Endpoint, out: &Output) -> Result<()> {
    if out.json() {
        report(&endpoint, false, out)?;
    }
    Ok(endpoint.close()?)
}

fn report(endpoint: &Endpoint, ready: bool, out: &Output) -> Result<()> {
    out.record(Ready {
        ready,
        address: endpoint.address().to_string(),
        size: endpoint.block().ok().map(anyipc::Block::len),
        role: endpoint.role().as_str(),
        pid: std::process::id(),
    })
}
