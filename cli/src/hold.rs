use std::io;
use std::sync::mpsc;
use std::thread;

use anyipc::{Endpoint, ErrorKind};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::interrupt::{self, SLICE};
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
    announce(&endpoint, out)?;
    let ended = interrupt::guard(exhaust_input);
    endpoint.close()?;
    ended
}

/// As [`hold`], accepting meanwhile: the owners of some transports tell their text only then. Who wants a channel
/// gets one that is closed already.
pub(crate) fn hold_and_accept(endpoint: Endpoint, out: &Output) -> Result<()> {
    announce(&endpoint, out)?;
    let ended = accept_until_the_end(&endpoint);
    endpoint.close()?;
    ended
}

fn accept_until_the_end(endpoint: &Endpoint) -> Result<()> {
    let (result, input) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || drop(result.send(exhaust_input())))
        .map_err(|error| Failure::Io("starting a thread".into(), error))?;
    loop {
        interrupt::check()?;
        if let Ok(ended) = input.try_recv() {
            return ended;
        }
        match endpoint.accept_timeout(SLICE) {
            Ok(channel) => drop(channel),
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            // It has no channels: whoever reads the text needs nobody.
            Err(error) if error.kind() == ErrorKind::Unsupported => thread::sleep(SLICE),
            Err(error) => return Err(error.into()),
        }
    }
}

fn announce(endpoint: &Endpoint, out: &Output) -> Result<()> {
    interrupt::install()?;
    if out.json() {
        report(endpoint, true, out)?;
    } else {
        out.line("ready")?;
    }
    out.flush()
}

fn exhaust_input() -> Result<()> {
    io::copy(&mut io::stdin().lock(), &mut io::sink())
        .map(drop)
        .map_err(|error| Failure::Io("reading the standard input".into(), error))
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
