use std::io;
use std::sync::mpsc;
use std::thread;

use anyipc::{Endpoint, ErrorKind};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::interrupt::{self, SLICE};
use crate::output::Output;

/// A handle that other processes can use now.
#[derive(Serialize)]
struct Ready<'a> {
    ready: bool,
    address: String,
    size: Option<usize>,
    role: &'a str,
    pid: u32,
}

/// Prints `ready`, keeps the handle until the standard input ends or a signal comes, and closes it.
pub(crate) fn hold(endpoint: Endpoint, out: &Output) -> Result<()> {
    print_ready(&endpoint, out)?;
    let ended = interrupt::guard(exhaust_input);
    endpoint.close()?;
    ended
}

/// Like [`hold`], but accepts meanwhile: the owner of some transports serves its text only then. A
/// channel that is accepted is closed at once.
pub(crate) fn hold_and_accept(endpoint: Endpoint, out: &Output) -> Result<()> {
    print_ready(&endpoint, out)?;
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
            // The transport has no channels: its text is read without the owner.
            Err(error) if error.kind() == ErrorKind::Unsupported => thread::sleep(SLICE),
            Err(error) => return Err(error.into()),
        }
    }
}

fn print_ready(endpoint: &Endpoint, out: &Output) -> Result<()> {
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

/// Closes the handle at once.
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
