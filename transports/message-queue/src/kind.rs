use anyipc_memory::Kind;

/// The queues of `mq://`.
pub(crate) static KIND: Kind = Kind {
    prefix: "mq+",
    suffix: ".queue",
    heading: "anyipc-queue 1",
    word: *b"queue\0\0\0",
    noun: "queue",
    // Part of the layout: queues that persist were made with it.
    companion: Some(".bell"),
    clean: None,
};
