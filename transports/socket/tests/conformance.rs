//! The conformance suite, with threads and tasks that sleep in a real `poll`.
#![cfg(any(target_os = "linux", target_os = "macos", windows))]

use anyipc_conformance::Fixture;

mod local {
    use super::*;

    anyipc_conformance::suite!(Fixture::new(anyipc_socket::Local).sleeper(anyipc_os::sleep));
}

mod tcp {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_socket::Tcp)
            .names(|_| anyipc_conformance::loopback())
            .sleeper(anyipc_os::sleep)
    );
}
