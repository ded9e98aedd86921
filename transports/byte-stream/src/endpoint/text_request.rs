//! The text of a `tcp://` owner, asked for over a connection of its own.

use std::ffi::CStr;
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Interest, Operation, Result};
use anyipc_os::sleep;

use super::Place;
use super::connect::{OpenerHandshake, SOON};
use crate::text;

/// Asks the owner, and waits until it answers, for `patience` at most.
///
/// # Errors
/// `NotFound` (nobody listens, or the name has no text), `TimedOut` (the owner does not accept), and those of a
/// connection.
pub(super) fn ask(place: &Place, patience: Duration, read: &mut dyn FnMut(&CStr)) -> Result<()> {
    let deadline = Instant::now().checked_add(patience);
    let question = text::question();
    let told = |error: Error| match error.kind() {
        ErrorKind::NoOwner => {
            Error::new(Operation::ReadLpsz, ErrorKind::NotFound).because("its owner left")
        }
        _ => error.during(Operation::ReadLpsz),
    };
    let mut asked = OpenerHandshake::begin(place, &question).map_err(told)?;
    while asked.step(place, &question).map_err(told)?.is_none() {
        let left =
            deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(Error::new(Operation::ReadLpsz, ErrorKind::TimedOut)
                .because("its owner tells the text only while it accepts"));
        }
        match asked.set() {
            Some(set) => {
                set.ring_at(None)
                    .map_err(|e| Error::io(Operation::ReadLpsz, "setting the clock", e))?;
                sleep(&set.source(), Interest::Readable, left);
            }
            None => thread::sleep(SOON),
        }
    }
    text::show(asked.text(), read)
}
