//! How a thread sleeps on sources, on every Unix.

use std::sync::Arc;
use std::time::Duration;

use anyipc_core::{Interest, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// Sleeps until a source is ready, or its other side has closed, for this time at most. False after
/// the time, or after a signal.
pub fn sleep(source: &Source, interest: Interest, longest: Duration) -> bool {
    sleep_on(&[(Arc::clone(source), interest)], longest)
}

/// As [`sleep`], until any of the sources is ready.
pub fn sleep_on(sources: &[(Source, Interest)], longest: Duration) -> bool {
    // A channel sleeps on one or two sources: no allocation for them.
    let (mut one, mut two, mut many);
    let fds: &mut [PollFd<'_>] = match sources {
        [source] => {
            one = [fd(source)];
            &mut one
        }
        [first, second] => {
            two = [fd(first), fd(second)];
            &mut two
        }
        _ => {
            many = sources.iter().map(fd).collect::<Vec<_>>();
            &mut many
        }
    };
    // A time that the type cannot hold is endless.
    let limit = Timespec::try_from(longest).ok();
    match poll(fds, limit.as_ref()) {
        Ok(count) => count > 0,
        Err(Errno::INTR) => false,
        Err(_) => {
            // No memory or too many descriptors. The caller tries again; the pause keeps it from a
            // busy loop.
            std::thread::sleep(longest.min(Duration::from_millis(1)));
            true
        }
    }
}

fn fd((source, interest): &(Source, Interest)) -> PollFd<'_> {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    PollFd::from_borrowed_fd(source.as_fd(), flags)
}
