use anyipc_core::{Error, ErrorKind, Key, KeyKind, Operation, Options, Result, Side, keys};

/// `capacity`: the size of the streams' buffers.
pub const CAPACITY: Key = Key::new(
    "capacity",
    KeyKind::Bytes,
    Side::Owner,
    "bytes of each direction's buffers; else the system's",
);

/// Bytes in flight per direction of a channel; 0 if the address has no `capacity`.
///
/// # Errors
/// `InvalidOption` for `capacity=0`.
pub fn capacity(options: &Options, operation: Operation) -> Result<u64> {
    match options.number(keys::CAPACITY) {
        Some(0) => Err(Error::new(operation, ErrorKind::InvalidOption)
            .because("capacity=0: a channel has room for at least 1 byte")),
        asked => Ok(asked.unwrap_or(0)),
    }
}
