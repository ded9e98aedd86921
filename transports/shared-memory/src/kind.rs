use anyipc_memory::Kind;

/// The blocks of `shm://`.
pub(crate) static BLOCK: Kind = Kind {
    prefix: "",
    suffix: ".block",
    heading: "anyipc-rendezvous 1",
    word: [0; 8],
    noun: "block",
    companion: Some(".wake"),
    clean: None,
};
