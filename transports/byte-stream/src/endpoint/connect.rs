use std::time::{Duration, Instant};

use anyipc_core::{Armed, Attempt, Error, ErrorKind, Interest, Operation, Result, Source};

use super::Place;
use super::opener_handshake::{OpenerHandshake, no_owner};
use crate::halves::StreamChannel;

/// How soon to try again where no event tells: for an owner, for room in its queue, and for a TCP
/// connection to be established.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(1);

/// What an attempt stores. Taken out when the handshake is complete.
type Progress = Option<OpenerHandshake>;

/// Takes one step of the handshake with the owner.
pub(super) fn try_connect(place: &Place, attempt: &mut Attempt) -> Result<StreamChannel> {
    let hello = attempt.hello.clone();
    let progress: &mut Progress =
        attempt.progress(|| OpenerHandshake::begin(place, &hello).map(Some))?;
    let Some(handshake) = progress else { return Err(no_owner()) };
    // Read before the step: what had arrived by the deadline counts.
    let now = Instant::now();
    let result = match handshake.step(place, &hello) {
        Ok(Some(theirs)) => hello.check(&theirs).and_then(|()| {
            let handshake = progress.take().ok_or_else(no_owner)?;
            handshake.into_channel(theirs)
        }),
        Ok(None) if !handshake.is_late(now) => {
            return Err(Error::new(Operation::Connect, ErrorKind::WouldBlock));
        }
        Ok(None) => Err(Error::new(Operation::Connect, ErrorKind::TimedOut).because(
            "the owner began to answer and did not finish within 1 s \
             (or 10 s, once it had proved the secret)",
        )),
        Err(error) => Err(error),
    };
    // The attempt ends here. The next call begins a new handshake.
    attempt.reset();
    result
}

fn stored(attempt: &Attempt) -> Option<&OpenerHandshake> {
    attempt.stored::<Progress>()?.as_ref()
}

pub(super) fn arm(attempt: &Attempt) -> Result<Armed> {
    match stored(attempt).filter(|handshake| handshake.is_on_the_wire()) {
        Some(handshake) => handshake.arm().map(|()| Armed::Source(Interest::Readable)),
        None => Ok(Armed::After(RETRY_AFTER)),
    }
}

pub(super) fn source(attempt: &Attempt) -> Result<Source> {
    match stored(attempt) {
        Some(handshake) => Ok(handshake.source()),
        None => Err(Error::new(Operation::Connect, ErrorKind::Unsupported)),
    }
}
