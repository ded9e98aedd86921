//! Every compiled-in transport, chosen by URL through the registry, passes the suite.
#![cfg(any(
    feature = "in-process",
    feature = "message-queue",
    feature = "named-pipe",
    feature = "shared-memory",
    feature = "socket"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

use anyipc::Registry;
use anyipc_conformance::Fixture;

fn chosen_by(url: &str) -> Fixture<'static> {
    let (transport, _) = Registry::global().resolve(&url.parse().unwrap()).unwrap();
    Fixture::of(transport).sleeper(anyipc_os::sleep)
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

#[cfg(all(feature = "named-pipe", any(target_os = "linux", target_os = "macos", windows)))]
mod pipe {
    anyipc_conformance::suite!(super::chosen_by("pipe://any"));
}

#[cfg(all(feature = "socket", any(target_os = "linux", target_os = "macos", windows)))]
mod local {
    anyipc_conformance::suite!(super::chosen_by("local://any"));
}

#[cfg(all(feature = "socket", any(target_os = "linux", target_os = "macos", windows)))]
mod tcp {
    /// A loopback address of this process's own.
    fn address(serial: u64) -> String {
        let [.., b, c] = std::process::id().to_be_bytes();
        format!("127.{}.{c}.3:{}", b.max(1), 20_000 + serial % 10_000)
    }

    anyipc_conformance::suite!(super::chosen_by("tcp://127.0.0.1:0").names(address));
}
