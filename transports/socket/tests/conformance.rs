//! The conformance suite, with threads and tasks that sleep in a real `poll`.
#![cfg(any(target_os = "linux", target_os = "macos", windows))]

use anyipc_conformance::Fixture;

mod local {
    use super::*;

    anyipc_conformance::suite!(Fixture::new(anyipc_socket::Local).sleeper(anyipc_os::sleep));
}

mod tcp {
    use super::*;

    /// A loopback address that only this process uses.
    fn address(serial: u64) -> String {
        let [.., b, c] = std::process::id().to_be_bytes();
        let (port, more) = (20_000 + serial % 10_000, 1 + (serial / 10_000) % 250);
        format!("127.{}.{c}.{more}:{port}", b.max(1))
    }

    anyipc_conformance::suite!(
        Fixture::new(anyipc_socket::Tcp).names(address).sleeper(anyipc_os::sleep)
    );
}
