//! Every compiled-in transport, chosen by URL through the registry, passes the suite.
#![cfg(all(
    unix,
    any(
        feature = "in-process",
        feature = "message-queue",
        feature = "named-pipe",
        feature = "shared-memory",
        feature = "socket"
    )
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

use std::time::Duration;

use anyipc::Registry;
use anyipc::transport::{Interest, Source};
use anyipc_conformance::Fixture;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn chosen_by(url: &str) -> Fixture<'static> {
    let (transport, _) = Registry::global().resolve(&url.parse().unwrap()).unwrap();
    Fixture::of(transport).sleeper(sleep)
}

fn sleep(source: &Source, interest: Interest, timeout: Duration) -> bool {
    let flags = match interest {
        Interest::Readable => PollFlags::IN,
        Interest::Writable => PollFlags::OUT,
    };
    let limit = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: timeout.subsec_nanos().into() };
    let mut fds = [PollFd::from_borrowed_fd(source.as_fd(), flags)];
    poll(&mut fds, Some(&limit)).is_ok_and(|ready| ready > 0)
}

#[cfg(feature = "in-process")]
mod inproc {
    anyipc_conformance::suite!(super::chosen_by("inproc://any"));
}

#[cfg(all(feature = "shared-memory", target_os = "linux"))]
mod shm {
    anyipc_conformance::suite!(super::chosen_by("shm://any"));
}

#[cfg(all(feature = "message-queue", target_os = "linux"))]
mod mq {
    anyipc_conformance::suite!(super::chosen_by("mq://any"));
}

/// The kernel's queues, small: all of a user's together have a limit.
#[cfg(all(feature = "message-queue", target_os = "linux"))]
mod posix {
    anyipc_conformance::suite!(
        super::chosen_by("mq://any").option("native", "posix").option("capacity", "4KiB")
    );
}

#[cfg(all(feature = "named-pipe", target_os = "linux"))]
mod pipe {
    anyipc_conformance::suite!(super::chosen_by("pipe://any"));
}

#[cfg(all(feature = "socket", target_os = "linux"))]
mod local {
    anyipc_conformance::suite!(super::chosen_by("local://any"));
}

#[cfg(all(feature = "socket", target_os = "linux"))]
mod tcp {
    /// A loopback address of this process's own.
    fn address(serial: u64) -> String {
        let [.., b, c] = std::process::id().to_be_bytes();
        format!("127.{}.{c}.3:{}", b.max(1), 20_000 + serial % 10_000)
    }

    anyipc_conformance::suite!(super::chosen_by("tcp://127.0.0.1:0").names(address));
}
