//! The transports under test: those of the default registry. A new backend needs no line here.

use std::process;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyipc::{Address, Capabilities, ErrorKind, Registry};

use super::watchdog::watched;

/// The kernel grants all queues of a user a few hundred KiB together, about twelve queues: too few
/// for tests that run side by side. `tests/conformance.rs` and `tests/queue.rs` have their own.
pub(crate) const SCARCE: &str = "posix-mq";

/// Removes what killed runs have left of the kernel's queues, and panics if there is no room for
/// one: the first step of each test of them.
pub(crate) fn room_for_kernel_queues() {
    let address = format!("{SCARCE}://any").parse().unwrap();
    anyipc_conformance::make_room(Registry::global().resolve(&address).unwrap().0);
}

/// The transports with channels between two sides of this library on this platform, each by its
/// first scheme, without [`SCARCE`]. Those without a handshake are in `tests/plain.rs`.
pub(crate) fn all() -> &'static [&'static str] {
    static ALL: LazyLock<Vec<&str>> = LazyLock::new(|| {
        let schemes = Registry::global().transports().map(|transport| transport.schemes()[0]);
        schemes
            .filter(|scheme| *scheme != SCARCE)
            .filter(|scheme| has(scheme, Capabilities::CHANNEL | Capabilities::HANDSHAKE))
            .filter(|scheme| works(scheme))
            .collect()
    });
    &ALL
}

/// The transports of [`all`] that connect two processes.
pub(crate) fn between_processes() -> &'static [&'static str] {
    static BETWEEN: LazyLock<Vec<&str>> = LazyLock::new(|| with(Capabilities::CROSS_PROCESS));
    &BETWEEN
}

/// The transports of [`all`] with these capabilities.
pub(crate) fn with(capabilities: Capabilities) -> Vec<&'static str> {
    all().iter().copied().filter(|scheme| has(scheme, capabilities)).collect()
}

/// True if the backend exists on this platform; otherwise each of its calls answers `Unsupported`.
fn works(scheme: &str) -> bool {
    let address: Address = url(scheme, "nothing").parse().unwrap();
    let (transport, options) = Registry::global().resolve(&address).unwrap();
    !transport
        .open(address.name(), &options)
        .is_err_and(|error| error.kind() == ErrorKind::Unsupported)
}

fn has(scheme: &str, capabilities: Capabilities) -> bool {
    can(&url(scheme, "nothing"), capabilities)
}

/// Whether the transport of an address has these capabilities.
pub(crate) fn can(url: &str, capabilities: Capabilities) -> bool {
    let address = url.parse().unwrap();
    Registry::global().resolve(&address).unwrap().0.capabilities().contains(capabilities)
}

/// A name that no other test and no other process uses.
pub(crate) fn unique(tag: &str) -> String {
    format!("test.{tag}.{}.{}", process::id(), serial())
}

/// An address that no other test and no other process uses, without options.
pub(crate) fn url(scheme: &str, tag: &str) -> String {
    if scheme == "tcp" {
        return format!("tcp://{}", anyipc_conformance::loopback());
    }
    format!("{scheme}://{}", unique(tag))
}

/// Another address of the same transport.
pub(crate) fn another(than: &str) -> String {
    url(than.split_once("://").unwrap().0, "another")
}

fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Relaxed)
}

/// Runs the test for each transport, with an address. A test that hangs fails.
pub(crate) fn each(tag: &str, test: impl Fn(&str) + Send + Copy + 'static) {
    for scheme in all() {
        let url = url(scheme, tag);
        watched(&url.clone(), move || test(&url));
    }
}
