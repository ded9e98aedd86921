//! What the tests share.
#![allow(dead_code, reason = "each test crate uses a part of it")]

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyipc::{Capabilities, Channel, Endpoint, Registry};

/// Every transport that has channels.
pub(crate) const SCHEMES: &[&str] = &[
    #[cfg(feature = "in-process")]
    "inproc",
    #[cfg(all(feature = "shared-memory", target_os = "linux"))]
    "shm",
    #[cfg(all(feature = "message-queue", target_os = "linux"))]
    "mq",
    #[cfg(all(feature = "named-pipe", any(target_os = "linux", windows)))]
    "pipe",
    #[cfg(all(feature = "socket", any(target_os = "linux", windows)))]
    "local",
    #[cfg(all(feature = "socket", any(target_os = "linux", windows)))]
    "tcp",
];

/// An address that nobody else uses.
pub(crate) fn url(scheme: &str, tag: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = NEXT.fetch_add(1, Ordering::Relaxed);
    if scheme == "tcp" {
        // A loopback address of this process's own.
        let [.., b, c] = process::id().to_be_bytes();
        return format!("tcp://127.{}.{c}.2:{}", b.max(1), 20_000 + serial);
    }
    format!("{scheme}://facade.{tag}.{}.{serial}", process::id())
}

/// Another one of the same transport.
pub(crate) fn another(than: &str) -> String {
    url(than.split_once("://").unwrap().0, "another")
}

/// Runs the test for each transport; what hangs fails.
pub(crate) fn each(tag: &str, test: impl Fn(&str) + Send + Copy + 'static) {
    for scheme in SCHEMES {
        let url = url(scheme, tag);
        watched(&url.clone(), move || test(&url));
    }
}

/// Whether the transport of an address can do this.
pub(crate) fn can(url: &str, what: Capabilities) -> bool {
    let address = url.parse().unwrap();
    Registry::global().resolve(&address).unwrap().0.capabilities().contains(what)
}

/// Fails instead of hanging.
pub(crate) fn watched<T: Send + 'static>(
    what: &str,
    test: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (done, finished) = mpsc::channel();
    let runner = thread::spawn(move || {
        let result = test();
        let _ = done.send(());
        result
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = finished.recv_timeout(Duration::from_secs(60)) {
        panic!("{what} hangs");
    }
    runner.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A channel's two ends: the owner's and the opener's.
pub(crate) fn pair(url: &str) -> (Endpoint, Channel, Channel) {
    pair_with(url, "")
}

/// As `pair`, with a query for the opener.
pub(crate) fn pair_with(url: &str, query: &str) -> (Endpoint, Channel, Channel) {
    let owner = anyipc::create(url).unwrap();
    let theirs = format!("{}{query}", url.split('?').next().unwrap());
    let opener = thread::spawn(move || anyipc::connect(&theirs).unwrap());
    let accepted = owner.accept().unwrap();
    (owner, accepted, opener.join().unwrap())
}

/// A runtime of one thread: whoever blocks it, hangs it.
#[cfg(feature = "tokio")]
pub(crate) fn alone() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// As `pair`, async, without the owner.
#[cfg(feature = "tokio")]
pub(crate) async fn async_pair(url: &str) -> (anyipc::AsyncChannel, anyipc::AsyncChannel) {
    let owner = anyipc::create(url).unwrap();
    let (a, b) = tokio::join!(owner.accept_async(), anyipc::connect_async(url));
    (a.unwrap(), b.unwrap())
}

/// Bytes that tell their place.
pub(crate) fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len)
        .map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed))
        .collect()
}
