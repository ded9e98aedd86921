//! The suite every transport passes.

anyipc_conformance::suite!(anyipc_in_process::InProcess);

/// So small that nearly every send has to wait.
mod tiny {
    use anyipc_conformance::Fixture;
    use anyipc_in_process::InProcess;

    anyipc_conformance::suite!(Fixture::new(InProcess).option("capacity", "128"));
}
