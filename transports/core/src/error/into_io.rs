//! To and from the errors of the standard library.

use std::io;

use super::{Error, ErrorKind, Operation};

impl From<Error> for io::Error {
    /// Keeps the whole error: `get_ref` of the result is the [`Error`], and [`ErrorKind::of_io`]
    /// its kind. The standard library's kind is the nearest one: `BrokenPipe` of a send to a
    /// receiver that left, `UnexpectedEof` of a receive after the end, `ConnectionReset` of a peer
    /// that died.
    fn from(error: Error) -> Self {
        let kind = error.io_kind();
        if kind == io::ErrorKind::WouldBlock && error.detail.is_none() {
            // Busy loops meet it: nothing is allocated.
            return kind.into();
        }
        Self::new(kind, error)
    }
}

impl Error {
    fn io_kind(&self) -> io::ErrorKind {
        match self.kind() {
            ErrorKind::Exists | ErrorKind::NameCollision => io::ErrorKind::AlreadyExists,
            ErrorKind::NotFound | ErrorKind::Removed => io::ErrorKind::NotFound,
            ErrorKind::NoOwner => io::ErrorKind::ConnectionRefused,
            ErrorKind::InvalidName
            | ErrorKind::InvalidAddress
            | ErrorKind::InvalidOption
            | ErrorKind::WrongRole
            | ErrorKind::MessageTooLarge
            | ErrorKind::OutOfBounds => io::ErrorKind::InvalidInput,
            ErrorKind::Mismatch | ErrorKind::Corrupt | ErrorKind::Codec => {
                io::ErrorKind::InvalidData
            }
            ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
            ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            ErrorKind::WouldBlock => io::ErrorKind::WouldBlock,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Closed if self.operation() == Operation::Send => io::ErrorKind::BrokenPipe,
            ErrorKind::Closed => io::ErrorKind::UnexpectedEof,
            ErrorKind::PeerGone => io::ErrorKind::ConnectionReset,
            ErrorKind::Busy => io::ErrorKind::ResourceBusy,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::Io => {
                let source = self.detail.as_ref().and_then(|detail| detail.source.as_ref());
                let source = source.and_then(|source| source.downcast_ref::<io::Error>());
                source.map_or(io::ErrorKind::Other, io::Error::kind)
            }
            ErrorKind::StatFailed
            | ErrorKind::Forked
            | ErrorKind::OwnerDied
            | ErrorKind::Poisoned
            | ErrorKind::Failed
            // Not `Interrupted`: the standard library would try again.
            | ErrorKind::Stopped => io::ErrorKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives() {
        for kind in ErrorKind::ALL {
            let error = Error::new(Operation::Receive, kind).at("shm://x");
            let text = error.to_string();
            let io = io::Error::from(error);
            assert_eq!(ErrorKind::of_io(&io), kind);
            assert_eq!(io.to_string(), text);
            let again = Error::io(Operation::Receive, "step", io);
            assert_eq!(again.kind(), kind);
        }
    }

    #[test]
    fn the_nearest_kind_of_the_standard_library_is_taken() {
        let kind = |operation, kind| io::Error::from(Error::new(operation, kind)).kind();
        assert_eq!(kind(Operation::Send, ErrorKind::Closed), io::ErrorKind::BrokenPipe);
        assert_eq!(kind(Operation::Receive, ErrorKind::Closed), io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(Operation::Connect, ErrorKind::NoOwner), io::ErrorKind::ConnectionRefused);
        assert_eq!(kind(Operation::Send, ErrorKind::WouldBlock), io::ErrorKind::WouldBlock);
        let inner = io::Error::from(io::ErrorKind::AddrInUse);
        let error = io::Error::from(Error::io(Operation::Create, "binding", inner));
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
