//! The suite that every transport passes. The queues are small: all queues of a user share a limit.
#![cfg(target_os = "linux")]

use anyipc_conformance::Fixture;
use anyipc_posix_queue::PosixQueue;

fn fixture() -> Fixture<'static> {
    anyipc_conformance::make_room(&PosixQueue);
    Fixture::new(PosixQueue).option("capacity", "4KiB").sleeper(anyipc_os::sleep)
}

anyipc_conformance::suite!(fixture());
