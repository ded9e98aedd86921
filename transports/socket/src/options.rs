use anyipc_core::{Error, ErrorKind, Key, KeyKind, Operation, Options, Result, Side, keys};

/// `trust`: understood, so that an address changes nothing but its scheme.
pub(crate) const TRUST: Key = Key::new(
    "trust",
    KeyKind::Choice(&["copy", "same-user"]),
    Side::Both,
    "changes nothing here: what is read is a private copy, whoever sent it",
);

/// Bytes in flight per direction of a channel; 0 if the address says nothing.
pub(crate) fn capacity(options: &Options, operation: Operation) -> Result<u64> {
    match options.number(keys::CAPACITY) {
        Some(0) => Err(Error::new(operation, ErrorKind::InvalidOption)
            .because("capacity=0: a channel has room for at least 1 byte")),
        asked => Ok(asked.unwrap_or(0)),
    }
}
