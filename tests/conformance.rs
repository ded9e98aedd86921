//! Every transport of the registry, chosen by its scheme, passes the suite.
#![cfg(any(
    feature = "in-process",
    feature = "message-queue",
    feature = "named-pipe",
    feature = "plain-socket",
    feature = "posix-queue",
    feature = "shared-memory",
    feature = "socket"
))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic here")]

mod support;

use anyipc::{Address, Registry};
use anyipc_conformance::{Fixture, loopback};
use support::schemes::{self, url};

/// A fixture for each transport.
fn transports() -> impl Iterator<Item = Fixture<'static>> {
    schemes::all().iter().map(|scheme| {
        let address: Address = url(scheme, "any").parse().unwrap();
        let (transport, _) = Registry::global().resolve(&address).unwrap();
        anyipc_conformance::make_room(transport);
        let fixture = Fixture::of(transport);
        let fixture = fixture.sleeper(anyipc_os::sleep);
        if *scheme == "tcp" { fixture.names(|_| loopback()) } else { fixture }
    })
}

anyipc_conformance::suite!(for transports());

/// Names of at most 107 bytes; not by lines, which take no line feed. Not on macOS, where the room
/// in a socket is not known.
#[cfg(all(feature = "plain-socket", target_os = "linux", not(anyipc_as_macos)))]
mod plain {
    use super::*;

    fn plain() -> Fixture<'static> {
        let address: Address = "plain://any".parse().unwrap();
        let fixture = Fixture::of(Registry::global().resolve(&address).unwrap().0);
        let fixture = fixture.sleeper(anyipc_os::sleep).option("frames", "length32le");
        fixture.names(|_| schemes::unique("conformance"))
    }

    anyipc_conformance::suite!(plain());
}

/// The kernel's queues, small: all queues of a user share a limit.
#[cfg(all(feature = "posix-queue", target_os = "linux"))]
mod posix_mq {
    use super::*;

    fn kernel_queues() -> Fixture<'static> {
        let address: Address = "posix-mq://any".parse().unwrap();
        let fixture = Fixture::of(Registry::global().resolve(&address).unwrap().0);
        fixture.sleeper(anyipc_os::sleep).option("capacity", "4KiB")
    }

    anyipc_conformance::suite!(kernel_queues());
}
