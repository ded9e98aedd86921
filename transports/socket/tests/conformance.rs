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
    let limit = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    matches!(poll(&mut fds, Some(&limit)), Ok(1..))
}

mod local {
    use super::*;

    anyipc_conformance::suite!(Fixture::new(anyipc_socket::Local).sleeper(sleeper));
}

mod tcp {
    use super::*;

    /// A loopback address of this process's own, so that no two processes meet.
    fn address(serial: u64) -> String {
        let [.., b, c] = std::process::id().to_be_bytes();
        let (port, more) = (20_000 + serial % 10_000, 1 + (serial / 10_000) % 250);
        format!("127.{}.{c}.{more}:{port}", b.max(1))
    }

    anyipc_conformance::suite!(Fixture::new(anyipc_socket::Tcp).names(address).sleeper(sleeper));
}
