use std::time::Duration;

use anyipc_core::{Interest, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Sleeps until a source is ready, or hung up, for this time at most. False if the time has passed,
/// or a signal came.
pub fn sleep(source: &Source, interest: Interest, longest: Duration) -> bool {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
    // What is too long to say is for ever.
    let longest = Timespec::try_from(longest).ok();
    matches!(poll(&mut fds, longest.as_ref()), Ok(1..))
}
