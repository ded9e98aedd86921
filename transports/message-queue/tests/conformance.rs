//! The suite every transport passes, with threads and tasks that sleep in a real `poll`.
#![cfg(any(target_os = "linux", windows))]

use anyipc_conformance::Fixture;

mod usual {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_message_queue::MessageQueue).sleeper(anyipc_os::sleep)
    );
}

/// The smallest queues, so that nearly every send has to wait.
mod tiny {
    use super::*;

    anyipc_conformance::suite!(
        Fixture::new(anyipc_message_queue::MessageQueue)
            .option("capacity", "1KiB")
            .sleeper(anyipc_os::sleep)
    );
}
