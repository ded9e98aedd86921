//! The suite every transport passes, with threads and tasks that sleep in a real `poll`.
#![cfg(target_os = "linux")]

use std::time::Duration;

use anyipc_conformance::Fixture;
use anyipc_core::{Interest, Source};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Sleeps on the source alone: one that is never ready is noticed.
fn sleeper(source: &Source, interest: Interest, timeout: Duration) -> bool {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
    let limit =
        Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    matches!(poll(&mut fds, Some(&limit)), Ok(1..))
}

mod usual {
    use super::*;

    anyipc_conformance::suite!(Fixture::new(anyipc_message_queue::MessageQueue).sleeper(sleeper));
}

/// The smallest queues, so that nearly every send has to wait.
mod tiny {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_message_queue::MessageQueue)
            .option("capacity", "1KiB")
            .sleeper(sleeper)
    );
}

/// The kernel's queues, small: all of a user's together have a limit.
mod posix {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_message_queue::MessageQueue)
            .option("native", "posix")
            .option("capacity", "4KiB")
            .sleeper(sleeper)
    );
}
