//! The transports between processes that the torture tests go through: a new one is one line.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyipc::{Capabilities, Registry};

use super::unique;

pub(crate) const SCHEMES: &[&str] = &[
    "shm",
    #[cfg(feature = "message-queue")]
    "mq",
    #[cfg(feature = "named-pipe")]
    "pipe",
    #[cfg(feature = "socket")]
    "local",
    #[cfg(feature = "socket")]
    "tcp",
];

/// An address that nobody else uses, without options.
pub(crate) fn address(scheme: &str, tag: &str) -> String {
    if scheme != "tcp" {
        return format!("{scheme}://{}", unique(tag));
    }
    // A loopback address of this process's own.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [.., b, c] = std::process::id().to_be_bytes();
    format!("tcp://127.{}.{c}.3:{}", b.max(1), 20_000 + NEXT.fetch_add(1, Relaxed))
}

/// Whether the transport of an address can do this.
pub(crate) fn can(url: &str, what: Capabilities) -> bool {
    let address = url.parse().unwrap();
    Registry::global().resolve(&address).unwrap().0.capabilities().contains(what)
}
