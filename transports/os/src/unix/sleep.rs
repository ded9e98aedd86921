use std::time::Duration;

use anyipc_core::{Interest, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Sleeps until a source is ready, or its other side has closed, for this time at most. False after
/// the time, or after a signal.
pub fn sleep(source: &Source, interest: Interest, longest: Duration) -> bool {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
    // A time that the type cannot hold is endless.
    let longest = Timespec::try_from(longest).ok();
    matches!(poll(&mut fds, longest.as_ref()), Ok(1..))
}
