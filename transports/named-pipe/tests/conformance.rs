//! The conformance suite, with threads and tasks that sleep in a real `poll`.
#![cfg(any(target_os = "linux", target_os = "macos", windows))]

use anyipc_conformance::Fixture;

mod usual {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_named_pipe::NamedPipe).sleeper(anyipc_os::sleep)
    );
}

mod small {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_named_pipe::NamedPipe)
            .option("capacity", "4KiB")
            .sleeper(anyipc_os::sleep)
    );
}
