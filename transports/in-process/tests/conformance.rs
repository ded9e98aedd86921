//! The conformance suite over `inproc://`, with the default capacity and with a tiny one.

anyipc_conformance::suite!(anyipc_in_process::InProcess);

/// With 128 bytes nearly every send has to wait.
mod tiny {
    use anyipc_conformance::Fixture;
    use anyipc_in_process::InProcess;

    anyipc_conformance::suite!(Fixture::new(InProcess).option("capacity", "128"));
}
