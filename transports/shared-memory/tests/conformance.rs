//! The suite every transport passes.
#![cfg(any(target_os = "linux", windows))]

anyipc_conformance::suite!(anyipc_shared_memory::SharedMemory);

/// The smallest rings, so that nearly every send has to wait.
mod tiny {
    use anyipc_conformance::Fixture;
    use anyipc_shared_memory::SharedMemory;

    anyipc_conformance::suite!(Fixture::new(SharedMemory).option("capacity", "4KiB"));
}

/// Messages read where they stand.
mod in_place {
    use anyipc_conformance::Fixture;
    use anyipc_shared_memory::SharedMemory;

    anyipc_conformance::suite!(Fixture::new(SharedMemory).option("trust", "same-user"));
}
