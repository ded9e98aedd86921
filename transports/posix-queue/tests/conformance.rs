//! The suite that every transport passes. The queues are small: all queues of a user share a limit.
#![cfg(target_os = "linux")]

use anyipc_conformance::Fixture;

anyipc_conformance::suite!(
    Fixture::new(anyipc_posix_queue::PosixQueue)
        .option("capacity", "4KiB")
        .sleeper(anyipc_os::sleep)
);
