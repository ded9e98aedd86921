//! An opener's request for the text of a `tcp://` owner, over a connection of its own.

use std::ffi::CStr;
use std::thread;
use std::time::{Duration, Instant};

use anyipc_core::{Error, ErrorKind, Interest, Operation, Result};
use anyipc_os::sleep;

use super::Place;
use super::connect::RETRY_AFTER;
use super::opener_handshake::OpenerHandshake;
use crate::text;

/// Requests the text from the owner, and blocks until it answers, for at most `timeout`.
///
/// # Errors
/// `NotFound` (no owner listens, or the name has no text), `TimedOut` (the owner does not accept),
/// and those of a connection.
pub(super) fn read(place: &Place, timeout: Duration, read: &mut dyn FnMut(&CStr)) -> Result<()> {
    let deadline = Instant::now().checked_add(timeout);
    let request = text::request();
    let failed = |error: Error| match error.kind() {
        ErrorKind::NoOwner => {
            Error::new(Operation::ReadLpsz, ErrorKind::NotFound).because("its owner left")
        }
        _ => error.during(Operation::ReadLpsz),
    };
    let mut handshake = OpenerHandshake::begin(place, &request).map_err(failed)?;
    while handshake.step(place, &request).map_err(failed)?.is_none() {
        let left =
            deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(Error::new(Operation::ReadLpsz, ErrorKind::TimedOut)
                .because("its owner sends the text only while it accepts"));
        }
        if handshake.is_on_the_wire() {
            // Without the alarm of a deadline: `timeout` is the only limit here.
            handshake.clear_alarm()?;
            sleep(&handshake.source(), Interest::Readable, left);
        } else {
            thread::sleep(RETRY_AFTER);
        }
    }
    text::show(handshake.text(), read)
}
